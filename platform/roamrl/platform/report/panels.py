"""Panels: each view of targets with its tables and pictures, as the page takes them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from roamrl.platform.report.arms import TargetView
from roamrl.platform.report.figures.adaptation import (
    AdaptationLine,
    adaptation_limits,
    adaptation_lines,
    draw_adaptation,
)
from roamrl.platform.report.figures.convergence import (
    ConvergenceLine,
    convergence_lines,
    draw_convergence,
    shared_limits,
)
from roamrl.platform.report.figures.negative import draw_negative
from roamrl.platform.report.figures.profiles import draw_profiles
from roamrl.platform.report.figures.render import Picture, render
from roamrl.platform.report.figures.style import ArmStyle
from roamrl.platform.report.published_claims import ClaimRow, claim_rows
from roamrl.platform.report.settings import ReportSettings
from roamrl.platform.report.tables import (
    AdaptationRow,
    NegativeRow,
    TaskRow,
    TransferRow,
    adaptation_rows,
    negative_rows,
    task_rows,
    transfer_rows,
)


@dataclass(frozen=True)
class Panel:
    """A view with its tables and pictures, by kind of figure; a kind is missing where it has no data."""

    view: TargetView
    pictures: dict[str, Picture]
    adaptation: list[AdaptationRow]
    transfer: list[TransferRow]
    claims: list[ClaimRow]
    negative: list[NegativeRow]
    tasks: list[TaskRow]


def draw_panels(
    views: Sequence[TargetView], styles: Mapping[str, ArmStyle], settings: ReportSettings, folder: Path
) -> list[Panel]:
    """Draw every view that has arms; figures of one kind share their y axis, so that splits compare by eye."""
    shown = [view for view in views if view.arms]
    if not shown:
        return []
    training = [convergence_lines(view, settings) for view in shown]
    adapting = [adaptation_lines(view, settings) for view in shown]
    limits = shared_limits(shown, training), adaptation_limits(shown, adapting)
    panels = []
    for view, lines, curves in zip(shown, training, adapting, strict=True):
        negative = negative_rows(view, settings)
        transfer = transfer_rows(view, settings)
        slug, pictures = _slug(view, shown[0].tuning), {}
        for kind, (title, draw) in _drawings(view, lines, curves, negative, styles, limits, settings).items():
            pictures[kind] = render(f"{kind}-{slug}", f"{title}: {view.split} targets", draw, folder)
        panels.append(
            Panel(
                view=view,
                pictures=pictures,
                adaptation=adaptation_rows(view, settings),
                transfer=transfer,
                claims=claim_rows(view, transfer, settings),
                negative=negative,
                tasks=task_rows(view),
            )
        )
    return panels


def _drawings(
    view: TargetView,
    lines: list[ConvergenceLine],
    curves: list[AdaptationLine],
    negative: list[NegativeRow],
    styles: Mapping[str, ArmStyle],
    limits: tuple[tuple[float, float], tuple[float, float]],
    settings: ReportSettings,
) -> dict[str, tuple[str, Callable[[], Figure]]]:
    """Return title and drawing of each kind of figure that a view has data for."""
    drawings: dict[str, tuple[str, Callable[[], Figure]]] = {}
    if lines:
        drawings["convergence"] = ("Convergence", lambda: draw_convergence(view, lines, styles, limits[0]))
    if curves:
        drawings["adaptation"] = ("Adaptation", lambda: draw_adaptation(view, curves, styles, limits[1]))
    if negative:
        drawings["negative"] = ("Negative transfer", lambda: draw_negative(negative, styles))
    if any(view.final_of(arm) for arm in view.arms):
        drawings["profiles"] = ("Performance profiles", lambda: draw_profiles(view, styles, settings))
    return drawings


def _slug(view: TargetView, first: str) -> str:
    """Return a view's part of a file name: its split, and its protocol where it is not the first."""
    parts = [view.split] if view.tuning == first else [view.split, view.tuning]
    return re.sub(r"[^a-z0-9]+", "-", "-".join(parts).lower()).strip("-")
