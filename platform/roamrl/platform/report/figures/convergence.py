"""Convergence on the target: the moving average of training against target episodes, one line an arm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from textwrap import fill

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from roamrl.platform.evaluation.statistics import Band, curve_band
from roamrl.platform.evaluation.transfer_metrics import moving_average
from roamrl.platform.report.arms import SPECIALIST, TargetView
from roamrl.platform.report.figures.axes import count_axis, note_cut, score_floor, score_limits
from roamrl.platform.report.figures.style import ArmStyle, legend_below, levels, new_axes
from roamrl.platform.report.run_data import TrainingCurve
from roamrl.platform.report.settings import ReportSettings

Floats = npt.NDArray[np.float64]

GRID_POINTS = 80
LETTERS_HIGH = 40


@dataclass(frozen=True)
class ConvergenceLine:
    """An arm's moving average [G] over target episodes [G], the IQM over runs with its band."""

    arm: str
    episodes: Floats
    band: Band


def in_scores(view: TargetView) -> bool:
    """Whether every training curve can be shown as a score, so that tasks can be averaged."""
    return all(np.isfinite(curve.score).all() for curves in view.training.values() for curve in curves)


def convergence_lines(view: TargetView, settings: ReportSettings) -> list[ConvergenceLine]:
    """Return one line an arm that has training curves on the targets."""
    scored = in_scores(view)
    return [_line(arm, curves, scored, settings) for arm, curves in view.training.items() if curves]


def _line(arm: str, curves: list[TrainingCurve], scored: bool, settings: ReportSettings) -> ConvergenceLine:
    first = max(float(curve.episodes[0]) for curve in curves)
    last = min(float(curve.episodes[-1]) for curve in curves)
    grid = np.linspace(first, last, GRID_POINTS) if last > first else np.array([last])
    strata: dict[str, list[Floats]] = {}
    for curve in curves:
        values = moving_average(curve.episodes, curve.score if scored else curve.returns, settings.window)
        strata.setdefault(curve.task_id, []).append(np.interp(grid, curve.episodes, values))
    return ConvergenceLine(arm, grid, curve_band([np.array(rows) for rows in strata.values()], settings.band_bootstrap))


def draw_convergence(
    view: TargetView, lines: list[ConvergenceLine], styles: Mapping[str, ArmStyle], limits: tuple[float, float] | None
) -> Figure:
    """Draw the lines with their bands; `limits` of y make figures of several splits comparable."""
    figure, axes = new_axes()
    for line in lines:
        style = styles[line.arm]
        axes.fill_between(line.episodes, line.band.low, line.band.high, color=style.colour, alpha=0.15, linewidth=0)
        axes.plot(
            line.episodes,
            line.band.value,
            color=style.colour,
            linestyle=style.dash,
            lw=1.6,
            marker=style.marker if line.episodes.size == 1 else "",
            label=line.arm,
        )
    axes.set_xlim(0.0, 1.01 * max(float(line.episodes[-1]) for line in lines))
    count_axis(axes)
    axes.set_xlabel("target episodes")
    if in_scores(view):
        axes.set_ylim(limits)
        axes.set_ylabel(fill(f"training {view.yardstick.name}, moving average", LETTERS_HIGH))
        marks = [(0.0, "trivial"), (1.0, view.yardstick.top), (view.reference_level(SPECIALIST), "specialist")]
        levels(axes, [(height, name) for height, name in marks if limits is None or limits[0] <= height <= limits[1]])
        note_cut(axes, [line.band.value for line in lines], score_floor(view.yardstick))
    else:
        axes.set_ylabel("training return, moving average")
    legend_below(figure, axes)
    return figure


def shared_limits(views: list[TargetView], lines: list[list[ConvergenceLine]]) -> tuple[float, float]:
    """Return limits of y that suit the lines of all views, for the trivial policy's 0 and the specialist."""
    ceilings = [view.reference_level(SPECIALIST) for view in views]
    bands = [part for group in lines for line in group for part in (line.band.value, line.band.low, line.band.high)]
    return score_limits(bands, [0.0, *ceilings], score_floor(views[0].yardstick))
