"""The batched environment of ``navigation-v1``: N points in the plane, each with its own goal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from roamrl.envs.batched import BatchedEnv, State
from roamrl.envs.errors import InputError
from roamrl.envs.known.navigation.config import NavigationConfig, read_config
from roamrl.envs.placement import Placement
from roamrl.envs.task import Task

MEASURES = ("distance",)
"""Step measures: distance to the goal after the move."""


def observation_space(config: NavigationConfig) -> spaces.Box:
    """Return the space of positions [x, y]."""
    reach = config.speed * config.steps
    return spaces.Box(-reach, reach, (2,), np.float32)


def action_space() -> spaces.Box:
    """Return the space of moves, in units of the largest one."""
    return spaces.Box(-1.0, 1.0, (2,), np.float32)


class NavigationEnv(BatchedEnv):
    """N points that start at the origin; see :class:`~roamrl.envs.batched.BatchedEnv` for step and reset.

    position <- position + speed * clip(action, -1, 1);   reward = -|position - goal|

    The goal cannot be seen. Nothing is random: episodes differ by what is done alone. An episode is truncated after
    ``steps`` steps.

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
        self.position = np.zeros((len(placement), 2))
        self._made = np.zeros(len(placement), np.int64)
        super().__init__(placement, observation_space(self.config), action_space(), autoreset_mode)

    @property
    def goals(self) -> NDArray[np.float64]:
        """The rows' goals, [N, 2]."""
        return self._goals[self._task_rows]

    def _compile(self, tasks: Sequence[Task]) -> None:
        self._goals = np.array([task.context["goal"] for task in tasks], np.float64)

    def _begin(self, rows: NDArray[np.int64]) -> None:
        self.position[rows] = 0.0
        self._made[rows] = 0

    def _advance(self, actions: NDArray[Any], active: NDArray[np.bool_]) -> None:
        if actions.shape != self.position.shape or not np.isfinite(actions).all():
            raise InputError(f"actions are finite numbers [{self.num_envs}, 2], got {actions.shape} {actions.dtype}")
        moves = self.config.speed * np.clip(actions.astype(np.float64), -1.0, 1.0)
        self.position += np.where(active[:, None], moves, 0.0)
        self._made += active
        distance = np.where(active, np.linalg.norm(self.position - self.goals, axis=1), 0.0)
        self._rewards[:] = -distance
        self._truncated[:] = active & (self._made >= self.config.steps)
        self._measures = {"distance": distance}

    def _observe(self, rows: NDArray[np.int64]) -> None:
        self._obs[rows] = self.position[rows]

    def _arrays(self) -> State:
        return {"position": self.position, "made": self._made}
