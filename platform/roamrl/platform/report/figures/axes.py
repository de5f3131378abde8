"""Axes that several figures share: target episodes over log(1 + n), and scores with a floor."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import FixedFormatter, FixedLocator, FuncFormatter, NullLocator

from roamrl.platform.evaluation.normalisation import Yardstick
from roamrl.platform.report.figures.style import FAINT

Floats = npt.NDArray[np.float64]

SCORE_FLOOR = -1.0
LEAST_GAP = 0.055


def short_number(value: float) -> str:
    """Return a count in few characters: 500, 2k, 10k, 1.5M."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def episodes_axis(axes: Axes, points: Sequence[float]) -> None:
    """Scale x as log(1 + n), which is straight near 0 and shows n = 0; ticks at the points that have room.

    It is the axis over which the area under the adaptation curve is taken, so the area one sees is the area measured.
    """
    first, last = min(points), max(points)
    axes.set_xscale("function", functions=(np.log1p, np.expm1))
    wide = np.log1p(last) - np.log1p(first) or 1.0
    ticks = [first]
    for point in sorted(points):
        if (np.log1p(point) - np.log1p(ticks[-1])) / wide >= LEAST_GAP:
            ticks.append(point)
    if ticks[-1] != last:
        ticks[-1] = last
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_major_formatter(FixedFormatter([short_number(tick) for tick in ticks]))
    axes.xaxis.set_minor_locator(NullLocator())
    margin = 0.03 * wide
    axes.set_xlim(float(np.expm1(np.log1p(first) - margin)), float(np.expm1(np.log1p(last) + margin)))
    axes.set_xlabel("target episodes n, on log(1 + n)")


def count_axis(axes: Axes) -> None:
    """Write x counts in few characters."""
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short_number(value)))


def score_floor(yardstick: Yardstick) -> float:
    """Return below what scores are cut off; returns as they are have no floor."""
    return SCORE_FLOOR if yardstick.top else -np.inf


def score_limits(values: Sequence[Floats], always: Sequence[float], floor: float) -> tuple[float, float]:
    """Return limits of y that hold all finite values and `always`, but end at a floor below which nothing is shown."""
    every = np.concatenate([np.asarray(always, dtype=np.float64), *[np.ravel(each) for each in values]])
    finite = every[np.isfinite(every)]
    low, high = max(float(finite.min()), floor), float(finite.max())
    margin = 0.04 * (high - low or 1.0)
    return low - margin, high + margin


def note_cut(axes: Axes, lines: Sequence[Floats], floor: float) -> None:
    """Say so above the upper corner, where no line runs, if lines go on below the floor."""
    if min(float(np.min(line)) for line in lines) < floor:
        text = f"axis cut at \N{MINUS SIGN}{-floor:g}"
        axes.text(1.0, 1.01, text, transform=axes.transAxes, ha="right", va="bottom", fontsize=7.5, color=FAINT)
