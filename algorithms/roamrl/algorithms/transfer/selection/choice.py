"""From values to a choice: the highest, ties kept, and taken in turn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from roamrl.envs.errors import InputError


def highest(values: npt.ArrayLike) -> tuple[int, ...]:
    """Return the places of all values [K] that are the highest, up to rounding.

    Experts of one source differ in their training seed alone, so whatever looks at contexts cannot tell them apart.

    Raises:
        InputError: If there is no value, or one is not a number.
    """
    found = np.asarray(values, dtype=np.float64)
    if found.size == 0 or np.isnan(found).any():
        raise InputError(f"no choice from values {found.tolist()}: every source needs one that is a number")
    return tuple(int(place) for place in np.flatnonzero(np.isclose(found, found.max())))


def in_turn(places: Sequence[int], repetition: int) -> int:
    """Return one of several places alike: repetitions 0, 1, .. go round them."""
    return places[repetition % len(places)]
