"""Adaptation curves: the evaluated score after n target episodes, between the references."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from roamrl.platform.evaluation.statistics import Band, curve_band
from roamrl.platform.report.arms import SPECIALIST, TargetView
from roamrl.platform.report.figures.axes import episodes_axis, note_cut, score_floor, score_limits
from roamrl.platform.report.figures.style import ArmStyle, legend_below, levels, new_axes
from roamrl.platform.report.settings import ReportSettings


@dataclass(frozen=True)
class AdaptationLine:
    """An arm's IQM over runs at each of its evaluation points, with its band."""

    arm: str
    points: tuple[float, ...]
    band: Band


def adaptation_lines(view: TargetView, settings: ReportSettings) -> list[AdaptationLine]:
    """Return one line an arm."""
    return [
        AdaptationLine(arm.name, arm.points, curve_band(arm.curves(arm.points), settings.bootstrap))
        for arm in view.arms
        if arm.points
    ]


def draw_adaptation(
    view: TargetView, lines: list[AdaptationLine], styles: Mapping[str, ArmStyle], limits: tuple[float, float]
) -> Figure:
    """Draw the lines with their bands between the references."""
    figure, axes = new_axes()
    for line in lines:
        style = styles[line.arm]
        x = np.array(line.points)
        axes.fill_between(x, line.band.low, line.band.high, color=style.colour, alpha=0.15, linewidth=0)
        axes.plot(
            x,
            line.band.value,
            color=style.colour,
            linestyle=style.dash,
            lw=1.6,
            marker=style.marker,
            markersize=4,
            markeredgecolor="white",
            markeredgewidth=0.5,
            label=line.arm,
        )
    episodes_axis(axes, sorted({point for line in lines for point in line.points}))
    axes.set_ylim(limits)
    axes.set_ylabel(f"{view.yardstick.name} (IQM over runs)")
    levels(axes, _marks(view))
    note_cut(axes, [line.band.value for line in lines], score_floor(view.yardstick))
    legend_below(figure, axes)
    return figure


def adaptation_limits(views: list[TargetView], lines: list[list[AdaptationLine]]) -> tuple[float, float]:
    """Return limits of y that suit the lines of all views and all references."""
    marks = [height for view in views for height, _ in _marks(view)]
    bands = [part for group in lines for line in group for part in (line.band.value, line.band.low, line.band.high)]
    return score_limits(bands, marks, score_floor(views[0].yardstick))


def _marks(view: TargetView) -> list[tuple[float, str]]:
    """Return the levels that the lines are read against, with their names."""
    between = [(view.reference_level("classical"), "classical"), (view.reference_level(SPECIALIST), "specialist")]
    if not view.yardstick.top:
        return [(view.reference_level("trivial"), "trivial"), *between]
    return [(0.0, "trivial 0"), *between, (1.0, f"{view.yardstick.top} 1")]
