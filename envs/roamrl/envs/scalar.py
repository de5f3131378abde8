"""The one-cell face: a Gymnasium environment that is the batched one with B = 1."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from roamrl.envs.batched import BatchedEnv, State
from roamrl.envs.errors import InputError


class ScalarEnv(gymnasium.Env[NDArray[np.float32], Any]):
    """One cell of a family, stepped alone.

    Args:
        batched: A batched environment with one row and autoreset mode DISABLED.
    """

    metadata = {"render_modes": []}  # noqa: RUF012  (Gymnasium's own convention)

    def __init__(self, batched: BatchedEnv) -> None:
        if batched.num_envs != 1:
            raise InputError(f"the scalar face holds one cell, not {batched.num_envs}; use the batched environment")
        self.batched = batched
        self.observation_space = batched.single_observation_space
        self.action_space = batched.single_action_space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start an episode: episode 0 of a seed if one is given, else the next."""
        super().reset(seed=seed)
        obs, infos = self.batched.reset(seed=seed, options=options)
        return obs[0], infos

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Step the cell."""
        obs, rewards, terminated, truncated, infos = self.batched.step(np.asarray(action)[None])
        measures = {name: values[0] for name, values in infos.items() if not name.startswith("_")}
        return obs[0], float(rewards[0]), bool(terminated[0]), bool(truncated[0]), measures

    def get_state(self) -> State:
        """Return a copy of everything a rollout depends on."""
        return self.batched.get_state()

    def set_state(self, state: State) -> None:
        """Restore :meth:`get_state`'s result."""
        self.batched.set_state(state)
