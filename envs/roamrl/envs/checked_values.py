"""Values a person gave, checked: a number in a range, a whole number, one of a few names, keys that are known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from roamrl.envs.canonical import JSON
from roamrl.envs.errors import InputError, unknown_name


def number(key: str, value: JSON, low: float, high: float) -> float:
    """Return a number from ``low`` to ``high``.

    Raises:
        InputError: If it is none, or outside.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise InputError(f"{key}: a number from {low:g} to {high:g} is needed, got {value!r}")
    return float(value)


def whole(key: str, value: JSON, low: float, high: float) -> int:
    """Return a whole number from ``low`` to ``high`` (4.0 is one).

    Raises:
        InputError: If it is none, or outside.
    """
    found = number(key, value, low, high)
    if found != int(found):
        raise InputError(f"{key}: a whole number is needed, got {value!r}")
    return int(found)


def one_of(key: str, value: JSON, known: Iterable[str]) -> str:
    """Return a name that is among the known ones.

    Raises:
        InputError: If it is not; the message names the nearest.
    """
    names = list(known)
    if not isinstance(value, str) or value not in names:
        raise unknown_name(f"value of {key!r}:", str(value), names)
    return value


def known_keys(kind: str, given: Mapping[str, JSON], known: Iterable[str]) -> None:
    """Refuse keys that nobody knows.

    Raises:
        InputError: If there is one; the message names the nearest.
    """
    names = list(known)
    for key in given:
        if key not in names:
            raise unknown_name(kind, str(key), names)
