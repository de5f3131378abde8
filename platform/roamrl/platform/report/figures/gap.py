"""The generalisation gap: score on training contexts and on targets against the number of training contexts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from roamrl.platform.evaluation.statistics import Estimate
from roamrl.platform.report.figures.axes import note_cut, score_floor, score_limits, short_number
from roamrl.platform.report.figures.style import COLOURS, DASHES, INK, MARKERS, legend_below, levels, new_axes
from roamrl.platform.report.gap import GapCurve, gap_rows
from roamrl.platform.report.settings import ReportSettings


def draw_gap(curve: GapCurve, settings: ReportSettings) -> Figure:
    """Draw a line for the training contexts and one a target split, with bootstrap bands over policies."""
    figure, axes = new_axes()
    rows = gap_rows(curve, settings)
    contexts = [float(point.contexts) for point in curve.points]
    lines = [("training contexts", [row.train for row in rows])]
    lines += [(f"{split} targets", [row.tests[place] for row in rows]) for place, split in enumerate(curve.splits)]
    for place, (name, estimates) in enumerate(lines):
        colour = INK if place == 0 else COLOURS[(place - 1) % len(COLOURS)]
        dash = DASHES[0] if place == 0 else DASHES[1 + (place - 1) // len(COLOURS) % (len(DASHES) - 1)]
        _draw_line(axes, contexts, estimates, name, colour, dash, MARKERS[place % len(MARKERS)])
    floor = score_floor(curve.yardstick)
    every = [estimate for _, estimates in lines for estimate in estimates]
    marks = [(0.0, "trivial 0"), (1.0, f"{curve.yardstick.top} 1")] if curve.yardstick.top else []
    bands = [np.array([[each.value, each.low, each.high] for each in every])]
    axes.set_ylim(score_limits(bands, [height for height, _ in marks], floor))
    _contexts_axis(axes, curve)
    axes.set_ylabel(f"{curve.yardstick.name} (IQM over policies)")
    levels(axes, marks)
    note_cut(axes, [np.array([each.value for each in every])], floor)
    legend_below(figure, axes)
    return figure


def _draw_line(
    axes: Axes,
    contexts: Sequence[float],
    estimates: Sequence[Estimate],
    name: str,
    colour: str,
    dash: Any,
    mark: str,
) -> None:
    low, high = [each.low for each in estimates], [each.high for each in estimates]
    axes.fill_between(contexts, low, high, color=colour, alpha=0.13, linewidth=0)
    axes.plot(
        contexts,
        [each.value for each in estimates],
        color=colour,
        linestyle=dash,
        marker=mark,
        markersize=4,
        markeredgecolor="white",
        markeredgewidth=0.5,
        lw=1.6,
        label=name,
    )


def _contexts_axis(axes: Axes, curve: GapCurve) -> None:
    """Scale x by powers of two, with a tick at every number that was trained on."""
    contexts = [point.contexts for point in curve.points]
    names = [f"unlimited\n({short_number(p.contexts)})" if p.unlimited else str(p.contexts) for p in curve.points]
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator(contexts))
    axes.xaxis.set_major_formatter(FixedFormatter(names))
    axes.xaxis.set_minor_locator(NullLocator())
    wide = contexts[-1] / contexts[0]
    axes.set_xlim(contexts[0] / wide**0.04, contexts[-1] * wide**0.04)
    axes.set_xlabel("training contexts, on a log axis")
