"""``predicted``: the source with the highest transfer gain that a regression on contexts foretells.

    g(s, t) = b + w . [s, t, s - t, |s - t|, ||s - t||]

with s and t the features of source and target context, fitted by ridge regression on the zero-shot gains of every
source on every validation task; the penalty is chosen by leaving whole tasks out in turn. After Nagib, Abou-zeid and
Hassanein, "Accelerating reinforcement learning via predictive policy transfer in 6G RAN slicing", IEEE TNSM 20(2),
2023, who predict from contexts how well a policy transfers and start from the best foretold. Their regressor and
features are theirs; these are ours.

The *gain* is the source's score on the task before it learns anything there. Gain over scratch at n = 0 differs from
it by a number that is the same for all sources of a task, so the order of sources is the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from roamrl.algorithms.transfer.selection.ridge import Ridge, fit_ridge
from roamrl.envs.errors import InputError

Floats = npt.NDArray[np.float64]

PENALTIES: tuple[float, ...] = tuple(float(penalty) for penalty in np.logspace(-4, 2, 13))
"""Penalties tried; with standardised features and a mean squared error, 1 halves the weight of a lone feature."""

LEAST_TASKS = 3
"""Fewest validation tasks: one left out for the validation, one for the penalty, and one to fit."""


@dataclass(frozen=True)
class GainPredictor:
    """A fitted regression of transfer gain.

    Attributes:
        ridge: The regression on :func:`pair_features`.
        penalty: The penalty chosen for it.
    """

    ridge: Ridge
    penalty: float

    def predict(self, sources: npt.ArrayLike, targets: npt.ArrayLike) -> Floats:
        """Return the gain [K, T] foretold for sources [K, D] on targets [T, D]."""
        return self.ridge.predict(pair_features(sources, targets))


def pair_features(sources: npt.ArrayLike, targets: npt.ArrayLike) -> Floats:
    """Return what the regression sees of sources [K, D] and targets [T, D], [K, T, 4 D + 1]."""
    s, t = np.asarray(sources, dtype=np.float64), np.asarray(targets, dtype=np.float64)
    source, target = np.broadcast_arrays(s[:, None, :], t[None, :, :])
    gap = source - target
    distance = np.linalg.norm(gap, axis=-1, keepdims=True)
    return np.concatenate([source, target, gap, np.abs(gap), distance], axis=-1)


def fit_gain_predictor(
    sources: npt.ArrayLike, targets: npt.ArrayLike, gains: npt.ArrayLike, penalties: Sequence[float] = PENALTIES
) -> GainPredictor:
    """Fit on gains [K, V] of sources [K, D] on tasks [V, D], the penalty by leaving whole tasks out.

    Raises:
        InputError: If there are fewer than two tasks.
    """
    pairs, known = pair_features(sources, targets), np.asarray(gains, dtype=np.float64)
    if known.shape[1] < LEAST_TASKS - 1:
        raise InputError(f"predicted gains need at least {LEAST_TASKS - 1} tasks to fit on, got {known.shape[1]}")
    errors = np.zeros(len(penalties))
    for place in range(known.shape[1]):
        fits = _fits(np.delete(pairs, place, axis=1), np.delete(known, place, axis=1), penalties)
        errors += [np.mean((fit.predict(pairs[:, place]) - known[:, place]) ** 2) for fit in fits]
    least = errors.min() * (1.0 + 1e-9)
    penalty = max(p for p, error in zip(penalties, errors, strict=True) if error <= least)
    return GainPredictor(_fits(pairs, known, [penalty])[0], penalty)


def left_out_predictions(
    sources: npt.ArrayLike, targets: npt.ArrayLike, gains: npt.ArrayLike, penalties: Sequence[float] = PENALTIES
) -> Floats:
    """Return the gains [K, V] foretold for each task by a fit, penalty included, that never saw that task.

    Raises:
        InputError: If there are fewer than :data:`LEAST_TASKS` tasks.
    """
    t, known = np.asarray(targets, dtype=np.float64), np.asarray(gains, dtype=np.float64)
    if known.shape[1] < LEAST_TASKS:
        raise InputError(
            f"predicted gains need at least {LEAST_TASKS} validation tasks, got {known.shape[1]}; give the validation "
            "split more tasks, or choose by 'nearest'"
        )
    columns = []
    for place in range(known.shape[1]):
        fitted = fit_gain_predictor(sources, np.delete(t, place, axis=0), np.delete(known, place, axis=1), penalties)
        columns.append(fitted.predict(sources, t[place : place + 1])[:, 0])
    return np.stack(columns, axis=1)


def _fits(pairs: Floats, gains: Floats, penalties: Sequence[float]) -> list[Ridge]:
    return fit_ridge(pairs.reshape(-1, pairs.shape[-1]), gains.reshape(-1), penalties)
