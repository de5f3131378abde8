"""Draws of a bandit: whether pulls pay, and the numbers by which references choose."""

from __future__ import annotations

import numpy as np

from roamrl.envs.compiled import compiled
from roamrl.envs.streams import episode_key, fold, uniform

_CHOICES = np.uint64(1 << 32)
"""Purpose of the references' streams; those of the arms are 0, 1, .."""


@compiled
def begin_rows(rows, seeds, episodes, indices, keys):  # type: ignore[no-untyped-def]
    """Write the keys [N] of the episodes that begin in some rows."""
    for row in rows:
        keys[row] = episode_key(seeds[row], episodes[row], indices[row])


@compiled
def pull(rows, arms, entries, probabilities, keys, made, rewards):  # type: ignore[no-untyped-def]
    """Write the rewards [N] of pull number ``made`` [N]: an arm's draw at a pull is the same whoever asks for it."""
    for row in rows:
        arm = arms[row]
        draw = uniform(fold(keys[row], np.uint64(arm)), made[row])
        rewards[row] = 1.0 if draw < probabilities[entries[row], arm] else 0.0


@compiled
def choice_draws(keys, made, out):  # type: ignore[no-untyped-def]
    """Write numbers from [0, 1) [N, K] for a choice at pull number ``made`` [N]."""
    for row in range(out.shape[0]):
        key = fold(keys[row], _CHOICES)
        for arm in range(out.shape[1]):
            out[row, arm] = uniform(key, made[row] * out.shape[1] + arm)
