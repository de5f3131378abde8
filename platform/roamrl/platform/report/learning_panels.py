"""Panels of learning on several tasks: each group of arms with its picture, as the page takes them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from roamrl.platform.report.figures.learning import draw_learning
from roamrl.platform.report.figures.render import Picture, render
from roamrl.platform.report.learning import LearningCurve, LearningRow, learning_curves, learning_row
from roamrl.platform.report.run_data import RunData


@dataclass(frozen=True)
class LearningPanel:
    """Training of the policies that some arms share, with its numbers and picture."""

    curve: LearningCurve
    row: LearningRow
    picture: Picture


def draw_learning_panels(run: RunData, folder: Path) -> list[LearningPanel]:
    """Draw the training of every pretrained policy of several tasks; none for other runs."""
    panels = []
    for number, curve in enumerate(learning_curves(run)):
        name = "learning" if number == 0 else f"learning-{number + 1}"
        title = f"Learning on {len(curve.tasks)} tasks: {', '.join(curve.arms)}"
        panels.append(
            LearningPanel(curve, learning_row(curve), render(name, title, partial(draw_learning, curve), folder))
        )
    return panels
