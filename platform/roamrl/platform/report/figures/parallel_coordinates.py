"""Parallel coordinates: an axis for each setting that was searched and one for the score, a line for each trial."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from roamrl.platform.report.figures.axes import short_number
from roamrl.platform.report.figures.style import FAINT, HEIGHT_IN, INK, WIDTH_IN

Floats = npt.NDArray[np.float64]

MOST_NAMED = 8
"""Most values of a listed setting that have a tick each."""

_PALETTE = "cividis"
_MARGIN = 0.06
_INCHES_AN_AXIS = 1.15


@dataclass(frozen=True)
class Coordinate:
    """An axis.

    Attributes:
        name: What stands above it.
        values: Value of each line, numbers or words; None where it has none.
        log: Whether numbers lie on a logarithmic scale.
        listed: Whether only the values that occur are possible: they are then evenly apart, in their order.
    """

    name: str
    values: tuple[Any, ...]
    log: bool = False
    listed: bool = False


@dataclass(frozen=True)
class TrialLine:
    """A line.

    Attributes:
        score: Its last score on val, NaN where it has none.
        done: Whether it trained to its end.
        best: Whether it is the one that was chosen.
        own: Whether it stands for the study's own settings.
    """

    score: float
    done: bool
    best: bool = False
    own: bool = False


def draw_parallel_coordinates(coordinates: Sequence[Coordinate], lines: Sequence[TrialLine], score_name: str) -> Figure:
    """Draw the lines, brighter with the score; dashed what was stopped before its end, the chosen one in ink.

    Args:
        coordinates: What was searched.
        lines: The trials.
        score_name: What stands above the last axis.
    """
    scores = np.array([line.score for line in lines])
    every = [*coordinates, Coordinate(score_name, tuple(scores.tolist()))]
    width = max(WIDTH_IN, _INCHES_AN_AXIS * len(every))
    figure = Figure(figsize=(width, HEIGHT_IN), layout="constrained")
    axes = figure.add_subplot()
    heights = np.stack([_heights(each)[0] for each in every], axis=1)
    order = np.argsort(np.where(np.isnan(scores), -np.inf, scores), kind="stable")
    for number in order:
        _draw_line(axes, heights[number], lines[number], _brightness(scores, number))
    for place, each in enumerate(every):
        _draw_axis(axes, place, each)
    axes.set_xlim(-0.35, len(every) - 1 + 0.55)
    axes.set_ylim(-_MARGIN, 1 + _MARGIN)
    axes.set_axis_off()
    figure.legend(handles=_legend(lines), loc="outside lower center", ncols=4, handlelength=2.6, columnspacing=1.4)
    return figure


def _draw_line(axes: Axes, heights: Floats, line: TrialLine, brightness: float) -> None:
    colour = INK if line.best else colormaps[_PALETTE](0.9 * brightness)
    axes.plot(
        np.arange(len(heights)),
        heights,
        color=colour,
        lw=2.2 if line.best else 1.1,
        alpha=1.0 if line.best or line.own else 0.75,
        linestyle="solid" if line.done else (0, (3, 2)),
        marker="s" if line.own else None,
        markersize=4.0,
        zorder=4 if line.best else 3 if line.own else 2,
        clip_on=False,
    )


def _draw_axis(axes: Axes, place: int, coordinate: Coordinate) -> None:
    axes.plot([place, place], [0, 1], color=FAINT, lw=0.8, zorder=1)
    axes.annotate(
        coordinate.name,
        xy=(place, 1 + _MARGIN),
        xytext=(0, 6),
        textcoords="offset points",
        ha="center",
        va="bottom",
        fontsize=8.0,
        color=INK,
        annotation_clip=False,
    )
    for height, text in _heights(coordinate)[1]:
        axes.plot([place, place + 0.03], [height, height], color=FAINT, lw=0.8, zorder=1)
        axes.annotate(
            text,
            xy=(place, height),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=7.5,
            color=INK,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.6},
            zorder=5,
            annotation_clip=False,
        )


def _heights(coordinate: Coordinate) -> tuple[Floats, list[tuple[float, str]]]:
    """Return the height of each line on an axis, 0 to 1 and NaN for none, and its ticks."""
    numbers = all(value is None or _is_number(value) for value in coordinate.values)
    if coordinate.listed or not numbers:
        return _listed_heights(coordinate)
    values = np.array([math.nan if value is None else float(value) for value in coordinate.values])
    shown = np.log10(values) if coordinate.log else values
    known = shown[np.isfinite(shown)]
    if not len(known):
        return np.full(len(values), math.nan), []
    low, high = float(known.min()), float(known.max())
    if low == high:
        return np.where(np.isfinite(shown), 0.5, math.nan), [(0.5, _tick(values[np.isfinite(shown)][0]))]
    ticks = np.linspace(low, high, 5)
    named = [((tick - low) / (high - low), _tick(10.0**tick if coordinate.log else tick)) for tick in ticks]
    return (shown - low) / (high - low), named


def _listed_heights(coordinate: Coordinate) -> tuple[Floats, list[tuple[float, str]]]:
    present = dict.fromkeys(value for value in coordinate.values if value is not None)
    ordered = [value for value in present if not _is_number(value)] + sorted(filter(_is_number, present))
    last = max(1, len(ordered) - 1)
    place = {value: number / last if len(ordered) > 1 else 0.5 for number, value in enumerate(ordered)}
    heights = np.array([math.nan if value is None else place[value] for value in coordinate.values])
    step = -(-len(ordered) // MOST_NAMED)
    return heights, [(place[value], _tick(value)) for value in ordered[::step]]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _tick(value: Any) -> str:
    if not _is_number(value):
        return str(value)
    return short_number(value).replace("-", "\N{MINUS SIGN}", 1) if value < 0 else short_number(value)


def _brightness(scores: Floats, number: int) -> float:
    known = scores[np.isfinite(scores)]
    if not np.isfinite(scores[number]) or len(known) < 2 or known.max() == known.min():
        return 0.0
    return float((scores[number] - known.min()) / (known.max() - known.min()))


def _legend(lines: Sequence[TrialLine]) -> list[Line2D]:
    shade = colormaps[_PALETTE]
    handles = [Line2D([], [], color=INK, lw=2.2, label="chosen")] if any(line.best for line in lines) else []
    if any(line.own for line in lines):
        handles.append(Line2D([], [], color=shade(0.3), marker="s", markersize=4.0, lw=1.1, label="the study's own"))
    handles.append(Line2D([], [], color=shade(0.45), lw=1.1, label="to its end"))
    if any(not line.done for line in lines):
        handles.append(Line2D([], [], color=shade(0.1), lw=1.1, linestyle=(0, (3, 2)), label="stopped before"))
    return handles
