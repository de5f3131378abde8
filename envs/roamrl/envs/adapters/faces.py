"""How an environment from elsewhere looks to a policy: observations as one vector, actions as one choice or a Box."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from roamrl.envs.adapters.config import GymnasiumConfig
from roamrl.envs.adapters.laws import is_number, read_law
from roamrl.envs.canonical import JSON
from roamrl.envs.context import Choice
from roamrl.envs.errors import InputError

MOST_JOINT_ACTIONS: Final = 4096
"""Most combinations of a MultiDiscrete space that are offered as one choice; a policy has an output for each."""


@dataclass(frozen=True)
class Face:
    """Spaces of an environment and of the policies that play it.

    Attributes:
        inner_observation: The environment's own observation space.
        inner_action: Its own action space.
        observation: Flat Box of float32; observed context variables are its last entries.
        action: Discrete (the product of a MultiDiscrete or MultiBinary space), or the Box as it is.
    """

    inner_observation: spaces.Space[Any]
    inner_action: spaces.Space[Any]
    observation: spaces.Box
    action: spaces.Space[Any]

    def see(self, observation: Any, tail: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return an observation as the policy sees it, with the observed context behind it."""
        flat = np.asarray(spaces.flatten(self.inner_observation, observation), np.float32).ravel()
        return np.concatenate([flat, tail]) if tail.size else flat

    def to_inner(self, action: Any) -> Any:
        """Return a policy's action as the environment takes it."""
        sizes = _sizes(self.inner_action)
        if sizes is not None:
            parts = np.array(np.unravel_index(int(action), sizes.ravel()), self.inner_action.dtype)
            return parts.reshape(sizes.shape) + _start(self.inner_action)
        return int(action) if isinstance(self.inner_action, spaces.Discrete) else action

    def from_inner(self, action: Any) -> Any:
        """Return an action of the environment's own as a policy would say it."""
        sizes = _sizes(self.inner_action)
        if sizes is None:
            return np.asarray(action, self.action.dtype)
        parts = np.asarray(action) - _start(self.inner_action)
        return np.int64(np.ravel_multi_index(tuple(parts.ravel()), tuple(sizes.ravel())))


def make_face(config: GymnasiumConfig, observation: spaces.Space[Any], action: spaces.Space[Any]) -> Face:
    """Return how an environment with these spaces looks to a policy.

    Raises:
        InputError: If a space has no flat form.
    """
    if not observation.is_np_flattenable:
        raise InputError(
            f"{config.make} observes {observation}, which has no flat form; wrap it to a Box, Dict or Tuple"
        )
    flat = spaces.flatten_space(observation)
    if not isinstance(flat, spaces.Box):
        raise InputError(f"{config.make} observes {observation}, which flattens to {flat}; wrap it to a Box")
    with np.errstate(over="ignore"):
        low, high = (np.asarray(end, np.float32).ravel() for end in (flat.low, flat.high))
    extra = np.full(len(config.observed), np.inf, np.float32)
    seen = spaces.Box(np.concatenate([low, -extra]), np.concatenate([high, extra]), dtype=np.float32)
    return Face(observation, action, seen, _outer_action(config, action))


def observed_tail(config: GymnasiumConfig, context: Mapping[str, JSON]) -> NDArray[np.float32]:
    """Return the observed context variables, -1..1 over their training range, [V]."""
    values = []
    for variable in config.variables:
        if variable.name in config.observed:
            value = context[variable.name]
            if not is_number(value):
                raise InputError(f"context.{variable.name} is {value!r}; only numbers can be observed")
            centre, half = training_scale(config, variable.name)
            values.append((value - centre) / half)
    return np.array(values, np.float32)


def training_scale(config: GymnasiumConfig, name: str) -> tuple[float, float]:
    """Return centre and half width of a numeric variable's training range (its default and 1 if it has none)."""
    (variable,) = (variable for variable in config.variables if variable.name == name)
    law = read_law(variable.train, variable.integer)
    if law is None:
        return float(variable.default), max(1.0, abs(float(variable.default)))
    ends = (
        [float(value) for value in law.values if is_number(value)] if isinstance(law, Choice) else [law.low, law.high]
    )
    low, high = min(ends, default=0.0), max(ends, default=0.0)
    return (low + high) / 2.0, (high - low) / 2.0 or 1.0


def _outer_action(config: GymnasiumConfig, action: spaces.Space[Any]) -> spaces.Space[Any]:
    sizes = _sizes(action)
    if sizes is not None:
        joint = math.prod(int(size) for size in sizes.ravel())
        if joint > MOST_JOINT_ACTIONS:
            raise InputError(
                f"{config.make} has {joint} joint actions ({action}), more than the {MOST_JOINT_ACTIONS} that one "
                "choice may offer; make a smaller one, or wrap its actions to a Discrete or a Box"
            )
        return spaces.Discrete(joint)
    if isinstance(action, spaces.Discrete):
        return action
    if isinstance(action, spaces.Box) and np.issubdtype(action.dtype, np.floating):
        return action
    raise InputError(f"{config.make} acts in {action}; known: Discrete, MultiDiscrete, MultiBinary, Box of floats")


def _sizes(action: spaces.Space[Any]) -> NDArray[np.int64] | None:
    if isinstance(action, spaces.MultiDiscrete):
        return np.asarray(action.nvec, np.int64)
    if isinstance(action, spaces.MultiBinary):
        return np.full(action.shape or (), 2, np.int64)
    return None


def _start(action: spaces.Space[Any]) -> Any:
    return action.start if isinstance(action, spaces.MultiDiscrete) else 0
