"""Output for people and for programs: tables that fit 80 columns, and JSON."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

WIDTH = 80


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        name: Its head.
        justify: Where its cells stand; numbers to the right.
        fold: Break long cells into lines instead of cutting them off.
    """

    name: str
    justify: Literal["left", "right"] = "left"
    fold: bool = False


def terminal_width() -> int:
    """Return the columns to use: those of the terminal, 80 at most."""
    return min(WIDTH, max(40, shutil.get_terminal_size((WIDTH, 24)).columns))


def print_table(columns: Sequence[Column], rows: Iterable[Sequence[object]], title: str | None = None) -> None:
    """Print a table within 80 columns."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, title=title, title_justify="left")
    for column in columns:
        table.add_column(
            column.name,
            justify=column.justify,
            overflow="fold" if column.fold else "ellipsis",
            no_wrap=not column.fold,
        )
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    Console(width=terminal_width(), highlight=False).print(table)


def print_json(value: Any) -> None:
    """Print a value as JSON; numbers that are not finite become null."""
    print(json.dumps(_finite(value), indent=2, allow_nan=False))


def number(value: float, digits: int = 3) -> str:
    """Return a number for a table, a dash where there is none."""
    return f"{value:.{digits}f}" if math.isfinite(value) else "-"


def count(value: float) -> str:
    """Return a count in a few characters: 950, 12.3 k, 1.50 M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {letter}"
    return f"{value:.0f}"


def size(octets: float) -> str:
    """Return a size in a few characters: 0 B, 12.3 kB, 1.50 GB."""
    text = count(octets)
    return f"{text} B" if text[-1].isdigit() else f"{text}B"


def duration(seconds: float) -> str:
    """Return a time in a few characters: 42 s, 7 min, 1 h 20 min."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
