"""Splits drawn by a seed of their own: distinct tasks that tell policies apart, the others left out and counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from roamrl.envs.canonical import JSON, content_hash
from roamrl.envs.errors import InputError
from roamrl.envs.split import Split
from roamrl.envs.task import Task

DRAWS: Final = 8
"""Candidates drawn for each task wanted; a split is smaller where its ranges hold fewer distinct tasks."""


@dataclass(frozen=True)
class Drawn:
    """A split as drawn.

    Attributes:
        split: Its tasks.
        omitted: Candidates left out because their gap is too small.
    """

    split: Split
    omitted: int


def seed_of(value: JSON) -> int:
    """Return a seed that is a hash of what is drawn."""
    return int(content_hash(value)[:12], 16)


def draw_split(
    name: str,
    version: int,
    size: int,
    candidates: Sequence[Task],
    gaps: Callable[[Sequence[Task]], NDArray[np.float64]],
    least_gap: float,
) -> Drawn:
    """Take the first distinct candidates whose J_oracle - J_trivial is large enough.

    Args:
        name: Name of the split.
        version: Its version.
        size: Tasks wanted.
        candidates: Tasks in the order in which they were drawn.
        gaps: J_oracle - J_trivial of some tasks, [T].
        least_gap: Below it a score is noise.

    Raises:
        InputError: If no candidate has such a gap.
    """
    distinct = tuple(dict.fromkeys(candidates))
    kept: list[Task] = []
    seen = 0
    while len(kept) < size and seen < len(distinct):
        block = distinct[seen : seen + size]
        chosen = np.flatnonzero(gaps(block) >= least_gap)[: size - len(kept)]
        kept.extend(block[int(index)] for index in chosen)
        seen += int(chosen[-1]) + 1 if len(kept) == size else len(block)
    if not kept:
        raise InputError(f"split {name!r}: none of {seen} draws has a gap of {least_gap}; widen the context's ranges")
    return Drawn(Split(name, version, tuple(kept)), seen - len(kept))
