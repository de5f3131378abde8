"""The batched environment of ``urllc-v1``: N downlinks, each with its own context, stepped by one kernel call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from roamrl.envs.batched import BatchedEnv, State
from roamrl.envs.errors import InputError
from roamrl.envs.placement import Placement
from roamrl.envs.task import Task
from roamrl.envs.urllc import kernel
from roamrl.envs.urllc.arrival_law import probabilities
from roamrl.envs.urllc.block_sharing import make_room, shared_power_of_cells
from roamrl.envs.urllc.chain import level_noise
from roamrl.envs.urllc.config import UrllcConfig, read_config
from roamrl.envs.urllc.features import OBSERVED_NUMBERS, observed_numbers

MEASURES = ("power", "violation_rate", "loss_rate", "backlog")
"""Step measures: power of all users together; share of users violated; packets lost a user; packets left after sending,
a user."""


def observation_space(config: UrllcConfig) -> spaces.Box:
    """Return the space of one downlink's observation."""
    size = config.users * (1 + config.resource_blocks + 2 * config.history)
    size += sum(OBSERVED_NUMBERS[name] for name in config.observed)
    return spaces.Box(-np.inf, np.inf, (size,), np.float32)


def action_space(config: UrllcConfig) -> spaces.Space[Any]:
    """Return the space of one downlink's action: a rate, or the joint number of several users' rates."""
    return spaces.Discrete(config.actions)


def joint_actions(rates: NDArray[Any], config: UrllcConfig) -> NDArray[np.int64]:
    """Return the actions of some rates, [..] of [.., U]: the digits of a number of base max_rate + 1, user 0 first."""
    return np.asarray(rates, np.int64) @ _weights(config)


def rates_of(actions: NDArray[Any], config: UrllcConfig) -> NDArray[np.int64]:
    """Return each user's rate in some actions, [.., U] of [..]; the inverse of :func:`joint_actions`."""
    digits = np.asarray(actions, np.int64)[..., None] // _weights(config)
    return np.asarray(digits % (config.max_rate + 1))


def _weights(config: UrllcConfig) -> NDArray[np.int64]:
    return np.asarray((config.max_rate + 1) ** np.arange(config.users - 1, -1, -1), np.int64)


class UrllcEnv(BatchedEnv):
    """N downlinks; see :class:`~roamrl.envs.batched.BatchedEnv` for what step and reset return.

    An observation holds each user's backlog in units of the backlog limit, the natural logarithm of each user's gain on
    each block (user by user), arrivals and rates of each user in each of the last ``history`` slots (in the same unit,
    zero before the episode), and the observed part of the context.

    For references: ``backlog`` [N, U], ``levels`` and ``gains`` [N, U, B], ``task_rows`` [N] into ``tasks``.

    Args:
        placement: Seeds, indices and task pools of the rows; tasks of one config.
        autoreset_mode: SAME_STEP, NEXT_STEP or DISABLED.

    Raises:
        InputError: If the tasks do not share one config.
    """

    def __init__(self, placement: Placement, autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP) -> None:
        first = placement.pools[0][0]
        if any(task.config_hash != first.config_hash for pool in set(placement.pools) for task in pool):
            raise InputError("tasks of different configs have different spaces; make one environment for each config")
        self.config = read_config(first.config)
        super().__init__(placement, observation_space(self.config), action_space(self.config), autoreset_mode)
        users, blocks = self.config.users, self.config.resource_blocks
        self._rules = kernel.make_rules(self.config)
        self._cells = kernel.make_cells(self.num_envs, users, blocks, self.config.history)
        self._room = make_room(users, blocks, len(self.config.gains))
        self._power = np.zeros(self.num_envs)
        self._measured = np.zeros((self.num_envs, kernel.MEASURES))
        self._measures = {name: self._measured[:, column] for column, name in enumerate(MEASURES)}

    def _compile(self, tasks: Sequence[Task]) -> None:
        contexts: list[Any] = [task.context for task in tasks]
        noise = np.stack([level_noise(context, self.config) for context in contexts])
        arrivals = np.stack([probabilities(context["arrivals"], self.config.max_arrivals) for context in contexts])
        penalty = np.array([context["violation_cost"] for context in contexts], np.float64)
        self._table = kernel.Table(
            np.cumsum(arrivals, axis=1),
            noise,
            np.log2(noise),
            -np.log(self.config.snr_per_power * noise),
            penalty,
            self.config.loss_weight * penalty,
            np.stack([observed_numbers(task, self.config) for task in tasks]),
        )

    def _begin(self, rows: NDArray[np.int64]) -> None:
        keys = np.stack([self._seeds[rows], self._episodes[rows], self._indices[rows]], axis=1)
        kernel.begin_cells(rows, keys, self._table, self._cells)

    def _advance(self, actions: NDArray[Any], active: NDArray[np.bool_]) -> None:
        if actions.shape != (self.num_envs,) or actions.min() < 0 or actions.max() >= self.config.actions:
            raise InputError(f"actions are {self.num_envs} numbers below {self.config.actions}: {actions!r}")
        rows = self._all_rows[active]
        if len(rows) < self.num_envs:
            self._measured[~active] = 0.0
        tasks, table, cells = self._task_rows, self._table, self._cells
        rates = np.minimum(rates_of(actions, self.config), cells.backlog)
        if self.config.coupled:
            shared_power_of_cells(rows, rates, tasks, table, cells, self._room, self._power)
        else:
            kernel.power_of_cells(rows, rates, tasks, table, cells, self._room.counts[0], self._power)
        kernel.step_cells(rows, rates, self._power, tasks, table, self._rules, cells, self._rewards, self._measured)
        self._truncated[rows] = self._cells.slots[rows] >= self.config.episode_slots

    def _observe(self, rows: NDArray[np.int64]) -> None:
        kernel.observe_cells(rows, self._task_rows, self._table, self._rules, self._cells, self._obs)

    def _arrays(self) -> State:
        return {f"cells.{name}": array for name, array in self._cells._asdict().items()}

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The distinct tasks of all pools."""
        return self._tasks

    @property
    def task_rows(self) -> NDArray[np.int64]:
        """Which of ``tasks`` each row plays, [N] (a copy)."""
        return self._task_rows.copy()

    @property
    def backlog(self) -> NDArray[np.int64]:
        """Packets that wait at the slot's beginning, [N, U] (a copy)."""
        return self._cells.backlog.copy()

    @property
    def levels(self) -> NDArray[np.int64]:
        """Gain level of each user's blocks, from 0 for the lowest, [N, U, B] (a copy)."""
        return self._cells.levels.copy()

    @property
    def gains(self) -> NDArray[np.float64]:
        """Power gain of each user's blocks over their mean fading, [N, U, B]."""
        return np.asarray(self.config.gains)[self._cells.levels]
