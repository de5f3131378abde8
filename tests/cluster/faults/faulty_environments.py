"""An environment that plays well while policies are scored and goes wrong, by its context, where one is trained.

Studies name it as ``faulty_environments:make``; whoever runs them has this folder on ``PYTHONPATH``.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import gymnasium
import numpy as np
import ray
from gymnasium import spaces

FINE = 0
FAULTS = {"raises": 1, "nan-reward": 2, "nan-observation": 3, "sleeps": 4, "swallows": 5}
"""Values of the context variable ``fault``."""

STEPS = "FAULTY_STEPS"
"""Environment variable: a file that grows by a byte with every step made in training."""

CALM_STEPS = 3


def in_training() -> bool:
    return ray.is_initialized() and ray.get_runtime_context().get_actor_id() is not None


class Faulty(gymnasium.Env):
    """A number that actions push towards 0; its fault shows after three steps of an episode."""

    observation_space = spaces.Box(-5.0, 5.0, (2,), np.float32)
    action_space = spaces.Discrete(3)

    def __init__(self, fault: int = FINE, push: float = 0.2) -> None:
        self._push = push
        self.fault = fault if in_training() else FINE
        self._counter = os.environ.get(STEPS) if in_training() else None

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._x, self._t = self.np_random.uniform(-1.0, 1.0), 0
        return self._obs(), {}

    def step(self, action):
        self._t += 1
        self._x = float(np.clip(self._x + self._push * (int(action) - 1), -4.0, 4.0))
        reward, obs = -abs(self._x), self._obs()
        if self._counter:
            with Path(self._counter).open("ab", buffering=0) as file:
                file.write(b".")
        if self._t > CALM_STEPS:
            if self.fault == FAULTS["raises"]:
                raise ZeroDivisionError("the simulator lost a cell\nand says so at length")
            if self.fault == FAULTS["nan-reward"]:
                reward = float("nan")
            if self.fault == FAULTS["nan-observation"]:
                obs = np.full(2, np.nan, np.float32)
            if self.fault == FAULTS["sleeps"]:
                time.sleep(3600)
            while self.fault == FAULTS["swallows"]:
                try:
                    time.sleep(3600)
                except Exception:
                    continue
        return obs, reward, False, False, {}

    def _obs(self):
        return np.array([self._x, self._t / 10], np.float32)


def make(fault: int = FINE, push: float = 0.2) -> gymnasium.Env:
    return Faulty(fault, push)
