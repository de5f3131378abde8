"""The page of a run: one self-contained HTML file, with every figure beside it as SVG and PNG."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from roamrl.platform.report import formatting
from roamrl.platform.report.arms import TUNING_WORDS, target_views, tuning_agrees
from roamrl.platform.report.cautions import cautions
from roamrl.platform.report.chosen import chosen_rows
from roamrl.platform.report.comparison import comparisons
from roamrl.platform.report.cost import cost_rows
from roamrl.platform.report.figures.style import arm_styles
from roamrl.platform.report.gap_panels import draw_gap_panels
from roamrl.platform.report.learning_panels import draw_learning_panels
from roamrl.platform.report.panels import draw_panels
from roamrl.platform.report.run_data import RunData, read_run
from roamrl.platform.report.source_panels import draw_source_panels
from roamrl.platform.report.summary import MEASURES, summarise

TEMPLATES = Path(__file__).parent / "templates"


def write_report(run: Path, arms: Sequence[str] = (), out: Path | None = None) -> Path:
    """Write ``index.html`` and its figures, and return the page's path.

    Args:
        run: The run's folder.
        arms: Show these arms alone, beside references and specialists; all if empty.
        out: Folder to write to; None for ``report`` in the run's folder.

    Raises:
        InputError: The folder is no run, its tables cannot be read, or it has no such arm.
    """
    data = read_run(run)
    data = data.only(arms) if arms else data
    folder = out or data.folder / "report"
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / "index.html"
    written = folder / "index.html.new"
    written.write_text(_page(data, folder), encoding="utf-8")
    os.replace(written, page)
    return page


def _page(data: RunData, folder: Path) -> str:
    views = target_views(data)
    styles = arm_styles(list(dict.fromkeys((arm.name, arm.strategy) for view in views for arm in view.arms)))
    panels = draw_panels(views, styles, data.settings, folder)
    first = views[0].tuning if views else "none"
    return (
        page_environment()
        .get_template("page.html.j2")
        .render(
            run=data,
            settings=data.settings,
            protocols=list(dict.fromkeys(view.tuning for view in views)),
            tuning_words=TUNING_WORDS,
            tuning_agrees=tuning_agrees(data),
            panels=panels,
            main=[panel for panel in panels if panel.view.tuning == first],
            chosen=[row for row in chosen_rows(data.folder) if data.shows(row.arm)],
            costs=cost_rows(data, [view for view in views if view.tuning == first]),
            summary=summarise(views, data.settings, data.study),
            comparisons=comparisons(data, views, data.settings),
            gaps=draw_gap_panels(data, folder),
            learning=draw_learning_panels(data, folder),
            measures=MEASURES,
            cautions=cautions(data, views),
            sources=draw_source_panels(data, folder),
            study_text=yaml.safe_dump(data.study, sort_keys=False, allow_unicode=True),
        )
    )


def page_environment() -> Environment:
    """Return what renders pages: our templates, with numbers as people read them."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in ("score", "signed", "estimate", "interval", "percent", "signed_percent", "share", "count", "duration"):
        environment.filters[name] = getattr(formatting, name)
    environment.filters["picture"] = lambda picture: Markup(picture.svg)
    return environment
