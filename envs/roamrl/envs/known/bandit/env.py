"""The batched environment of ``bandit-v1``: N bandits, each with its own probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from roamrl.envs.batched import BatchedEnv, State
from roamrl.envs.errors import InputError
from roamrl.envs.known.bandit import kernel
from roamrl.envs.known.bandit.config import BanditConfig, read_config
from roamrl.envs.placement import Placement
from roamrl.envs.task import Task

MEASURES = ("regret",)
"""Step measures: the best arm's probability less that of the arm pulled."""


def observation_space() -> spaces.Box:
    """Return the space of the one observation there is, 1: what was pulled and paid is for a memory to keep."""
    return spaces.Box(0.0, 1.0, (1,), np.float32)


def action_space(config: BanditConfig) -> spaces.Space[Any]:
    """Return the arms."""
    return spaces.Discrete(config.arms)


class BanditEnv(BatchedEnv):
    """N bandits; see :class:`~roamrl.envs.batched.BatchedEnv` for step and reset.

    Pulling arm a pays 1 with the hidden probability p_a, else 0. After ``pulls`` pulls an episode is terminated, not
    truncated: the horizon is part of the problem, and nothing that would come after it is worth anything.

    Args:
        placement: Seeds, indices and task pools of the rows; tasks of one config.
        autoreset_mode: SAME_STEP, NEXT_STEP or DISABLED.

    Attributes:
        pulled: Pulls of each arm in the episode, [N, K].
        paid: How many of them paid, [N, K].

    Raises:
        InputError: If the tasks do not share one config.
    """

    def __init__(self, placement: Placement, autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP) -> None:
        first = placement.pools[0][0]
        if any(task.config_hash != first.config_hash for pool in set(placement.pools) for task in pool):
            raise InputError("tasks of different configs have different spaces; make one environment for each config")
        self.config = read_config(first.config)
        rows = len(placement)
        self.pulled = np.zeros((rows, self.config.arms), np.int64)
        self.paid = np.zeros((rows, self.config.arms), np.int64)
        self._made = np.zeros(rows, np.int64)
        self._keys = np.zeros(rows, np.uint64)
        super().__init__(placement, observation_space(), action_space(self.config), autoreset_mode)

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """The rows' probabilities, [N, K]."""
        return self._probabilities[self._task_rows]

    def choice_draws(self) -> NDArray[np.float64]:
        """Return numbers from [0, 1) by which a reference chooses its next pull, [N, K]."""
        draws = np.empty(self.pulled.shape)
        kernel.choice_draws(self._keys, self._made, draws)
        return draws

    def _compile(self, tasks: Sequence[Task]) -> None:
        self._probabilities = np.array([task.context["probabilities"] for task in tasks], np.float64)

    def _begin(self, rows: NDArray[np.int64]) -> None:
        kernel.begin_rows(rows, self._seeds, self._episodes, self._indices, self._keys)
        self.pulled[rows] = 0
        self.paid[rows] = 0
        self._made[rows] = 0

    def _advance(self, actions: NDArray[Any], active: NDArray[np.bool_]) -> None:
        arms = self._to_arms(actions)
        rows = self._all_rows[active]
        kernel.pull(rows, arms, self._task_rows, self._probabilities, self._keys, self._made, self._rewards)
        self.pulled[rows, arms[rows]] += 1
        self.paid[rows, arms[rows]] += self._rewards[rows].astype(np.int64)
        self._made += active
        self._terminated[:] = active & (self._made >= self.config.pulls)
        best, own = self.probabilities.max(axis=1), self.probabilities[self._all_rows, arms]
        self._measures = {"regret": np.where(active, best - own, 0.0)}

    def _to_arms(self, actions: NDArray[Any]) -> NDArray[np.int64]:
        arms = self.config.arms
        if actions.shape != (self.num_envs,) or actions.dtype.kind not in "iu":
            raise InputError(f"actions are {self.num_envs} numbers of arms, got {actions.shape} {actions.dtype}")
        if ((actions < 0) | (actions >= arms)).any():
            raise InputError(f"arms are numbered 0..{arms - 1}, got {actions.min()}..{actions.max()}")
        return actions.astype(np.int64)

    def _observe(self, rows: NDArray[np.int64]) -> None:
        self._obs[rows] = 1.0

    def _arrays(self) -> State:
        return {"pulled": self.pulled, "paid": self.paid, "made": self._made, "keys": self._keys}
