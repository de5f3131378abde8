"""Whole episodes of many tasks on common random numbers: how everything is scored."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

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


class Watcher(Protocol):
    """Somebody who acts and has to know what came of it, as policies with memory do."""

    def begin(self, shape: tuple[int, int]) -> None:
        """E episodes of each of T tasks, shape (T, E), are about to begin."""

    def after(self, rewards: NDArray[np.float64], ended: NDArray[np.bool_]) -> None:
        """A step gave rewards [T, E]; it ended, or an earlier one had ended, the episodes ``ended`` [T, E]."""


@dataclass(frozen=True)
class Episodes:
    """What T tasks gave over E episodes each.

    Attributes:
        returns: Undiscounted returns, [T, E].
        measures: Means over the episode of each step measure, [T, E] by name.
    """

    returns: NDArray[np.float64]
    measures: Mapping[str, NDArray[np.float64]]

    @classmethod
    def join(cls, parts: Sequence[Episodes]) -> Episodes:
        """Return the episodes of several blocks of the same tasks, one after another."""
        names = parts[0].measures.keys()
        return cls(
            np.concatenate([part.returns for part in parts], axis=1),
            {name: np.concatenate([part.measures[name] for part in parts], axis=1) for name in names},
        )


def play(
    family: Family, tasks: Sequence[Task], act: Act, *, episodes: int, seed: int, watcher: Watcher | None = None
) -> Episodes:
    """Play E episodes of every task; episode e of each has stream (seed, 0, e), whoever acts.

    Args:
        family: The tasks' family.
        tasks: T tasks of one family config.
        act: Chooses the actions.
        episodes: E.
        seed: Evaluation seed, common to all arms.
        watcher: Told of every block of episodes that begins, and of every step's rewards.
    """
    parts = []
    for block in blocks(len(tasks), episodes):
        env, shape = place_episodes(family, tasks, block, seed), (len(tasks), len(block))
        if watcher is not None:
            watcher.begin(shape)
        parts.append(play_once(env, shape, act, family.measures, watcher))
        env.close()
    return Episodes.join(parts)


def blocks(tasks: int, episodes: int) -> list[range]:
    """Return the numbers of the episodes in blocks so long that a batch of all tasks has about a thousand rows."""
    width = max(1, ROWS_A_BATCH // tasks)
    return [range(first, min(first + width, episodes)) for first in range(0, episodes, width)]


def place_episodes(family: Family, tasks: Sequence[Task], block: range, seed: int) -> BatchedEnv:
    """Return an environment with a row for each task and episode e of a block, task-major.

    The n-th reset (from 0) starts the episodes with streams (seed, n, e).
    """
    count = len(tasks) * len(block)
    return family.make_placed(
        Placement(
            np.full(count, seed, np.int64),
            np.tile(np.arange(block.start, block.stop, dtype=np.int64), len(tasks)),
            tuple((task,) for task in tasks for _ in block),
            count,
        ),
        autoreset_mode="Disabled",
    )


def play_once(
    env: BatchedEnv, shape: tuple[int, int], act: Act, measures: Sequence[str], watcher: Watcher | None = None
) -> Episodes:
    """Reset an environment of T * E rows and play one episode in each.

    Args:
        env: The environment, without automatic resets.
        shape: (T, E).
        act: Chooses the actions.
        measures: Step measures to average.
        watcher: Told of every step's rewards.
    """
    obs, _ = env.reset()
    count = shape[0] * shape[1]
    returns = np.zeros(count)
    sums: dict[str, NDArray[np.float64]] = {}
    steps = np.zeros(count)
    running = np.ones(count, np.bool_)
    while running.any():
        actions = act(obs.reshape(*shape, *obs.shape[1:]), env)
        obs, rewards, terminated, truncated, infos = env.step(actions.reshape(count, *actions.shape[2:]))
        returns += np.where(running, rewards, 0.0)
        steps += running
        for name in measures:
            sums[name] = sums.get(name, np.zeros(count)) + np.where(running, infos[name], 0.0)
        running &= ~(terminated | truncated)
        if watcher is not None:
            watcher.after(rewards.reshape(shape), ~running.reshape(shape))
    return Episodes(returns.reshape(shape), {name: (total / steps).reshape(shape) for name, total in sums.items()})
