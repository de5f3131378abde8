"""The choice of step size and strategy settings on the ``val`` split, by both protocols (PROTOCOL 5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from roamrl.platform.evaluation.statistics import area_under_adaptation_curve
from roamrl.platform.study.candidates import Candidate
from roamrl.platform.study.results import Result


@dataclass(frozen=True)
class Choice:
    """What was chosen for one arm.

    Attributes:
        fixed: Candidate with the largest area under the mean curve over log(1 + n).
        per_point: Best candidate at each number of target episodes within the tuning range.
        curves: Mean score on val at each point, by candidate.
    """

    fixed: Candidate
    per_point: Mapping[int, Candidate]
    curves: Mapping[Candidate, Mapping[int, float]]

    @property
    def chosen(self) -> tuple[Candidate, ...]:
        """Every candidate that was chosen for something, the fixed one first."""
        return tuple(dict.fromkeys([self.fixed, *self.per_point.values()]))

    def last_of(self, candidate: Candidate) -> int:
        """Return the last point a candidate was chosen for, or the second of all: a curve has two points at least."""
        points = sorted(self.per_point)
        return max(points[1], *(point for point in points if self.per_point[point] == candidate))


def choose_candidate(rows: Mapping[Candidate, Sequence[Result]]) -> Choice:
    """Choose from the val rows of one arm.

    Args:
        rows: Rows of stage ``tune``, by candidate; all at the same points.
    """
    curves = {candidate: _mean_curve(found) for candidate, found in rows.items()}
    points = sorted(next(iter(curves.values())))
    areas = {own: float(area_under_adaptation_curve(points, [c[p] for p in points])) for own, c in curves.items()}
    fixed = max(areas, key=lambda own: areas[own])
    per_point = {p: max(curves, key=lambda own: (curves[own][p], own == fixed)) for p in points}
    return Choice(fixed, per_point, curves)


def by_protocol(choice: Choice, candidate: Candidate, rows: Sequence[Result]) -> list[Result]:
    """Label one candidate's rows by tuning protocol; a row that serves both is there twice, one of none is left out."""
    fixed = [replace(row, tuning="fixed") for row in rows if candidate == choice.fixed]
    return fixed + [replace(row, tuning="per-n") for row in rows if choice.per_point.get(row.episodes) == candidate]


def _mean_curve(rows: Sequence[Result]) -> dict[int, float]:
    points = sorted({row.episodes for row in rows})
    return {point: float(np.mean([row.score for row in rows if row.episodes == point])) for point in points}
