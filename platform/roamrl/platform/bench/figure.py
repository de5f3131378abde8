"""How cost grows, as one figure: microseconds a step over members, environments, users, slices, runners."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from roamrl.envs.errors import InputError
from roamrl.platform.bench.measure import Row
from roamrl.platform.report.figures.style import COLOURS, GRID, JOINT_COLOUR, RC

PANELS = (
    ("members", "members of a population", "learned, toy"),
    ("envs", "environments a member", "learned, toy"),
    ("users", "users a slice", "stepped, slicing"),
    ("slices", "slices a cell", "stepped, slicing"),
    ("runners", "runner processes", "learned, slicing"),
)
"""Prefix of the rows' variants, what grows, and what a step is."""


def growth(rows: Sequence[Row], prefix: str) -> list[tuple[int, float]]:
    """Return (size, microseconds a step) of the rows whose variant is ``prefix-size``, by size."""
    named = [(row.variant.rpartition("-"), row.value) for row in rows if not row.peer]
    return sorted((int(size), 1e6 / value) for (name, _, size), value in named if name == prefix and size.isdigit())


def draw_growth(rows: Sequence[Row]) -> Figure:
    """Draw the panels there are rows for.

    Raises:
        InputError: If there are none; ``roamrl bench scale`` measures them.
    """
    lines = [(what, of, points) for prefix, what, of in PANELS if (points := growth(rows, prefix))]
    if not lines:
        raise InputError("no row says how cost grows; draw the result of 'roamrl bench scale' or 'all'")
    figure = Figure(figsize=(1.9 * len(lines) + 0.5, 2.4), layout="constrained")
    for number, (what, of, points) in enumerate(lines):
        axes = figure.add_subplot(1, len(lines), number + 1)
        sizes, micros = [size for size, _ in points], [value for _, value in points]
        places = range(len(sizes))
        axes.grid(axis="y", color=GRID, linewidth=0.7)
        colour = JOINT_COLOUR if of.startswith("learned") else COLOURS[0]
        axes.plot(places, micros, color=colour, marker="o", markersize=4, clip_on=False)
        axes.set_ylim(0.0, 1.12 * max(micros))
        axes.set_title(of)
        axes.set_xlabel(what)
        axes.xaxis.set_major_locator(FixedLocator(list(places)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticklabels([str(size) for size in sizes])
        if number == 0:
            axes.set_ylabel("µs a step")
    return figure


def write_growth(rows: Sequence[Row], file: Path) -> None:
    """Draw the panels into a file; its ending (``.png``, ``.svg``, ``.pdf``) says of which kind.

    Raises:
        InputError: If there is nothing to draw.
    """
    with rc_context(RC):
        draw_growth(rows).savefig(file, dpi=200)
