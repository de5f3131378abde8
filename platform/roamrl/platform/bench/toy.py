"""A toy as cheap as an environment can be: what is left of a training loop's time when the environment costs nothing.

A point of 16 numbers decays, is pushed by one of 15 fixed vectors and shaken a little; the reward is minus its mean
square, so that pushing against where it stands is right. Episodes last 100 steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from roamrl.envs.batched import BatchedEnv, State
from roamrl.envs.canonical import JSON
from roamrl.envs.context import ContextSpace
from roamrl.envs.family import Family
from roamrl.envs.placement import Placement
from roamrl.envs.reference import Reference
from roamrl.envs.split import Split
from roamrl.envs.task import Task

SIZE, ACTIONS, EPISODE_STEPS = 16, 15, 100
OBSERVATION_SPACE = spaces.Box(-np.inf, np.inf, (SIZE,), np.float32)
ACTION_SPACE: spaces.Discrete[np.int64] = spaces.Discrete(ACTIONS)
_PUSHES = np.random.default_rng(0).normal(0.0, 0.3, (ACTIONS, SIZE)).astype(np.float32)
_DECAY, _NOISE = np.float32(0.9), np.float32(0.1)


class ToyCells(BatchedEnv):
    """N points. Their noise is a stretch of one table, found by seed, episode and index."""

    def __init__(self, placement: Placement, autoreset_mode: AutoresetMode | str) -> None:
        count = len(placement)
        self._points = np.zeros((count, SIZE), np.float32)
        self._played = np.zeros(count, np.int64)
        self._offsets = np.zeros(count, np.int64)
        super().__init__(placement, OBSERVATION_SPACE, ACTION_SPACE, autoreset_mode)

    def _compile(self, tasks: Sequence[Task]) -> None:
        self._noise = np.random.default_rng(1).normal(0.0, _NOISE, (1 << 14, SIZE)).astype(np.float32)

    def _begin(self, rows: NDArray[np.int64]) -> None:
        mixed = self._seeds[rows] * 7919 + self._episodes[rows] * 104729 + self._indices[rows] * 1299709
        self._points[rows] = self._noise[mixed % len(self._noise)] / _NOISE
        self._offsets[rows] = (mixed * 31 + 17) % (len(self._noise) - EPISODE_STEPS)
        self._played[rows] = 0

    def _advance(self, actions: NDArray[Any], active: NDArray[np.bool_]) -> None:
        moved = _DECAY * self._points + _PUSHES[actions] + self._noise[self._offsets + self._played]
        if active.all():
            self._points[:] = moved
        else:
            self._points[active] = moved[active]
        self._played += active
        self._rewards[:] = -np.einsum("ij,ij->i", self._points, self._points) / SIZE
        self._truncated[:] = self._played >= EPISODE_STEPS

    def _observe(self, rows: NDArray[np.int64]) -> None:
        if len(rows) == self.num_envs:
            self._obs[:] = self._points
        else:
            self._obs[rows] = self._points[rows]

    def _arrays(self) -> State:
        return {"points": self._points, "played": self._played, "offsets": self._offsets}


class ToyCell(gymnasium.Env[NDArray[np.float32], np.int64]):
    """One point, with no batch around it: what a scalar loop steps."""

    observation_space = OBSERVATION_SPACE
    action_space = ACTION_SPACE

    def __init__(self, config: Mapping[str, Any] | None = None) -> None:
        self._point = np.zeros(SIZE, np.float32)
        self._played = 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start an episode."""
        super().reset(seed=seed)
        self._point = self.np_random.normal(0.0, 1.0, SIZE).astype(np.float32)
        self._played = 0
        return self._point, {}

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Push the point."""
        noise = self.np_random.standard_normal(SIZE, np.float32)
        self._point = _DECAY * self._point + _PUSHES[action] + _NOISE * noise
        self._played += 1
        return self._point, -float(self._point @ self._point) / SIZE, False, self._played >= EPISODE_STEPS, {}


class ToyFamily(Family):
    """The toy as a family of one task; only benchmarks know it."""

    name, version, about, measures = "toy", 0, "a point pushed to the origin, for benchmarks", ()

    def config(self, overrides: Mapping[str, JSON] | None = None) -> dict[str, JSON]:
        """Return the config: there is nothing to set."""
        return {}

    def context_space(self, config: Mapping[str, JSON]) -> ContextSpace:
        """Return a table without variables."""
        return ContextSpace(())

    def spaces(self, config: Mapping[str, JSON]) -> tuple[spaces.Box, spaces.Space[Any]]:
        """Return a point and 15 actions."""
        return OBSERVATION_SPACE, ACTION_SPACE

    def episode_steps(self, config: Mapping[str, JSON]) -> int:
        """Return 100."""
        return EPISODE_STEPS

    def make_placed(
        self, placement: Placement, autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP
    ) -> BatchedEnv:
        """Make N points."""
        return ToyCells(placement, autoreset_mode)

    def references(self, config: Mapping[str, JSON]) -> Mapping[str, Reference]:
        """Return none: nobody scores a toy."""
        return {}

    def splits(self, config: Mapping[str, JSON]) -> Mapping[str, Split]:
        """Return none."""
        return {}

    def features(self, task: Task) -> NDArray[np.float64]:
        """Return nothing to compare by."""
        return np.zeros(0)


TOY = ToyFamily()
