"""Tuning the probability of p-persistent access on a target's own episodes, each of which is played once."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from roamrl.envs.episodes import Episodes
from roamrl.envs.live_search import Surface, search_live
from roamrl.envs.mac import rules
from roamrl.envs.mac.references import TUNED_PERSISTENCE, persistent, play_rows
from roamrl.envs.task import Task
from roamrl.envs.tuned_reference import TunedReference

SLOPE: Final = 0.2
CURVATURE: Final = 0.2
"""Of the surface over log p, in reward a slot."""

SPREAD: Final = 0.3
"""Standard deviation of the log p that are played about the best so far."""

FARTHEST: Final = 2.5
"""Most by which log p may differ from where the search begins: p from .0066 to .97."""


def tune_persistence_on_target(task: Task, episodes: int, seed: int) -> TunedReference:
    """Return p-persistent access with p moved from what suits five stations to what suits a target.

    Args:
        task: The target.
        episodes: Most episodes of the target to play (:func:`~roamrl.envs.live_search.search_live`).
        seed: Seed of their streams and of the search.
    """
    slots = task.config["episode_slots"]

    def play(points: NDArray[np.float64], block: range) -> Episodes:
        chances = list(np.repeat(probability(points), task.config["n_max"] + 1, axis=1))
        entries, numbers = np.arange(len(points)), np.arange(block.start, block.stop)
        returns, measures = play_rows(rules.PERSISTENT, [task] * len(points), chances, entries, numbers, seed)
        return Episodes(returns[None], {name: each[None] for name, each in measures.items()})

    surface = Surface(SLOPE * slots, CURVATURE * slots, SPREAD, FARTHEST)
    best, searched = search_live(play, 1, surface, episodes, seed)
    chance = TUNED_PERSISTENCE if searched is None else float(probability(best)[0])
    return TunedReference(persistent(chance), {"probability": chance}, searched)


def probability(shift: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the p that lies so far from ``TUNED_PERSISTENCE`` in log p; at most 1."""
    return np.minimum(TUNED_PERSISTENCE * np.exp(shift), 1.0)
