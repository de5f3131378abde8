"""How figures look: one colour, dash and marker an arm, everywhere the same, told apart without colour too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from roamrl.platform.report import formatting

# Okabe and Ito's palette ("Color universal design", 2008), without its yellow, which fades on white.
COLOURS = ("#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7A4E2D")
SCRATCH_COLOUR, JOINT_COLOUR = "#5A5A5A", "#0072B2"
DASHES: tuple[Any, ...] = ("solid", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (5, 1.2, 1.5, 1.2)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
INK, FAINT, GRID = "#222222", "#767676", "#E4E4E4"

RC: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "text.color": INK,
    "xtick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.color": FAINT,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "legend.fontsize": 8.0,
    "legend.frameon": False,
    "svg.fonttype": "path",
}
WIDTH_IN, HEIGHT_IN = 5.4, 3.7
LETTERS_AN_INCH, HANDLE_LETTERS = 15, 8
LEGEND_LINES, LEGEND_LINE_IN = 3, 0.17
"""Lines of a legend that the usual height has room for, and the height of each more."""


@dataclass(frozen=True)
class ArmStyle:
    """How an arm is drawn."""

    colour: str
    dash: Any
    marker: str


def arm_styles(arms: Sequence[tuple[str, str]]) -> dict[str, ArmStyle]:
    """Return a style for each (arm, strategy), in the order given; scratch is grey and the first joint arm blue."""
    styles: dict[str, ArmStyle] = {}
    fresh = 0
    strategies_seen: set[str] = set()
    for place, (arm, strategy) in enumerate(arms):
        marker = MARKERS[place % len(MARKERS)]
        own = {"scratch": SCRATCH_COLOUR, "joint": JOINT_COLOUR}.get(strategy)
        if own is not None and strategy not in strategies_seen:
            styles[arm] = ArmStyle(own, DASHES[1] if strategy == "scratch" else DASHES[0], marker)
        else:
            styles[arm] = ArmStyle(COLOURS[fresh % len(COLOURS)], DASHES[(fresh // len(COLOURS)) % len(DASHES)], marker)
            fresh += 1
        strategies_seen.add(strategy)
    return styles


def new_axes(width: float = WIDTH_IN, height: float = HEIGHT_IN) -> tuple[Figure, Axes]:
    """Return a figure with one pair of axes and a faint horizontal grid."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.grid(axis="y", color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    return figure, axes


def legend_below(figure: Figure, axes: Axes) -> None:
    """Put the legend under the axes, outside of them, in as many columns as the longest name leaves room for.

    The figure grows with what is more than a few lines of it, so that the axes keep their height.
    """
    handles, labels = axes.get_legend_handles_labels()
    if not labels:
        return
    room = int(figure.get_figwidth() * LETTERS_AN_INCH) // (max(len(label) for label in labels) + HANDLE_LETTERS)
    lines = -(-len(labels) // max(1, min(room, len(labels))))
    figure.set_figheight(figure.get_figheight() + LEGEND_LINE_IN * max(0, lines - LEGEND_LINES))
    figure.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=max(1, min(room, len(labels))),
        handlelength=2.6,
        columnspacing=1.4,
    )


def levels(axes: Axes, named: Sequence[tuple[float, str]]) -> None:
    """Draw a thin line for each reference, named at its right end; names that would overlap are moved apart.

    One below the axes has its name and number at their foot, and no line.
    """
    shown = sorted((height, text) for height, text in named if height == height)
    low, high = axes.get_ylim()
    for (height, text), place in zip(
        shown, spread([max(low, height) for height, _ in shown], high, 0.062 * (high - low)), strict=True
    ):
        if height < low:
            text = f"{text} {formatting.score(height, 1)}"
        else:
            axes.axhline(height, color=FAINT, linewidth=0.8, linestyle=(0, (2, 2)), zorder=1)
        axes.annotate(
            text,
            xy=(1.0, place),
            xycoords=("axes fraction", "data"),
            xytext=(4, 0),
            textcoords="offset points",
            fontsize=7.5,
            color=FAINT,
            va="center",
            annotation_clip=False,
        )


def spread(heights: Sequence[float], top: float, least: float) -> list[float]:
    """Return increasing heights moved apart to at least `least`, upwards first, then down from the top."""
    places: list[float] = []
    for height in heights:
        places.append(height if not places else max(height, places[-1] + least))
    ceiling = top
    for index in reversed(range(len(places))):
        places[index] = min(places[index], ceiling)
        ceiling = places[index] - least
    return places
