"""Tuning: the few numbers of the demand-proportional policy, and fixed shares, on given tasks (``val``, a target's).

``python -m roamrl.envs.slicing.tuning`` prints the fixed shares of every variant.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from roamrl.envs.family import Family, get_family
from roamrl.envs.slicing.allocation import allocation_grid
from roamrl.envs.slicing.config import VARIANTS
from roamrl.envs.slicing.references import Demand, DemandGains, Static
from roamrl.envs.task import Task

START_SPREAD = 0.7
"""Standard deviation of the first candidates' log gains."""

NARROWING = 0.7
ELITE = 4
FLOOR = 0.2
"""Centre of the first candidates' floor b."""

EPISODES, SEED = 64, 7
"""Episodes of each task of ``val``, and their seed, for what is published."""


def tune_demand(
    family: Family,
    tasks: Sequence[Task],
    *,
    episodes: int,
    seed: int,
    rounds: int = 6,
    candidates: int = 16,
    worth: NDArray[np.float64] | None = None,
) -> DemandGains:
    """Return the gains with the largest mean return on tasks of one config, by a small evolution search.

    Every candidate plays the same episodes (common random numbers). Each round draws (log m, log b) around the mean of
    the best so far, more narrowly each time (cross-entropy method; Rubinstein, 1999).

    Args:
        family: The tasks' family.
        tasks: T tasks of one config.
        episodes: Episodes of each task that a candidate plays.
        seed: Seed of the episodes and of the search.
        rounds: Rounds of the search.
        candidates: Candidates a round.
        worth: Weight of each task's return, [T]; 1/(J_oracle - J_trivial) tunes the mean score. Equal by default.
    """
    slices = len(tasks[0].config["slices"])
    weight = np.full(len(tasks), 1.0) if worth is None else np.asarray(worth, np.float64)
    rng = np.random.default_rng(seed)
    centre = np.append(np.zeros(slices), np.log(FLOOR))
    best: list[tuple[float, tuple[float, ...]]] = []
    for number in range(rounds):
        spread = START_SPREAD * NARROWING**number
        drawn = centre + spread * rng.standard_normal((candidates, slices + 1))
        drawn[0] = centre
        for point in drawn:
            played = Demand(gains_at(point)).play(family, tasks, episodes=episodes, seed=seed)
            best.append((float(weight @ played.returns.mean(axis=1)), tuple(point)))
        best = sorted(best, reverse=True)[:ELITE]
        centre = np.mean([point for _, point in best], axis=0)
    return gains_at(np.asarray(best[0][1]))


def tune_static(
    family: Family,
    tasks: Sequence[Task],
    *,
    episodes: int,
    seed: int,
    worth: NDArray[np.float64] | None = None,
) -> tuple[float, ...]:
    """Return the shares on the 10 % grid with the largest mean return on tasks of one config when never changed.

    Args:
        family: The tasks' family.
        tasks: T tasks of one config.
        episodes: Episodes of each task that every allocation plays, the same for all.
        seed: Seed of the episodes.
        worth: Weight of each task's return, [T]; 1/(J_oracle - J_trivial) tunes the mean score. Equal by default.
    """
    weight = np.full(len(tasks), 1.0) if worth is None else np.asarray(worth, np.float64)
    grid = allocation_grid(len(tasks[0].config["slices"]))
    values = [
        float(weight @ Static(shares).play(family, tasks, episodes=episodes, seed=seed).returns.mean(axis=1))
        for shares in grid
    ]
    return tuple(float(share) for share in grid[int(np.argmax(values))])


def gains_at(point: NDArray[np.float64]) -> DemandGains:
    """Return the gains at (log m_1, .., log m_K, log b); m is scaled to a mean of one."""
    scale = np.exp(point[:-1])
    return DemandGains(tuple(float(value) for value in scale / scale.mean()), float(np.exp(point[-1])))


def main() -> None:
    """Print the best fixed shares on ``val`` of every variant."""
    from roamrl.envs.slicing.splits import gaps

    family = get_family("slicing-v1")
    for variant in VARIANTS:
        config = family.config({"variant": variant})
        tasks = family.splits(config)["val"].tasks
        shares = tune_static(family, tasks, episodes=EPISODES, seed=SEED, worth=1.0 / gaps(family, tasks))
        print(variant, dict(zip(config["slices"], shares, strict=True)), flush=True)


if __name__ == "__main__":
    main()
