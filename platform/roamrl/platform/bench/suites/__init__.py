"""What is measured, by the name that ``roamrl bench`` knows it by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from roamrl.platform.bench.measure import Row


@dataclass(frozen=True)
class Effort:
    """How long to measure.

    Attributes:
        rounds: Rounds of interleaved turns.
        seconds: Least processor seconds of a turn.
        quick: Whether to leave out what takes minutes, and sizes that say little more than others.
        family: Id of the family measured beside the toy.
        say: Told what is measured next.
    """

    rounds: int = 5
    seconds: float = 1.0
    quick: bool = False
    family: str = "slicing-v1"
    say: Callable[[str], None] = lambda _: None


Suite = Callable[[Effort], Sequence[Row]]
