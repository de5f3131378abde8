"""The batched environment of ``mac-v1``: B cells, each with its own context, stepped by one kernel call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from roamrl.envs.batched import BatchedEnv, State
from roamrl.envs.errors import InputError
from roamrl.envs.mac import kernel
from roamrl.envs.mac.cells import MEASURES as MEASURE_COUNT
from roamrl.envs.mac.cells import Tasks, make_cells
from roamrl.envs.mac.config import MACConfig, read_config
from roamrl.envs.mac.observation import observation_space
from roamrl.envs.mac.table import compile_tasks
from roamrl.envs.placement import Placement
from roamrl.envs.task import Task

MEASURES = ("utilisation", "collision_rate", "jain", "delay_p99", "loss_rate")
"""Step measures, whose mean over the steps of an episode is what the episode came to: payload slots delivered a slot;
share of busy epochs that were collisions; Jain's index of the stations' throughputs; 99 % quantile of the delays of
delivered packets, slots (up to 1/32 too high; from arrival to the end of the packet, under saturated traffic from the
end of the station's packet before); share of the packets offered that found a full queue."""


def action_space(config: MACConfig) -> spaces.MultiBinary:
    """Return the space of one cell's action: who transmits."""
    return spaces.MultiBinary(config.n_max)


class MACEnv(BatchedEnv):
    """N cells of at most S = ``n_max`` stations; see :class:`~roamrl.envs.batched.BatchedEnv` for step and reset.

    A step is one contention epoch (a semi-Markov decision process): one slot if nobody transmits, else the L slots of
    a packet and one slot of sensing. ``durations`` are its slots, the reward is summed over them, and what follows is
    discounted by gamma^slots. A packet gets through if one station alone transmits. An episode is truncated when
    ``episode_slots`` have passed: the last epoch is cut there, and a packet that does not end by then does not count,
    so that the undiscounted return over ``episode_slots`` is the reward a slot.

    An observation is [S, O] (:mod:`roamrl.envs.mac.observation`), an action says for each of the S stations whether it
    transmits; what absent stations and stations with an empty queue do is ignored.

    A single step's measures in ``infos`` mean nothing by themselves (their sum telescopes, see ``MEASURES``); what an
    episode has come to by now is in ``so_far``.

    For references and reports: ``state`` (records of :mod:`roamrl.envs.mac.cells`) and ``table``, the parameters of
    ``tasks``.

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
        self.state = make_cells(self.num_envs, self.config.n_max, self.config.queue_packets)
        self._so_far = np.zeros((self.num_envs, MEASURE_COUNT))
        self._durations = np.zeros(self.num_envs)
        self._measured = np.zeros((self.num_envs, MEASURE_COUNT))
        self._measures = {name: self._measured[:, column] for column, name in enumerate(MEASURES)}

    def _compile(self, tasks: Sequence[Task]) -> None:
        self.table: Tasks = compile_tasks(tasks, self.config)

    def _begin(self, rows: NDArray[np.int64]) -> None:
        keys = np.stack([self._seeds[rows], self._episodes[rows], self._indices[rows]], axis=1)
        self._so_far[rows] = 0.0
        kernel.begin_cells(rows, keys, self._task_rows, self.table, self.state, self._obs)

    def _advance(self, actions: NDArray[Any], active: NDArray[np.bool_]) -> None:
        transmit = self._to_transmit(actions)
        assert self._durations is not None
        if not active.all():
            self._measured[~active] = 0.0
            self._durations[~active] = 0.0
        kernel.step_cells(
            self._all_rows[active],
            transmit,
            self._task_rows,
            self.table,
            self.state,
            self._so_far,
            self._obs,
            self._rewards,
            self._durations,
            self._truncated,
            self._measured,
        )

    def _to_transmit(self, actions: NDArray[Any]) -> NDArray[np.int8]:
        shape = (self.num_envs, self.config.n_max)
        if actions.shape != shape or not (actions.dtype == np.bool_ or ((actions == 0) | (actions == 1)).all()):
            raise InputError(f"actions are 0 or 1 for each of {shape[1]} stations in {shape[0]} cells, got {actions!r}")
        return np.ascontiguousarray(actions, np.int8)

    def _observe(self, rows: NDArray[np.int64]) -> None:
        """Do nothing: an observation grows event by event where it lies, and the kernel appends to it."""

    def _arrays(self) -> State:
        return {**self.state._asdict(), "so_far": self._so_far}

    @property
    def so_far(self) -> dict[str, NDArray[np.float64]]:
        """What the rows' episodes have come to by now, [N] by name (see ``MEASURES``)."""
        return {name: self._so_far[:, column].copy() for column, name in enumerate(MEASURES)}
