"""Panels of the generalisation gap: each arm with its table and picture, as the page takes them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from roamrl.platform.report.figures.gap import draw_gap
from roamrl.platform.report.figures.render import Picture, render
from roamrl.platform.report.gap import GapCurve, GapRow, gap_curves, gap_rows
from roamrl.platform.report.run_data import RunData


@dataclass(frozen=True)
class GapPanel:
    """An arm's generalisation gap with its table and picture."""

    curve: GapCurve
    rows: list[GapRow]
    picture: Picture


def draw_gap_panels(run: RunData, folder: Path) -> list[GapPanel]:
    """Draw the gap of every arm that is shown and has one; none for other runs."""
    panels = []
    for curve in gap_curves(run):
        if run.shows(curve.arm):
            slug = re.sub(r"[^a-z0-9]+", "-", curve.arm.lower()).strip("-")
            title = f"Generalisation gap: {curve.arm}"
            picture = render(f"gap-{slug}", title, partial(draw_gap, curve, run.settings), folder)
            panels.append(GapPanel(curve, gap_rows(curve, run.settings), picture))
    return panels
