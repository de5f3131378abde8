"""Tuning the demand-proportional policy on a target's own episodes, each of which is played once.

A live cell does not repeat its traffic, so candidates cannot be told apart on common random numbers as they are on
``val``. What an episode gives is a noisy look at a response surface (Box and Wilson, 1951) over x, the log gains less
those tuned on ``val``::

    J(x) = a + g x - c |x|^2 / 2 + noise,   g ~ N(0, s^2 I)

Every episode plays gains of its own, in pairs on either side of the best so far; the posterior mean of g, a ridge
regression on all episodes, puts the maximum at g / c. With few episodes the ridge keeps it near 0: near ``val``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from roamrl.envs.batched import BatchedEnv
from roamrl.envs.episodes import Episodes, place_episodes, play_once
from roamrl.envs.family import Family
from roamrl.envs.slicing.references import Demand, DemandGains
from roamrl.envs.slicing.tuning import gains_at
from roamrl.envs.task import Task
from roamrl.envs.tuned_reference import TunedReference

F64 = NDArray[np.float64]

LEAST_EPISODES: Final = 10
"""Fewest episodes whose spread says how noisy they are; with fewer nothing is played and nothing changed."""

ROUND: Final = 50
"""Episodes, about, after which the centre of the search moves to the best so far."""

SPREAD: Final = 0.4
"""Standard deviation of the log gains played about the centre."""

SLOPE: Final = 0.05
CURVATURE: Final = 0.1
"""s and c of the surface, in mean reward a window for a change of the log gains by one."""

FARTHEST: Final = 1.0
"""Most by which a log gain may differ from the one tuned on ``val``."""


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
        episodes: Most episodes of the target to play; an odd last one is left.
        seed: Seed of their streams and of the search.
    """
    origin = np.append(np.log(start.scale), np.log(start.floor))
    names = [*(f"scale_{name}" for name in task.config["slices"]), "floor"]
    if episodes < LEAST_EPISODES:
        return _tuned(start, names)
    rng = np.random.default_rng(seed)
    pairs = np.array_split(np.arange(episodes // 2), max(1, episodes // ROUND))
    best, tried = np.zeros(len(origin)), np.zeros((0, len(origin)))
    parts: list[Episodes] = []
    for number in (len(part) for part in pairs):
        step = SPREAD * rng.standard_normal((number, len(origin)))
        points = best + np.concatenate([step, -step])
        block = range(len(tried), len(tried) + len(points))
        parts.append(_play(family, task, origin + points, block, seed))
        tried = np.concatenate([tried, points])
        returns = np.concatenate([part.returns[0] for part in parts])
        best = summit(tried, returns / family.episode_steps(dict(task.config)))
    return _tuned(gains_at(origin + best), names, Episodes.join(parts))


def summit(tried: F64, rewards: F64) -> F64:
    """Return where the surface is highest, given points [E, D] and mean rewards a window there, [E]."""
    centred = tried - tried.mean(axis=0)
    heights = rewards + CURVATURE / 2.0 * (tried**2).sum(axis=1)
    ridge = max(float(rewards.var()), 1e-9) / SLOPE**2 * np.eye(tried.shape[1])
    slope = np.linalg.solve(centred.T @ centred + ridge, centred.T @ (heights - heights.mean()))
    return np.asarray(np.clip(slope / CURVATURE, -FARTHEST, FARTHEST))


def _play(family: Family, task: Task, points: F64, block: range, seed: int) -> Episodes:
    """Play episode e of the block with the gains of its own point, [1, E]."""
    gains = [gains_at(point) for point in points]
    rows = _RowGains(np.array([own.scale for own in gains]), np.array([[own.floor] for own in gains]))
    policy = Demand(cast(DemandGains, rows))

    def act(obs: NDArray[np.float32], env: BatchedEnv) -> NDArray[Any]:
        return policy.act(env).reshape(1, len(block), *env.single_action_space.shape)  # type: ignore[misc]

    env = place_episodes(family, [task], block, seed)
    played = play_once(env, (1, len(block)), act, family.measures)
    env.close()
    return played


def _tuned(gains: DemandGains, names: list[str], searched: Episodes | None = None) -> TunedReference:
    return TunedReference(Demand(gains), dict(zip(names, (*gains.scale, gains.floor), strict=True)), searched)
