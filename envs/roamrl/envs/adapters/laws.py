"""Ranges as studies write them: ``[low, high]`` and ``{choose: [..]}``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from roamrl.envs.canonical import JSON
from roamrl.envs.context import Choice, Uniform
from roamrl.envs.errors import InputError


@dataclass(frozen=True)
class Whole:
    """A whole number, uniform on low..high, both included."""

    low: int
    high: int

    def sample(self, rng: np.random.Generator) -> JSON:
        """Draw one value."""
        return int(rng.integers(self.low, self.high + 1))

    def describe(self) -> str:
        """Say the range in a few characters."""
        return f"{self.low}..{self.high}"


Range = Uniform | Whole | Choice


def is_number(value: JSON) -> bool:
    """Whether a JSON value is a finite number (truth values are none)."""
    return isinstance(value, int | float) and not isinstance(value, bool) and bool(np.isfinite(value))


def read_law(given: JSON, integer: bool) -> Range | None:
    """Return the distribution that a study's range stands for; None for none.

    Raises:
        InputError: If it is neither ``[low, high]`` with low < high nor ``{choose: [..]}``.
    """
    if given is None:
        return None
    if isinstance(given, Mapping) and set(given) == {"choose"} and isinstance(given["choose"], list | tuple):
        if not given["choose"]:
            raise InputError("'choose' needs at least one value")
        return Choice(tuple(given["choose"]))
    if isinstance(given, list | tuple) and len(given) == 2 and all(is_number(end) for end in given):
        low, high = given
        if low < high:
            return _between(low, high, integer)
    raise InputError(f"a range is [low, high] with low < high, or {{choose: [a, b, ..]}}; got {given!r}")


def _between(low: float, high: float, integer: bool) -> Range:
    if not integer:
        return Uniform(float(low), float(high))
    if low != int(low) or high != int(high):
        raise InputError(f"a range of whole numbers has whole ends, not [{low}, {high}]")
    return Whole(int(low), int(high))


def refuse_overlap(train: Range | None, ood: Range | None) -> None:
    """Refuse an out-of-distribution range that holds values of the training range.

    Raises:
        InputError: If they overlap.
    """
    if train is None or ood is None:
        return
    if isinstance(train, Choice) or isinstance(ood, Choice):
        values, other = (train.values, ood) if isinstance(train, Choice) else (getattr(ood, "values", ()), train)
        meet = [value for value in values if _holds(other, value)]
    else:
        meet = [max(train.low, ood.low)] if max(train.low, ood.low) < min(train.high, ood.high) else []
    if meet:
        raise InputError(f"ood {ood.describe()} and train {train.describe()} share {meet[0]!r}; keep them apart")


def _holds(law: Range, value: JSON) -> bool:
    if isinstance(law, Choice):
        return value in law.values
    return is_number(value) and law.low <= value <= law.high
