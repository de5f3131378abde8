"""The choice of the adaptation step size on the ``val`` split, by both protocols (PROTOCOL 5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from roamrl.platform.evaluation.statistics import area_under_adaptation_curve
from roamrl.platform.study.results import Result


@dataclass(frozen=True)
class Choice:
    """What was chosen for one arm.

    Attributes:
        fixed: Step size with the largest area under the mean curve over log(1 + n).
        per_point: Best step size at each number of target episodes within the tuning range.
        curves: Mean score on val at each point, by step size.
    """

    fixed: float
    per_point: Mapping[int, float]
    curves: Mapping[float, Mapping[int, float]]

    @property
    def step_sizes(self) -> tuple[float, ...]:
        """Every step size that was chosen for something, the fixed one first."""
        return tuple(dict.fromkeys([self.fixed, *self.per_point.values()]))


def choose_step_size(rows: Mapping[float, Sequence[Result]]) -> Choice:
    """Choose from the val rows of one arm.

    Args:
        rows: Rows of stage ``tune``, by step size; all at the same points.
    """
    curves = {lr: _mean_curve(found) for lr, found in rows.items()}
    points = sorted(next(iter(curves.values())))
    areas = {lr: float(area_under_adaptation_curve(points, [c[p] for p in points])) for lr, c in curves.items()}
    fixed = max(areas, key=lambda lr: areas[lr])
    per_point = {p: max(curves, key=lambda lr: (curves[lr][p], lr == fixed)) for p in points}
    return Choice(fixed, per_point, curves)


def by_protocol(choice: Choice, lr: float, rows: Sequence[Result]) -> list[Result]:
    """Label one step size's rows by tuning protocol; a row that serves both is there twice, one of none is left out."""
    fixed = [replace(row, tuning="fixed") for row in rows if lr == choice.fixed]
    return fixed + [replace(row, tuning="per-n") for row in rows if choice.per_point.get(row.episodes) == lr]


def _mean_curve(rows: Sequence[Result]) -> dict[int, float]:
    points = sorted({row.episodes for row in rows})
    return {point: float(np.mean([row.score for row in rows if row.episodes == point])) for point in points}
