"""Learning on several tasks: training against environment steps, a line a task, with its mean over tasks."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from roamrl.platform.report.figures.axes import count_axis, note_cut, score_floor, score_limits
from roamrl.platform.report.figures.style import COLOURS, DASHES, FAINT, INK, legend_below, levels, new_axes
from roamrl.platform.report.learning import LearningCurve, mean_of_known

MOST_NAMED = len(COLOURS)
"""Most tasks that have a colour and a name each; of more, lines are faint and quartiles are drawn."""

QUARTILES = (25.0, 75.0)


def draw_learning(curve: LearningCurve) -> Figure:
    """Draw a line a task, the mean over tasks and, of many tasks, the band between their quartiles."""
    figure, axes = new_axes()
    named = len(curve.tasks) <= MOST_NAMED
    if named:
        _draw_named(axes, curve)
    else:
        _draw_many(axes, curve)
    mean = mean_of_known(curve.values, axis=0)
    known = np.isfinite(mean)
    axes.plot(curve.env_steps[known], mean[known], color=INK, lw=2.0, label="mean over tasks")
    floor = score_floor(curve.yardstick)
    marks = [(0.0, "trivial 0"), (1.0, f"{curve.yardstick.top} 1")] if curve.yardstick.top else []
    axes.set_ylim(score_limits([curve.values], [height for height, _ in marks], floor))
    axes.set_xlim(0.0, 1.01 * float(curve.env_steps[-1]))
    count_axis(axes)
    axes.set_xlabel("environment steps of a policy, on all tasks")
    axes.set_ylabel(f"training {curve.yardstick.name}")
    levels(axes, marks)
    note_cut(axes, [curve.values[np.isfinite(curve.values)]], floor)
    legend_below(figure, axes)
    return figure


def _draw_named(axes: Axes, curve: LearningCurve) -> None:
    for place, (name, values) in enumerate(zip(curve.tasks, curve.values, strict=True)):
        known = np.isfinite(values)
        dash = DASHES[1 + place % (len(DASHES) - 1)]
        axes.plot(curve.env_steps[known], values[known], color=COLOURS[place], linestyle=dash, lw=1.2, label=name)


def _draw_many(axes: Axes, curve: LearningCurve) -> None:
    for place, values in enumerate(curve.values):
        known = np.isfinite(values)
        label = "a task" if place == 0 else None
        axes.plot(curve.env_steps[known], values[known], color=FAINT, alpha=0.45, lw=0.5, label=label)
    seen = np.isfinite(curve.values).any(axis=0)
    low, high = np.nanpercentile(curve.values[:, seen], QUARTILES, axis=0)
    axes.fill_between(
        curve.env_steps[seen], low, high, color=COLOURS[4], alpha=0.35, linewidth=0, label="quartiles of tasks"
    )
