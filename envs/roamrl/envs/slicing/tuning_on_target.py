"""Tuning the demand-proportional policy on a target's own episodes, each of which is played once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from roamrl.envs.batched import BatchedEnv
from roamrl.envs.episodes import Episodes, place_episodes, play_once
from roamrl.envs.family import Family
from roamrl.envs.live_search import Surface, search_live
from roamrl.envs.slicing.references import Demand, DemandGains
from roamrl.envs.slicing.tuning import gains_at
from roamrl.envs.task import Task
from roamrl.envs.tuned_reference import TunedReference

F64 = NDArray[np.float64]

SLOPE: Final = 0.05
CURVATURE: Final = 0.1
"""Of the surface over log gains, in mean reward a window: a gain that is off by a factor e costs up to a tenth."""


@dataclass(frozen=True)
class _RowGains:
    """Gains of each row of an environment, of the shapes in which they act on shares: [N, K] and [N, 1]."""

    scale: F64
    floor: F64


def tune_demand_on_target(family: Family, task: Task, start: DemandGains, episodes: int, seed: int) -> TunedReference:
    """Return the demand-proportional policy with its gains moved from where ``val`` left them to what suits a target.

    Args:
        family: The task's family.
        task: The target.
        start: Gains tuned on ``val``.
        episodes: Most episodes of the target to play (:func:`~roamrl.envs.live_search.search_live`).
        seed: Seed of their streams and of the search.
    """
    origin = np.append(np.log(start.scale), np.log(start.floor))
    steps = family.episode_steps(dict(task.config))

    def play(points: F64, block: range) -> Episodes:
        return _play(family, task, origin + points, block, seed)

    surface = Surface(SLOPE * steps, CURVATURE * steps)
    best, searched = search_live(play, len(origin), surface, episodes, seed)
    gains = start if searched is None else gains_at(origin + best)
    names = [*(f"scale_{name}" for name in task.config["slices"]), "floor"]
    return TunedReference(Demand(gains), dict(zip(names, (*gains.scale, gains.floor), strict=True)), searched)


def _play(family: Family, task: Task, points: F64, block: range, seed: int) -> Episodes:
    """Play episode e of the block with the gains at its own point of log gains, [1, E]."""
    gains = [gains_at(point) for point in points]
    rows = _RowGains(np.array([own.scale for own in gains]), np.array([[own.floor] for own in gains]))
    policy = Demand(cast(DemandGains, rows))

    def act(obs: NDArray[np.float32], env: BatchedEnv) -> NDArray[Any]:
        actions = policy.act(env)
        return actions.reshape(1, *actions.shape)

    env = place_episodes(family, [task], block, seed)
    played = play_once(env, (1, len(block)), act, family.measures)
    env.close()
    return played
