"""The config of ``navigation-v1``: where goals may lie, how fast the point is, how long an episode."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

from roamrl.envs.canonical import JSON, plain
from roamrl.envs.checked_values import known_keys, number, one_of, whole

GOALS = ("half-circle", "square")


@dataclass(frozen=True)
class NavigationConfig:
    """A full config; its JSON is part of every task.

    Attributes:
        goals: Where training goals lie: on the upper half of a circle, or in a square around the start.
        extent: Radius of the circle, or half the side of the square.
        speed: Largest move along each axis in a step.
        steps: Steps of an episode.
    """

    goals: str = "half-circle"
    extent: float = 1.0
    speed: float = 0.1
    steps: int = 100

    def to_json(self) -> dict[str, JSON]:
        """Return the full config as plain JSON."""
        return dict(plain(asdict(self)))


def read_config(given: Mapping[str, JSON]) -> NavigationConfig:
    """Check what was given and fill in the rest.

    Raises:
        InputError: If a key is unknown (names the nearest) or a value cannot be used.
    """
    known_keys("navigation config key", given, [entry.name for entry in fields(NavigationConfig)])
    values = {**asdict(NavigationConfig()), **given}
    return NavigationConfig(
        goals=one_of("goals", values["goals"], GOALS),
        extent=number("extent", values["extent"], 0.01, 100.0),
        speed=number("speed", values["speed"], 0.001, 10.0),
        steps=whole("steps", values["steps"], 1, 100_000),
    )
