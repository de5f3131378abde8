"""Feedback: what a policy with memory reads of its own past, beside the observation.

The last action, the reward it got and whether it ended its episode (Duan et al., "RL^2: fast reinforcement learning via
slow reinforcement learning", arXiv:1611.02779, 2016, sec. 2.2; Wang et al., "Learning to reinforcement learn",
arXiv:1611.05763, 2016). An action is one of n (Discrete), its values (Box, as the environment got them) or its bits
(MultiBinary). Rewards are given as they are: modules that normalise standardise them by the running statistics of their
inputs, like observations.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from roamrl.algorithms.bundle import ModuleSpec
from roamrl.envs.errors import InputError


def action_numbers(space: spaces.Space[Any]) -> int:
    """Return how many numbers an action is fed back as.

    Raises:
        InputError: If the space is none of Discrete, MultiBinary and Box.
    """
    if isinstance(space, spaces.Discrete):
        return int(space.n)
    if isinstance(space, spaces.Box | spaces.MultiBinary):
        return math.prod(space.shape)
    raise InputError(f"actions in {space!r} cannot be fed back; known: Discrete, MultiBinary, Box")


def with_feedback(spec: ModuleSpec, *, noise: int = 0, trial_episodes: int = 1) -> ModuleSpec:
    """Return a spec whose module reads feedback.

    Args:
        spec: The module; what it reads of the task stays.
        noise: Normal numbers that are held through an episode.
        trial_episodes: Episodes of a trial.

    Raises:
        InputError: If its observations have several axes, or its actions cannot be fed back.
    """
    shape = spec.observation_space.shape
    if shape is None or len(shape) != 1:
        raise InputError(f"feedback goes with flat observations, got {spec.observation_space!r}")
    actions = action_numbers(spec.action_space)
    extras = replace(spec.extras, feedback=True, actions=actions, noise=noise, trial_episodes=trial_episodes)
    return replace(spec, extras=extras)


class Feedback:
    """The feedback of N rows of each of P members, and the noise they hold, from step to step.

    Attributes:
        columns: What is read beside the next observations, [P, N, feedback_columns + noise] float32.
    """

    def __init__(self, spec: ModuleSpec, shape: tuple[int, int]) -> None:
        """Make the feedback of rows at the beginning of their trials.

        Raises:
            InputError: If the spec's extras do not fit its actions.
        """
        extras, self._space = spec.extras, spec.action_space
        self._actions = extras.actions
        if extras.feedback and extras.actions != action_numbers(self._space):
            raise InputError(
                f"an action in {self._space!r} is fed back as {action_numbers(self._space)} numbers, the module's "
                f"extras say {extras.actions}"
            )
        self._told = extras.feedback_columns
        self.columns = np.zeros((*shape, self._told + extras.noise), np.float32)

    @property
    def noise(self) -> NDArray[np.float32]:
        """The noise that is held, [P, N, noise], to be written to."""
        return self.columns[..., self._told :]

    def begin(self) -> None:
        """Begin a trial in every row."""
        self.columns[..., : self._told] = 0.0

    def take(self, actions: NDArray[Any], rewards: NDArray[Any]) -> None:
        """Take in a step: the environment's actions [P, N, *A] and rewards [P, N]; as yet nothing has ended."""
        if not self._told:
            return
        self.columns[..., : self._actions] = self._as_numbers(actions)
        self.columns[..., self._actions] = rewards
        self.columns[..., self._actions + 1] = 0.0

    def mark(self, ended: NDArray[np.bool_], over: NDArray[np.bool_]) -> None:
        """Tell rows [P, N] that their episode has ended, or with it their trial: these begin anew."""
        if self._told:
            self.columns[ended, self._actions + 1] = 1.0
            self.columns[over, : self._told] = 0.0

    def _as_numbers(self, actions: NDArray[Any]) -> NDArray[Any]:
        if isinstance(self._space, spaces.Discrete):
            return (actions[..., None] - self._space.start) == np.arange(self._actions)
        return actions.reshape(*actions.shape[:2], -1)

    def state(self) -> NDArray[np.float32]:
        """Return a copy of the columns."""
        return self.columns.copy()

    def restore(self, state: NDArray[np.float32]) -> None:
        """Go on from :meth:`state`'s result."""
        self.columns[...] = state


def raw_columns(spec: ModuleSpec) -> NDArray[np.bool_]:
    """Return which of a flat module's inputs are bits or noise, and stay as they are when others are standardised."""
    raw = np.zeros(spec.input_shape, np.bool_)
    extras = spec.extras
    first = spec.input_shape[-1] - extras.columns
    if extras.feedback:
        end = first + extras.actions + 1
        raw[..., end] = True
        if not isinstance(spec.action_space, spaces.Box):
            raw[..., first : first + extras.actions] = True
    noise = first + extras.feedback_columns
    raw[..., noise : noise + extras.noise] = True
    return raw.reshape(-1)
