"""Whole episodes of many tasks on common random numbers: how everything is scored."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from roamrl.envs.placement import Placement
from roamrl.envs.task import Task

if TYPE_CHECKING:
    from roamrl.envs.batched import BatchedEnv
    from roamrl.envs.family import Family

Act = Callable[[NDArray[np.float32], "BatchedEnv"], NDArray[Any]]
"""Observations [T, E, O] of E episodes of each of T tasks, and the environment, to actions [T, E, ...]."""

ROWS_A_BATCH = 1024


@dataclass(frozen=True)
class Episodes:
    """What T tasks gave over E episodes each.

    Attributes:
        returns: Undiscounted returns, [T, E].
        measures: Means over the episode of each step measure, [T, E] by name.
    """

    returns: NDArray[np.float64]
    measures: Mapping[str, NDArray[np.float64]]


def play(family: Family, tasks: Sequence[Task], act: Act, *, episodes: int, seed: int) -> Episodes:
    """Play E episodes of every task; episode e of each has stream (seed, 0, e), whoever acts.

    Args:
        family: The tasks' family.
        tasks: T tasks of one family config.
        act: Chooses the actions.
        episodes: E.
        seed: Evaluation seed, common to all arms.
    """
    width = max(1, ROWS_A_BATCH // len(tasks))
    parts = [
        _play_block(family, tasks, act, range(first, min(first + width, episodes)), seed)
        for first in range(0, episodes, width)
    ]
    names = parts[0].measures.keys()
    return Episodes(
        np.concatenate([part.returns for part in parts], axis=1),
        {name: np.concatenate([part.measures[name] for part in parts], axis=1) for name in names},
    )


def _play_block(family: Family, tasks: Sequence[Task], act: Act, block: range, seed: int) -> Episodes:
    shape = (len(tasks), len(block))
    count = shape[0] * shape[1]
    env = family.make_placed(
        Placement(
            np.full(count, seed, np.int64),
            np.tile(np.arange(block.start, block.stop, dtype=np.int64), shape[0]),
            tuple((task,) for task in tasks for _ in block),
            count,
        ),
        autoreset_mode="Disabled",
    )
    obs, _ = env.reset()
    returns = np.zeros(count)
    sums: dict[str, NDArray[np.float64]] = {}
    steps = np.zeros(count)
    running = np.ones(count, np.bool_)
    while running.any():
        actions = act(obs.reshape(*shape, *obs.shape[1:]), env)
        obs, rewards, terminated, truncated, infos = env.step(actions.reshape(count, *actions.shape[2:]))
        returns += np.where(running, rewards, 0.0)
        steps += running
        for name in family.measures:
            sums[name] = sums.get(name, np.zeros(count)) + np.where(running, infos[name], 0.0)
        running &= ~(terminated | truncated)
    env.close()
    return Episodes(returns.reshape(shape), {name: (total / steps).reshape(shape) for name, total in sums.items()})
