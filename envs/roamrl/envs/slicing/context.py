"""The context table of ``slicing-v1``: what tells one cell from another, its unit, ranges and visibility."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from roamrl.envs.canonical import JSON
from roamrl.envs.context import Choice as OneOf
from roamrl.envs.context import ContextSpace, Dirichlet, Law, Uniform, Variable, Visibility
from roamrl.envs.errors import InputError, unknown_name
from roamrl.envs.slicing.config import SlicingConfig

LEAST_STEEPNESS = 5.0
"""Least c1 * c2: below it a slice without delay does not reach a satisfaction near one."""

TIMER_SLOPES = 4.0
"""A discard timer is at least c2 + 4 / c1, or dropping packets would pay."""

_TRACE = re.compile(r"sha256:[0-9a-f]{64}")
_BURST = ("high", "low", "p_down", "p_up")


def context_space(config: SlicingConfig) -> ContextSpace:
    """Return the context table under a config."""
    kinds = config.kinds
    count = len(kinds)
    hidden = config.variant == "hidden-sla"

    def seen(name: str, otherwise: Visibility = "hidden") -> Visibility:
        return "observed" if name in config.observed else otherwise

    per_slice = _per_slice(count, 0.0, 1000.0)
    strict = {"c1": [kind.strict[0] for kind in kinds], "c2": [kind.strict[1] for kind in kinds]}
    target = {"c1": [kind.c1 for kind in kinds], "c2": [kind.c2 for kind in kinds]}
    burst = {name: [kind.burst[entry] for kind in kinds] for entry, name in enumerate(_BURST)}
    weights: Law = OneOf(_peaked(count)) if hidden else Dirichlet((1.0,) * count)
    return ContextSpace(
        (
            Variable(
                "load", "1", 1.25 if hidden else 1.0, None if hidden else Uniform(0.8, 1.2), Uniform(1.3, 1.6),
                seen("load", "inferable"), ("dynamics",), _number(0.01, 100.0), "multiplies every slice's offered bits",
            ),
            Variable(
                "snr_mean_db", "dB", 18.0, Uniform(16.0, 20.0), OneOf((15.0,)),
                seen("snr_mean_db", "inferable"), ("dynamics",), _number(-20.0, 60.0), "mean SNR of the users",
            ),
            Variable(
                "snr_spread_db", "dB", 4.0, None, None,
                seen("snr_spread_db"), ("dynamics",), _number(0.0, 30.0), "standard deviation of users' mean SNR",
            ),
            Variable(
                "speed_mps", "m/s", 2.6, None, None,
                seen("speed_mps"), ("dynamics",), _number(0.0, 150.0), "speed of the users",
            ),
            Variable(
                "prb", "PRB", 51, None, OneOf((36,)),
                seen("prb"), ("dynamics",), _prb, "resource blocks of the cell: 51 in 20 MHz, 106 in 40 MHz",
            ),
            Variable(
                "weights", "1", [1.0 / count] * count, weights, None,
                seen("weights"), ("reward",), _weights(count), "weight of each slice in the reward",
            ),
            Variable(
                "sla_target", "1/ms, ms", target, None, OneOf((strict,)),
                seen("sla_target"), ("reward",), _target(config), "slope c1 and target c2 of each slice's delay",
            ),
            Variable(
                "users", "1", [kind.users for kind in kinds], None, None,
                seen("users"), ("dynamics",), _per_slice(count, 0.0, config.user_slots), "mean users present",
            ),
            Variable(
                "rate_scale", "1", [1.0] * count, None, None,
                seen("rate_scale"), ("dynamics",), per_slice, "multiplies a slice's rate; a trace is raw at 1",
            ),
            Variable(
                "burst", "1, 1/window", burst, None, OneOf((_bursty(burst),)),
                "hidden", ("dynamics",), _bursts(count), "multipliers high and low, probability down and up a window",
            ),
            Variable(
                "stay", "windows", 40.0, None, None,
                "hidden", ("dynamics",), _stay, "mean stay of a user; null: users neither come nor leave",
            ),
            Variable(
                "xr_trace", "trace", "", None, None,
                "hidden", ("dynamics",), _trace("xr" in config.slices), "recorded frames, users take them in turn",
            ),
            Variable(
                "snr_trace", "trace", "", None, None,
                "hidden", ("dynamics",), _trace(True), "recorded SNR, users take them in turn",
            ),
        )
    )  # fmt: skip


def _peaked(count: int) -> tuple[list[float], ...]:
    """Return the permutations of one weight of .7 and the rest shared."""
    rest = 0.3 / (count - 1)
    return tuple([0.7 if entry == slice_ else rest for entry in range(count)] for slice_ in range(count))


def _bursty(burst: Mapping[str, list[float]]) -> dict[str, list[float]]:
    """Return higher, shorter and rarer bursts with about the same mean: peaks half as high again."""
    bursting = [up > 0.0 for up in burst["p_up"]]
    return {
        "high": [high * 1.5 if on else high for high, on in zip(burst["high"], bursting, strict=True)],
        "low": list(burst["low"]),
        "p_down": [min(2.0 * down, 1.0) if on else down for down, on in zip(burst["p_down"], bursting, strict=True)],
        "p_up": list(burst["p_up"]),
    }


def _real(value: JSON, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise InputError(f"a number from {low:g} to {high:g} is needed, got {value!r}")
    return float(value)


def _number(low: float, high: float) -> Callable[[JSON], JSON]:
    return lambda value: _real(value, low, high)


def _prb(value: JSON) -> JSON:
    number = _real(value, 1, 273)
    if number != int(number):
        raise InputError(f"a whole number of resource blocks is needed, got {value!r}")
    return int(number)


def _reals(value: JSON, count: int, low: float, high: float) -> list[float]:
    if not isinstance(value, list | tuple) or len(value) != count:
        raise InputError(f"{count} numbers are needed, one a slice, got {value!r}")
    return [_real(number, low, high) for number in value]


def _per_slice(count: int, low: float, high: float) -> Callable[[JSON], JSON]:
    return lambda value: _reals(value, count, low, high)


def _weights(count: int) -> Callable[[JSON], JSON]:
    def check(value: JSON) -> JSON:
        weights = _reals(value, count, 0.0, 1.0)
        if abs(sum(weights) - 1.0) > 1e-6:
            raise InputError(f"weights sum to {sum(weights):g}, not 1; divide them by their sum")
        return weights

    return check


def _named(value: JSON, names: tuple[str, ...], kind: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InputError(f"a map of {', '.join(names)} is needed, got {value!r}")
    for name in value:
        if name not in names:
            raise unknown_name(kind, str(name), names)
    missing = [name for name in names if name not in value]
    if missing:
        raise InputError(f"{', '.join(missing)} missing; {', '.join(names)} are one variable, give all")
    return value


def _target(config: SlicingConfig) -> Callable[[JSON], JSON]:
    count = len(config.slices)

    def check(value: JSON) -> JSON:
        given = _named(value, ("c1", "c2"), "part of an SLA target")
        slopes, targets = _reals(given["c1"], count, 1e-4, 1e3), _reals(given["c2"], count, 1e-2, 1e4)
        for name, c1, c2, timer in zip(config.slices, slopes, targets, config.timer_ms, strict=True):
            if c1 * c2 < LEAST_STEEPNESS - 1e-9:
                raise InputError(f"{name}: c1 * c2 = {c1 * c2:g} is below {LEAST_STEEPNESS:g}; raise c1")
            least = c2 + TIMER_SLOPES / c1
            if timer < least - 1e-9:
                raise InputError(
                    f"{name}: its discard timer of {timer:g} ms is below c2 + 4/c1 = {least:g} ms, so that dropping "
                    "packets would pay; raise timer_ms in the config, or c1"
                )
        return {"c1": slopes, "c2": targets}

    return check


def _bursts(count: int) -> Callable[[JSON], JSON]:
    def check(value: JSON) -> JSON:
        given = _named(value, _BURST, "part of a burst")
        return {name: _reals(given[name], count, 0.0, 1.0 if name[0] == "p" else 100.0) for name in _BURST}

    return check


def _stay(value: JSON) -> JSON:
    return None if value is None else _real(value, 0.1, 1e6)


def _trace(possible: bool) -> Callable[[JSON], JSON]:
    def check(value: JSON) -> JSON:
        entries = list(value) if isinstance(value, list | tuple) else [value]
        if entries == [""]:
            return ""
        if not possible:
            raise InputError("there is no xr slice to replay a trace in")
        for entry in entries:
            if not isinstance(entry, str) or not _TRACE.fullmatch(entry):
                raise InputError(f"a trace is named by 'sha256:' and 64 hex digits, or '' for none; got {entry!r}")
        return entries[0] if isinstance(value, str) else entries

    return check
