"""The context table of ``navigation-v1``: the goal, and the laws it is drawn from."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from roamrl.envs.canonical import JSON
from roamrl.envs.checked_values import number
from roamrl.envs.context import ContextSpace, Law, Variable
from roamrl.envs.errors import InputError
from roamrl.envs.known.navigation.config import NavigationConfig


@dataclass(frozen=True)
class Arc:
    """A point on a circle around the origin, its angle uniform on [low, high] radians."""

    radius: float
    low: float
    high: float

    def sample(self, rng: np.random.Generator) -> JSON:
        """Draw one point."""
        angle = rng.uniform(self.low, self.high)
        return [self.radius * math.cos(angle), self.radius * math.sin(angle)]

    def describe(self) -> str:
        """Say the arc in a few characters."""
        return f"circle {self.radius:g}, {math.degrees(self.low):g}..{math.degrees(self.high):g} degrees"


@dataclass(frozen=True)
class Frame:
    """A point uniform on the square of half side ``outer``, outside that of half side ``inner``."""

    inner: float
    outer: float

    def sample(self, rng: np.random.Generator) -> JSON:
        """Draw one point."""
        while True:
            point = rng.uniform(-self.outer, self.outer, 2)
            if np.abs(point).max() >= self.inner:
                return [float(point[0]), float(point[1])]

    def describe(self) -> str:
        """Say the frame in a few characters."""
        return f"square {self.outer:g}" + (f" outside {self.inner:g}" if self.inner else "")


def context_space(config: NavigationConfig) -> ContextSpace:
    """Return the context table under a config."""
    train, beyond = _laws(config)
    about = "where the point is wanted; it starts at the origin"
    goal = Variable("goal", "1", [0.0, config.extent], train, beyond, "hidden", ("reward",), _goal(config), about)
    return ContextSpace((goal,))


def _laws(config: NavigationConfig) -> tuple[Law, Law]:
    if config.goals == "half-circle":
        return Arc(config.extent, 0.0, math.pi), Arc(config.extent, math.pi, 2.0 * math.pi)
    return Frame(0.0, config.extent), Frame(config.extent, 2.0 * config.extent)


def _goal(config: NavigationConfig) -> Callable[[JSON], JSON]:
    reach = config.speed * config.steps

    def check(value: JSON) -> JSON:
        if not isinstance(value, list | tuple) or len(value) != 2:
            raise InputError(f"a goal is [x, y], got {value!r}")
        return [number("goal", entry, -reach, reach) for entry in value]

    return check
