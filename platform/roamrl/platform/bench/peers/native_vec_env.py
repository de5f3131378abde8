"""A native batch as Stable-Baselines3's vector environment; only imported where that is installed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

from roamrl.envs.batched import BatchedEnv
from roamrl.envs.errors import InputError


class NativeVecEnv(VecEnv):  # type: ignore[misc]
    """Steps a batch by one call; it has no single environments to reach into."""

    def __init__(self, cells: BatchedEnv) -> None:
        self._cells: Any = cells
        self._actions: NDArray[Any] = np.zeros(cells.num_envs, np.int64)
        super().__init__(cells.num_envs, cells.single_observation_space, cells.single_action_space)

    def reset(self) -> NDArray[Any]:
        """Start all rows."""
        return np.asarray(self._cells.reset()[0])

    def step_async(self, actions: NDArray[Any]) -> None:
        """Take the actions of the next step."""
        self._actions = actions

    def step_wait(self) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], list[dict[str, Any]]]:
        """Make the step."""
        obs, rewards, terminated, truncated, infos = self._cells.step(self._actions)
        done = terminated | truncated
        notes: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for row in np.flatnonzero(done):
            notes[row] = {
                "terminal_observation": infos["final_obs"][row],
                "TimeLimit.truncated": bool(truncated[row]),
            }
        return obs, rewards, done, notes

    def close(self) -> None:
        """Close the batch."""
        self._cells.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Return an attribute of the batch, once a row."""
        return [getattr(self._cells, attr_name, None)] * self.num_envs

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Refuse: rows have no attributes."""
        raise InputError("a native batch has no single environments to set attributes of")

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        """Refuse: rows have no methods."""
        raise InputError("a native batch has no single environments to call methods of")

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """Return that no row is wrapped."""
        return [False] * self.num_envs
