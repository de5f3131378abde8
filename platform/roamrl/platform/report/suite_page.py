"""The page over the runs of a suite: what each says in short, its comparison, and where its own report lies."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from roamrl.envs.atomic_file import write_atomically
from roamrl.envs.errors import InputError
from roamrl.platform.report.arms import target_views
from roamrl.platform.report.cautions import cautions
from roamrl.platform.report.comparison import Comparison, comparisons
from roamrl.platform.report.page import page_environment
from roamrl.platform.report.run_data import RunData, read_run
from roamrl.platform.report.summary import Summary, summarise

SUITE_FILE = "suite.json"


@dataclass(frozen=True)
class SuiteRun:
    """One study's run as the page shows it; all but the name is None where it is not finished yet.

    Attributes:
        name: The study, and the run's folder inside the suite's.
        run: What the run holds.
        summary: What its report says first.
        compared: The comparison of its arms over pooled targets, under the first tuning protocol.
        cautions: What its report warns of.
    """

    name: str
    run: RunData | None = None
    summary: Summary | None = None
    compared: Comparison | None = None
    cautions: tuple[str, ...] = ()


def write_suite_report(folder: Path) -> Path:
    """Write ``report/index.html`` over the runs in a suite's folder, and return its path.

    Args:
        folder: The suite's folder, with ``suite.json`` and a run folder a study.

    Raises:
        InputError: The folder is no suite's, or a run in it cannot be read.
    """
    suite = read_suite(folder)
    finished = {place.name: place for place in finished_runs(folder)}
    runs = [_suite_run(finished[name]) if name in finished else SuiteRun(name) for name in suite["studies"]]
    page = folder / "report" / "index.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    text = page_environment().get_template("suite.html.j2").render(suite=suite, runs=runs)
    write_atomically(page, text.encode())
    return page


def finished_runs(folder: Path) -> list[Path]:
    """Return the folders of a suite's finished runs, in its order.

    Raises:
        InputError: If it is not the folder of a suite.
    """
    places = [folder / name for name in read_suite(folder)["studies"]]
    return [place for place in places if (place / "results.parquet").is_file()]


def read_suite(folder: Path) -> dict[str, Any]:
    """Return what a suite's folder says it holds: name, about, studies.

    Raises:
        InputError: If it is not the folder of a suite.
    """
    file = folder / SUITE_FILE
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        return {"name": str(found["name"]), "about": str(found["about"]), "studies": [str(n) for n in found["studies"]]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file} does not say which studies the suite has ({error}); run the suite again") from error


def _suite_run(place: Path) -> SuiteRun:
    run = read_run(place)
    views = target_views(run)
    compared = comparisons(run, views, run.settings, pooled_alone=True)
    summary = summarise(views, run.settings, run.study)
    return SuiteRun(place.name, run, summary, next(iter(compared), None), tuple(cautions(run, views)))
