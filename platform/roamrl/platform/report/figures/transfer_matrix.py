"""The transfer matrix: what each source is worth on each target as it is, and which is best there."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle

from roamrl.platform.evaluation.normalisation import Yardstick
from roamrl.platform.report.figures.axes import score_floor
from roamrl.platform.report.figures.style import COLOURS, INK
from roamrl.platform.report.run_data import first_seen
from roamrl.platform.report.selection import SourcePool

Floats = npt.NDArray[np.float64]

MOST_NUMBERS, MOST_NAMES = 300, 40
CELL_IN, MOST_WIDE_IN, MOST_HIGH_IN = 0.46, 10.5, 9.0
LETTER_IN = 0.072
FRAME = COLOURS[0]


def source_means(pool: SourcePool) -> tuple[list[str], Floats]:
    """Return the sources' names, each once, and the mean score over their experts on each target [S, T]."""
    names = first_seen(pool.sources)
    every = np.array(pool.sources)
    return names, np.array([pool.scores[every == name].mean(axis=0) for name in names])


def matrix_size(pool: SourcePool) -> tuple[float, float]:
    """Return width and height of the figure, inches: cells of one size while they fit the page."""
    names, scores = source_means(pool)
    count, targets = scores.shape
    left = min(2.2, LETTER_IN * max(len(name) for name in names))
    below = min(1.6, 0.75 * LETTER_IN * max(len(name) for name in pool.targets))
    width = min(MOST_WIDE_IN, max(3.4, left + CELL_IN * targets + 1.3))
    return width, min(MOST_HIGH_IN, below + max(0.3 * count, 1.2) + 0.6)


def draw_transfer_matrix(pool: SourcePool, yardstick: Yardstick) -> Figure:
    """Draw sources by targets; the best source of a target is framed, splits are set apart by a line."""
    names, scores = source_means(pool)
    targets = scores.shape[1]
    figure = Figure(figsize=matrix_size(pool), layout="constrained")
    axes = figure.add_subplot()
    floor = score_floor(yardstick)
    image = axes.imshow(np.maximum(scores, floor), cmap="cividis", aspect="auto", interpolation="nearest")
    if scores.size <= MOST_NUMBERS:
        _write_numbers(axes, image, scores)
    for target in range(targets):
        best = int(np.argmax(scores[:, target]))
        axes.add_patch(
            Rectangle((target - 0.44, best - 0.44), 0.88, 0.88, fill=False, edgecolor=FRAME, linewidth=1.5, zorder=3)
        )
    _name(axes, names, pool)
    bar = figure.colorbar(image, ax=axes, fraction=0.04, pad=0.02)
    bar.set_label(f"zero-shot {yardstick.name}" + (", cut at \N{MINUS SIGN}1" if scores.min() < floor else ""))
    bar.outline.set_visible(False)
    return figure


def _write_numbers(axes: Axes, image: AxesImage, scores: Floats) -> None:
    """Write each score into its cell, light on dark and dark on light."""
    shades = np.asarray(image.cmap(image.norm(scores)))
    for (source, target), value in np.ndenumerate(scores):
        red, green, blue, _ = shades[source, target]
        ink = "white" if 0.3 * red + 0.59 * green + 0.11 * blue < 0.5 else INK
        text = f"{value:.2f}".replace("-", "\N{MINUS SIGN}").replace("0.", ".", 1)
        axes.text(target, source, text, ha="center", va="center", fontsize=7.0, color=ink)


def _name(axes: Axes, names: list[str], pool: SourcePool) -> None:
    """Name sources and targets where there is room, and draw a line between splits."""
    targets = len(pool.targets)
    axes.set_xticks(range(targets) if targets <= MOST_NAMES else [])
    if targets <= MOST_NAMES:
        axes.set_xticklabels(pool.targets, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)) if len(names) <= MOST_NAMES else [])
    if len(names) <= MOST_NAMES:
        axes.set_yticklabels(names)
    starts = [place for place in range(targets) if place == 0 or pool.splits[place] != pool.splits[place - 1]]
    for start, end in zip(starts, [*starts[1:], targets], strict=True):
        if start:
            axes.axvline(start - 0.5, color="white", linewidth=3.0, zorder=2)
        axes.text((start + end - 1) / 2, -0.62, pool.splits[start], ha="center", va="bottom", fontsize=8.0, color=INK)
    axes.set_xlabel("" if targets <= MOST_NAMES else f"{targets} targets")
    axes.set_ylabel("source" if len(names) <= MOST_NAMES else f"{len(names)} sources")
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
