"""Tuning: the one probability of p-persistent access, and of the rules on an observation, on given tasks.

``python -m roamrl.envs.mac.tuning`` prints what :mod:`roamrl.envs.mac.references` holds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import numpy as np
from scipy.optimize import minimize_scalar

from roamrl.envs.family import Family, get_family
from roamrl.envs.mac.persistence import best_persistence
from roamrl.envs.mac.references import OBSERVING, Rule, observing, persistent
from roamrl.envs.task import Task

GRID: Final = np.geomspace(1e-3, 0.9, 24)
"""Probabilities tried first; the best is then refined between its neighbours."""

TOLERANCE: Final = 0.005
"""Of log p, in the refinement."""

EPISODES: Final = 64
SEED: Final = 7
"""Episodes of each task, and their seed, for what is published."""

ANCHOR: Final = {"stations": 5, "arrival": "saturated", "packet_slots": 10}
"""Context on which the trivial reference is tuned, once."""


def tune_persistence(family: Family, tasks: Sequence[Task], episodes: int, seed: int) -> float:
    """Return the transmit probability with the largest mean return on tasks of one config, one for all of them.

    On a target's own episodes this is the arm of an engineer with few samples: one number, chosen by trying.

    Args:
        family: The tasks' family.
        tasks: T tasks of one config.
        episodes: Episodes of each task that every probability plays, the same for all.
        seed: Seed of the episodes.
    """
    return tune_chance(family, tasks, persistent, episodes=episodes, seed=seed)


def tune_chance(
    family: Family, tasks: Sequence[Task], make: Callable[[float], Rule], *, episodes: int, seed: int
) -> float:
    """Return the probability with which a rule has the largest mean return, by a grid and Brent's method in log p.

    Args:
        family: The tasks' family.
        tasks: T tasks of one config.
        make: From a probability to the rule.
        episodes: Episodes of each task that every candidate plays, the same for all.
        seed: Seed of the episodes.
    """

    def loss(log_chance: float) -> float:
        played = make(float(np.exp(log_chance))).play(family, tasks, episodes=episodes, seed=seed)
        return -float(played.returns.mean())

    logs = np.log(GRID)
    losses = [loss(log_chance) for log_chance in logs]
    best = int(np.argmin(losses))
    low, high = logs[max(best - 1, 0)], logs[min(best + 1, len(logs) - 1)]
    found = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": TOLERANCE})
    return float(np.exp(found.x)) if found.fun <= losses[best] else float(GRID[best])


def main() -> None:
    """Print the tuned probabilities."""
    family = get_family("mac-v1")
    chance = tune_persistence(family, [family.task(ANCHOR)], EPISODES, SEED)
    exact = best_persistence(5, 10)
    print(f"persistent at N = 5, saturated, L = 10: {chance:.4f} (closed form {exact:.4f})", flush=True)
    for name in OBSERVING:
        config = family.config({"others_d2lt": "longest"} if name == "longest-wait" else {})
        tasks = family.splits(config)["val"].tasks
        chance = tune_chance(family, tasks, partial(observing, name), episodes=EPISODES, seed=SEED)
        print(f"{name} on val: {chance:.3f}", flush=True)


if __name__ == "__main__":
    main()
