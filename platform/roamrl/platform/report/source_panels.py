"""Source panels: each pool of sources with its table, picture and words, as the page takes them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from roamrl.platform.report.figures.render import Picture, render
from roamrl.platform.report.figures.transfer_matrix import draw_transfer_matrix, matrix_size
from roamrl.platform.report.run_data import RunData, first_seen
from roamrl.platform.report.selection import SelectorRow, SourcePool, selector_rows, source_pools
from roamrl.platform.report.selection_words import selection_words

PIXELS_AN_INCH = 105
"""Pixels of the page for an inch of a figure, nearly those of the page's other figures."""


@dataclass(frozen=True)
class SourcePanel:
    """A pool of sources; `splits` are those of its targets, in the order of the rows' regrets by split.

    `width_px` is how wide its picture is shown at most, so that cells of small matrices are not blown up.
    """

    pool: SourcePool
    picture: Picture
    width_px: int
    rows: list[SelectorRow]
    splits: list[str]
    words: list[str]


def draw_source_panels(run: RunData, folder: Path) -> list[SourcePanel]:
    """Draw every pool of a run that has chosen among sources; none for other runs."""
    panels = []
    for number, pool in enumerate(source_pools(run)):
        name = "transfer-matrix" if number == 0 else f"transfer-matrix-{number + 1}"
        title = f"Zero-shot transfer: sources of {', '.join(pool.arms)}"
        panels.append(
            SourcePanel(
                pool=pool,
                picture=render(name, title, partial(draw_transfer_matrix, pool, run.yardstick), folder),
                width_px=round(PIXELS_AN_INCH * matrix_size(pool)[0]),
                rows=selector_rows(pool, run.settings),
                splits=first_seen(pool.splits),
                words=selection_words(pool, run.settings),
            )
        )
    return panels
