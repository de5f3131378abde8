"""Negative transfer: the share of runs below scratch at equal target steps, against target episodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from roamrl.platform.report.figures.axes import episodes_axis
from roamrl.platform.report.figures.style import FAINT, ArmStyle, legend_below, new_axes
from roamrl.platform.report.tables import NegativeRow


def draw_negative(rows: Sequence[NegativeRow], styles: Mapping[str, ArmStyle]) -> Figure:
    """Draw one line an arm with its Wilson interval; at one half it is as often below scratch as above."""
    figure, axes = new_axes()
    axes.axhline(0.5, color=FAINT, linewidth=0.8, linestyle=(0, (2, 2)))
    for row in rows:
        style = styles[row.arm]
        axes.fill_between(
            row.points,
            [share.low for share in row.shares],
            [share.high for share in row.shares],
            color=style.colour,
            alpha=0.13,
            linewidth=0,
        )
        axes.plot(
            row.points,
            [share.value for share in row.shares],
            color=style.colour,
            linestyle=style.dash,
            marker=style.marker,
            markersize=4,
            markeredgecolor="white",
            markeredgewidth=0.5,
            lw=1.6,
            label=row.arm,
        )
    episodes_axis(axes, sorted({point for row in rows for point in row.points}))
    axes.set_ylim(-0.02, 1.02)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_ylabel("runs below scratch")
    legend_below(figure, axes)
    return figure
