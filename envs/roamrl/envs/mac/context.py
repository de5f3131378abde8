"""The context table of ``mac-v1``: what tells one cell from another, its unit, ranges and visibility."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np

from roamrl.envs.canonical import JSON
from roamrl.envs.checked_values import known_keys, number, one_of, whole
from roamrl.envs.context import Choice, ContextSpace, Uniform, Variable
from roamrl.envs.errors import InputError
from roamrl.envs.mac.config import MACConfig

ARRIVALS: Final = ("saturated", "poisson", "bursts", "periodic")
"""Arrival laws; the number of each is what the kernel reads."""

TRAINED: Final = (2, 4, 6, 8)
BETWEEN: Final = (3, 5, 7)
"""Stations of the split ``iid``."""

BEYOND: Final = (12, 16, 24, 32, 40)
JUMPS_AN_EPISODE: Final = 4


@dataclass(frozen=True)
class Jumping:
    """The number of stations jumps at random slots, among those of training."""

    mean_gap: float
    stations: tuple[int, ...]

    def sample(self, rng: np.random.Generator) -> JSON:
        """Return the one value there is."""
        return {"mean_gap": self.mean_gap, "stations": list(self.stations)}

    def describe(self) -> str:
        """Say the value in a few characters."""
        return f"N jumps, {self.mean_gap:g} slots"


def context_space(config: MACConfig) -> ContextSpace:
    """Return the context table under a config; numbers of stations that do not fit into ``n_max`` are left out."""
    trained, beyond = (tuple(n for n in numbers if n <= config.n_max) for numbers in (TRAINED, BEYOND))
    most = config.n_max
    gap = config.episode_slots / JUMPS_AN_EPISODE
    jumping = Jumping(gap, trained) if len(trained) > 1 else None
    return ContextSpace(
        (
            Variable(
                "stations", "1", min(5, most), Choice(trained) if trained else None, Choice(beyond) if beyond else None,
                "hidden", ("dynamics",), lambda value: _stations(value, most), "stations in the cell, N",
            ),
            Variable(
                "load", "1", 0.8, Uniform(0.4, 1.2), Choice((1.5,)),
                "hidden", ("dynamics",), _real(0.01, 100.0), "payload slots all stations are offered a slot",
            ),
            Variable(
                "arrival", "law", "poisson", Choice(("saturated", "poisson", "periodic")), Choice(("bursts",)),
                "hidden", ("dynamics",), lambda value: one_of("arrival law", value, ARRIVALS),
                "how packets arrive; under 'saturated' every queue is always full, whatever the load",
            ),
            Variable(
                "packet_slots", "slots", 10, None, Choice((40,)),
                "inferable", ("dynamics",), _length, "slots a packet takes, L",
            ),
            Variable(
                "dynamic", "slots, 1", None, None, jumping,
                "hidden", ("dynamics",), _jumps(config), "N jumps inside an episode, at given or at random slots",
            ),
        )
    )  # fmt: skip


def _real(low: float, high: float) -> Callable[[JSON], JSON]:
    return lambda value: number("value", value, low, high)


def _length(value: JSON) -> JSON:
    return whole("packet length", value, 1, 10_000)


def _stations(value: JSON, most: int) -> int:
    if isinstance(value, int | float) and not isinstance(value, bool) and value > most:
        raise InputError(f"{value:g} stations do not fit into n_max = {most}; raise n_max in the config")
    return whole("stations", value, 1, most)


def _jumps(config: MACConfig) -> Callable[[JSON], JSON]:
    def check(value: JSON) -> JSON:
        if value is None:
            return None
        if not isinstance(value, Mapping):
            raise InputError(f"null, or a map of slots (or mean_gap) and stations is needed, got {value!r}")
        known_keys("part of the jumps", value, ("slots", "mean_gap", "stations"))
        if ("slots" in value) == ("mean_gap" in value) or "stations" not in value:
            raise InputError("jumps are given by stations and either slots (when) or mean_gap (at random)")
        listed = value["stations"]
        if not isinstance(listed, list | tuple) or not listed:
            raise InputError(f"stations: a list of numbers of stations is needed, got {listed!r}")
        stations = [_stations(entry, config.n_max) for entry in listed]
        if "slots" in value:
            return {"slots": _slots(value["slots"], len(stations), config.episode_slots), "stations": stations}
        if len(set(stations)) < 2:
            raise InputError("jumps at random slots are among at least two numbers of stations")
        return {"mean_gap": number("mean_gap", value["mean_gap"], 1.0, config.episode_slots), "stations": stations}

    return check


def _slots(value: Any, count: int, episode_slots: int) -> list[int]:
    if not isinstance(value, list | tuple) or len(value) != count:
        raise InputError(f"slots: one slot for each of {count} jumps is needed, got {value!r}")
    slots = [whole("slots", slot, 1, episode_slots - 1) for slot in value]
    if any(later <= earlier for earlier, later in pairwise(slots)):
        raise InputError(f"slots: jumps in order of time are needed, got {value!r}")
    return slots
