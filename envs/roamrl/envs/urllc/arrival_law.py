"""Arrival laws: how many packets come in a slot, as one context variable in four spellings.

* ``{"kind": "poisson", "mean": m}``: P(k) in proportion to m^k / k! for k up to the most arrivals K, a Poisson law cut
  at K and normalised (at K = 8 and m = 2, P(more than 8) = 2.4e-4 is left out and the mean is 1.9983).
* ``{"kind": "batch", "mean": m, "size": 6}``: ``size`` packets with probability m / size, otherwise none.
* ``{"kind": "mixture", "parts": [{"weight": w, "law": {..}}, ..]}``: each slot's law is drawn by the weights, so that
  arrivals stay independent from slot to slot.
* ``{"kind": "empirical", "probabilities": [p0, .., pK]}``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from roamrl.envs.canonical import JSON
from roamrl.envs.checked_values import known_keys, number, whole
from roamrl.envs.errors import InputError, unknown_name

F64 = NDArray[np.float64]

BATCH_SIZE: Final = 6
_DEEPEST: Final = 3
_TOLERANCE: Final = 1e-6


def check_law(value: JSON, most: int, depth: int = 0) -> dict[str, JSON]:
    """Return an arrival law in canonical form.

    Args:
        value: What was given.
        most: Most arrivals a slot, K.
        depth: Mixtures it lies in.

    Raises:
        InputError: If it is no law; the message says what is expected.
    """
    if not isinstance(value, Mapping) or "kind" not in value:
        raise InputError(f'an arrival law is needed, such as {{"kind": "poisson", "mean": 0.8}}; got {value!r}')
    if value["kind"] not in _KEYS:
        raise unknown_name("kind of arrival law", str(value["kind"]), _KEYS)
    kind = str(value["kind"])
    known_keys(f"part of a {kind} law", value, ("kind", *_KEYS[kind]))
    missing = [key for key in _KEYS[kind] if key not in value and key != "size"]
    if missing:
        raise InputError(f"{kind}: {', '.join(missing)} missing")
    return _mixture(value["parts"], most, depth) if kind == "mixture" else _CHECKS[kind](value, most)


def probabilities(law: Mapping[str, Any], most: int) -> F64:
    """Return the probability of 0, 1, .., K arrivals in a slot under a checked law, [K + 1].

    Args:
        law: A law as :func:`check_law` returns it.
        most: Most arrivals a slot, K.
    """
    counts = np.arange(most + 1)
    share: F64 = np.zeros(most + 1)
    match law["kind"]:
        case "poisson":
            share = np.array([law["mean"] ** k / math.factorial(k) for k in counts.tolist()], np.float64)
        case "batch":
            share[law["size"]] = law["mean"] / law["size"]
            share[0] = 1.0 - share[law["size"]]
        case "mixture":
            share = np.sum([part["weight"] * probabilities(part["law"], most) for part in law["parts"]], axis=0)
        case _:
            share[: len(law["probabilities"])] = law["probabilities"]
    return np.asarray(share / share.sum())


def poisson(mean: float) -> dict[str, JSON]:
    """Return the law of Poisson arrivals."""
    return {"kind": "poisson", "mean": float(mean)}


def batches(mean: float, size: int = BATCH_SIZE) -> dict[str, JSON]:
    """Return the law of batches of the same mean."""
    return {"kind": "batch", "mean": float(mean), "size": size}


def mixture(*laws: Mapping[str, JSON]) -> dict[str, JSON]:
    """Return the even mixture of some laws."""
    return {"kind": "mixture", "parts": [{"weight": 1.0 / len(laws), "law": dict(law)} for law in laws]}


@dataclass(frozen=True)
class Means:
    """Laws whose mean is uniform on [low, high], for context tables."""

    make: Callable[[float], JSON]
    word: str
    low: float
    high: float

    def sample(self, rng: np.random.Generator) -> JSON:
        """Draw one law."""
        return self.make(float(rng.uniform(self.low, self.high)))

    def describe(self) -> str:
        """Say the range in a few characters."""
        return f"{self.word} {self.low:g}..{self.high:g}"


@dataclass(frozen=True)
class EitherOf:
    """Laws from one of several ranges, with equal probability."""

    ranges: tuple[Means, ...]

    def sample(self, rng: np.random.Generator) -> JSON:
        """Draw one law."""
        return self.ranges[int(rng.integers(len(self.ranges)))].sample(rng)

    def describe(self) -> str:
        """Say the ranges in a few characters."""
        return " or ".join(entry.describe() for entry in self.ranges)


def _poisson(value: Mapping[str, JSON], most: int) -> dict[str, JSON]:
    try:
        return poisson(number("mean", value["mean"], 0.0, most / 2.0))
    except InputError as error:
        raise InputError(
            f"{error} packets a slot (a Poisson law is cut at {most} arrivals, which would change a larger mean; give "
            "an empirical law)"
        ) from error


def _batch(value: Mapping[str, JSON], most: int) -> dict[str, JSON]:
    size = whole("size", value.get("size", BATCH_SIZE), 1, most)
    return batches(number("mean", value["mean"], 0.0, size), size)


def _empirical(value: Mapping[str, JSON], most: int) -> dict[str, JSON]:
    given = value["probabilities"]
    if not isinstance(given, list | tuple) or not 1 <= len(given) <= most + 1:
        raise InputError(f"probabilities: 1 to {most + 1} numbers are needed, for 0, 1, .. arrivals; got {given!r}")
    share = [number(f"probabilities[{count}]", entry, 0.0, 1.0) for count, entry in enumerate(given)]
    if abs(sum(share) - 1.0) > _TOLERANCE:
        raise InputError(f"probabilities sum to {sum(share):g}, not 1; divide them by their sum")
    return {"kind": "empirical", "probabilities": share + [0.0] * (most + 1 - len(share))}


def _mixture(parts: JSON, most: int, depth: int) -> dict[str, JSON]:
    if depth == _DEEPEST:
        raise InputError(f"mixtures are nested deeper than {_DEEPEST}; write them as one")
    if not isinstance(parts, list | tuple) or not parts:
        raise InputError(f'parts: a list of {{"weight": .., "law": ..}} is needed, got {parts!r}')
    checked: list[dict[str, JSON]] = []
    for part in parts:
        if not isinstance(part, Mapping) or set(part) != {"weight", "law"}:
            raise InputError(f"a part of a mixture has a weight and a law, got {part!r}")
        law = check_law(part["law"], most, depth + 1)
        checked.append({"weight": number("weight", part["weight"], 0.0, 1.0), "law": law})
    total = sum(part["weight"] for part in checked)
    if abs(total - 1.0) > _TOLERANCE:
        raise InputError(f"weights of a mixture sum to {total:g}, not 1; divide them by their sum")
    return {"kind": "mixture", "parts": checked}


_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "poisson": ("mean",),
    "batch": ("mean", "size"),
    "mixture": ("parts",),
    "empirical": ("probabilities",),
}
_CHECKS: Final[Mapping[str, Callable[[Mapping[str, JSON], int], dict[str, JSON]]]] = {
    "poisson": _poisson,
    "batch": _batch,
    "empirical": _empirical,
}
