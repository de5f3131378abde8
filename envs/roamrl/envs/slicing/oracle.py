"""The clairvoyant references: the beam search of :mod:`roamrl.envs.slicing.beam` on the episodes everyone plays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from roamrl.envs.batched import BatchedEnv
from roamrl.envs.episodes import Episodes, play
from roamrl.envs.family import Family
from roamrl.envs.radio.fading import FADING_SLOTS
from roamrl.envs.reference import Reference
from roamrl.envs.slicing import lanes
from roamrl.envs.slicing.allocation import logits_of
from roamrl.envs.slicing.beam import Problem, make_search, plan_cells, stack_windows
from roamrl.envs.slicing.env import SlicingEnv
from roamrl.envs.task import Task

KAPPA: Final = 0.8
"""Reward that a backlog costs which the whole cell needs one window to clear."""


class Clairvoyant(Reference):
    """Plans every episode knowing all its arrivals and its whole radio, then plays the plan.

    Args:
        name: Name in tables.
        width: Cells the beam keeps; 1 looks one window ahead.
        kappa: See :data:`KAPPA`.
    """

    role = "oracle"

    def __init__(self, name: str, width: int, kappa: float = KAPPA) -> None:
        self.name = name
        self.about = (
            f"clairvoyant beam of {width} over whole episodes" if width > 1 else "clairvoyant, one window at a time"
        )
        self.width = width
        self.kappa = kappa

    def play(self, family: Family, tasks: Sequence[Task], *, episodes: int, seed: int) -> Episodes:
        """Play E episodes of every task."""
        return play(family, tasks, _Plans(self.width, self.kappa), episodes=episodes, seed=seed)


class _Plans:
    """Plans a block of episodes at its first step, and then acts by the plan."""

    def __init__(self, width: int, kappa: float) -> None:
        self.width = width
        self.kappa = kappa
        self.env: BatchedEnv | None = None
        self.actions: NDArray[Any] = np.zeros((0, 0))
        self.step = 0

    def __call__(self, obs: NDArray[np.float32], env: BatchedEnv) -> NDArray[Any]:
        if env is not self.env:
            cell = cast(SlicingEnv, env)
            plan = plan_episodes(cell, self.width, self.kappa)
            self.actions = (
                logits_of(cell.allocations).astype(np.float32)[plan] if cell.config.action == "continuous" else plan
            )
            self.env, self.step = env, 0
        actions = self.actions[:, self.step]
        self.step += 1
        return actions.reshape(*obs.shape[:2], *actions.shape[1:])


def plan_episodes(env: SlicingEnv, width: int, kappa: float = KAPPA) -> NDArray[np.int64]:
    """Return the allocation for each remaining window of the episodes an environment is in, [N, T].

    The environment is left as it is. All rows must have as many windows left.
    """
    slices = len(env.config.slices)
    first = int(env.users.lanes["window"][0])
    left = env.config.warmup_windows + env.config.episode_windows - first
    levels, level_of = np.unique(env.allocations.round(9), return_inverse=True)
    problem = Problem(
        env.window_ms,
        env.config.late_penalty,
        levels,
        level_of.reshape(env.allocations.shape).astype(np.int64),
        kappa,
    )
    plan = np.zeros((env.num_envs, left), np.int64)
    periods = env.config.window_slots // FADING_SLOTS
    rooms = stack_windows([lanes.make_window(env.config.user_slots, env.packets, periods) for _ in range(slices)])
    plan_cells(
        problem,
        np.arange(env.num_envs),
        env.parameters,
        env.traces,
        first,
        lanes.Users(*(array.copy() for array in env.users)),
        env.queues,
        rooms,
        make_search(width, slices, len(levels), len(env.allocations), plan.shape[1], env.queues),
        plan,
    )
    return plan
