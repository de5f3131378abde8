"""What a score is measured against: the oracle, where there is none the best specialist, and else nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

SPECIALIST: Final = "specialist"


@dataclass(frozen=True)
class Yardstick:
    """What the numbers of a run are.

    Attributes:
        name: What tables and figures call them.
        top: Whose return counts as 1; empty where numbers are returns as they are.
        explained: What they mean, in half a sentence.
    """

    name: str
    top: str
    explained: str


BY_ORACLE: Final = Yardstick("score", "oracle", "0 is the trivial policy, 1 the oracle")
BY_SPECIALIST: Final = Yardstick(
    "share of the best specialist",
    "best specialist",
    "0 is the trivial policy, 1 the best policy that was trained on the task itself, which others may exceed: there is "
    "no oracle",
)
RETURNS: Final = Yardstick(
    "return", "", "the mean undiscounted return as it is: there is neither an oracle nor a specialist to compare with"
)


class Evaluated(Protocol):
    """What a row says that its score follows from."""

    @property
    def stage(self) -> str:
        """Stage of the study."""

    @property
    def arm(self) -> str:
        """Arm, or role of a reference."""

    @property
    def strategy(self) -> str:
        """Strategy of the arm."""

    @property
    def split(self) -> str:
        """Split of the task."""

    @property
    def task_id(self) -> str:
        """The task."""

    @property
    def return_mean(self) -> float:
        """J."""

    @property
    def return_trivial(self) -> float:
        """J_trivial."""

    @property
    def return_oracle(self) -> float:
        """J_oracle, NaN without one."""


def is_specialist(row: Evaluated) -> bool:
    """Whether a row is of a policy trained on its target as long as it takes."""
    return row.stage != "reference" and SPECIALIST in (row.arm, row.strategy)


def best_specialists(rows: Iterable[Evaluated], val: str) -> dict[str, float]:
    """Return by target the highest return of a specialist on it; on ``val`` there are none, only visitors."""
    best: dict[str, float] = {}
    for row in rows:
        if is_specialist(row) and row.split != val and np.isfinite(row.return_mean):
            best[row.task_id] = max(row.return_mean, best.get(row.task_id, -np.inf))
    return best


def yardstick_of(rows: Sequence[Evaluated], val: str) -> Yardstick:
    """Return what the scores of a run's targets are measured against."""
    if any(np.isfinite(row.return_oracle) for row in rows):
        return BY_ORACLE
    return BY_SPECIALIST if best_specialists(rows, val) else RETURNS


def val_yardstick(yardstick: Yardstick) -> Yardstick:
    """Return what scores on ``val`` are measured against, where nobody is a specialist."""
    return yardstick if yardstick is BY_ORACLE else RETURNS


def share(returns: Any, trivial: float, best: float) -> Any:
    """Return (J - J_trivial) / (J_best - J_trivial); NaN where the best is no better than trivial."""
    return (np.asarray(returns, np.float64) - trivial) / (best - trivial if best > trivial else np.nan)


def scores_in_the_end(rows: Sequence[Evaluated], scores: Sequence[float], val: str) -> NDArray[np.float64]:
    """Return the scores of a finished run, in which those without an oracle become shares of the best specialist.

    On splits without a specialist they stay what they are, returns.

    Args:
        rows: All rows of the run.
        scores: Their scores as the run went on, when no specialist was known.
        val: The validation split.
    """
    final = np.asarray(scores, np.float64).copy()
    if yardstick_of(rows, val) is not BY_SPECIALIST:
        return final
    best = best_specialists(rows, val)
    targets = {row.split for row in rows if row.task_id in best}
    for place, row in enumerate(rows):
        if row.split in targets:
            final[place] = share(row.return_mean, row.return_trivial, best.get(row.task_id, np.nan))
    return final
