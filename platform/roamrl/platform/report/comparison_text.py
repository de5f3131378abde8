"""The comparison as plain tables of 80 columns: what arms are worth, then what they take."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from roamrl.platform.evaluation.statistics import Estimate
from roamrl.platform.report.comparison import Comparison, ComparisonRow
from roamrl.platform.report.figures.axes import short_number
from roamrl.platform.report.formatting import MINUS, percent, score
from roamrl.platform.report.run_data import RunData

NOTHING = "-"
WORTH = ("arm", "area", "zero-shot", "n* met", "% < scratch")
TAKES = ("arm", "steps", "CPU s", "peak MB", "tuned")
MOST_LETTERS = 15
TWO_DIGITS = (-1.0, 2.0)
"""Scores outside, far from the references, have one digit behind the point, so that columns stay narrow."""


@dataclass(frozen=True)
class TextTable:
    """A table of plain cells; the first column is text, the others are numbers."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def text_tables(comparison: Comparison) -> tuple[TextTable, TextTable]:
    """Return a comparison as two tables, each of which fits 80 columns; a row without numbers heads a pillar."""
    name = comparison.field.name
    return (
        TextTable(f"{name}: what arms are worth", WORTH, _grouped(comparison, _worth)),
        TextTable(f"{name}: what they take", TAKES, _grouped(comparison, _takes)),
    )


def explained(run: RunData) -> str:
    """Return what the columns of the two tables are, in words for below them."""
    settings = run.settings
    return (
        f"area: mean {run.yardstick.name} over log(1 + n), in brackets {percent(settings.confidence)} intervals. "
        f"n* met: target episodes to {percent(settings.ceiling_fraction)} of the specialist, and the share of runs "
        "that get there. % < scratch: runs whose area is below scratch's at equal target steps. steps, CPU s: of a "
        "run with the pretraining it needs; an arm that chooses its source by looking at all of a pool needs the whole "
        "pool. peak MB: largest resident memory of a process that trained for the arm, shared by the members of a "
        f"trial. tuned: hyperparameters chosen on {run.val}. The page has every split by itself."
    )


def _grouped(comparison: Comparison, cells: Callable[[ComparisonRow], tuple[str, ...]]) -> tuple[tuple[str, ...], ...]:
    found: list[tuple[str, ...]] = []
    for pillar, rows in comparison.by_pillar:
        found += [(pillar, *[""] * (len(WORTH) - 1)), *(cells(row) for row in rows)]
    return tuple(found)


def _worth(row: ComparisonRow) -> tuple[str, ...]:
    return (
        _name(row),
        _estimate(row.adaptability),
        _estimate(row.zero_shot),
        NOTHING if row.reached is None else f"{_count(row.n_star)} {100 * row.reached.value:.0f}%",
        _share(row.below_scratch),
    )


def _takes(row: ComparisonRow) -> tuple[str, ...]:
    numbers = (row.steps, row.cpu_s, row.memory_mb, row.tuned)
    return (_name(row), *(_count(number) for number in numbers))


def _name(row: ComparisonRow) -> str:
    return row.arm if len(row.arm) <= MOST_LETTERS else row.arm[: MOST_LETTERS - 1] + "…"


def _estimate(value: Estimate | None) -> str:
    """Return a number with its interval in few letters: .72 [.70 .74]."""
    if value is None:
        return NOTHING
    ends = f" [{_bare(value.low)} {_bare(value.high)}]" if value.has_interval else ""
    return _bare(value.value) + ends


def _bare(value: float) -> str:
    text = score(value, 2 if TWO_DIGITS[0] < value < TWO_DIGITS[1] else 1)
    return text.replace("0.", ".", 1) if text.lstrip(MINUS).startswith("0.") else text


def _share(value: Estimate | None) -> str:
    if value is None:
        return NOTHING
    return f"{100 * value.value:.0f} [{100 * value.low:.0f} {100 * value.high:.0f}]"


def _count(value: float) -> str:
    if math.isnan(value):
        return NOTHING
    return "never" if math.isinf(value) else short_number(value)
