"""The page of a sweep: what was searched, what was best, every candidate, and who took over whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from roamrl.envs.atomic_file import write_atomically
from roamrl.envs.canonical import JSON
from roamrl.platform.report.figures.parallel_coordinates import Coordinate, TrialLine, draw_parallel_coordinates
from roamrl.platform.report.figures.render import render
from roamrl.platform.report.page import page_environment
from roamrl.platform.study.folder import Failure
from roamrl.platform.study.schema import Study
from roamrl.platform.study.search_entries import SpaceEntry
from roamrl.platform.sweep.results import Candidate, own_values, ranked
from roamrl.platform.sweep.trial import search_of

DEFAULT = "default"
"""What stands for a setting that neither the study nor the trial gives a value."""

MOST_ROWS = 200
"""Most exchanges that a page lists; ``sweep.parquet`` has all."""


@dataclass(frozen=True)
class Row:
    """A candidate as a line of a table.

    Attributes:
        number: Its number.
        values: What it learned with at its end, by what was searched, as text.
        score: Its last score.
        deviation: Over its members.
        env_steps: Environment steps a member made.
        ending: Whether it trained to its end.
        best: Whether it was chosen.
    """

    number: int
    values: tuple[str, ...]
    score: float
    deviation: float
    env_steps: int
    ending: str
    best: bool


@dataclass(frozen=True)
class Exchange:
    """A member that took over another."""

    env_steps: int
    member: int
    source: int
    score: float
    source_score: float
    before: str
    after: str


def table_rows(study: Study, candidates: Sequence[Candidate], best: Candidate | None) -> list[Row]:
    """Return a row a candidate, the best first."""
    own = own_values(study)
    return [
        Row(
            each.number,
            tuple(written(each.last.settings.get(name, value)) for name, value in own.items()),
            each.last.score,
            each.last.spread,
            each.last.env_steps,
            each.ending,
            best is not None and each.number == best.number,
        )
        for each in ranked(candidates)
    ]


def written(value: JSON) -> str:
    """Return a value for a table."""
    if value is None:
        return DEFAULT
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def exchanges(study: Study, candidates: Sequence[Candidate]) -> list[Exchange]:
    """Return who took over whom, in the order of training."""
    by_number = {each.number: each for each in candidates}
    found = []
    for each in candidates:
        for place, score in enumerate(each.scores):
            if score.copied_from is None:
                continue
            source = by_number[score.copied_from].scores[place]
            after = each.scores[place + 1].settings if place + 1 < len(each.scores) else {}
            found.append(
                Exchange(
                    score.env_steps,
                    each.number,
                    score.copied_from,
                    score.score,
                    source.score,
                    _together(score.settings),
                    _together(after),
                )
            )
    return sorted(found, key=lambda exchange: (exchange.env_steps, exchange.member))


def write_page(
    folder: Path,
    study: Study,
    candidates: Sequence[Candidate],
    best: Candidate | None,
    failures: Sequence[Failure],
    about: dict[str, Any],
) -> Path:
    """Write ``report/index.html`` with its figure, and return the page's path."""
    place = folder / "report"
    place.mkdir(parents=True, exist_ok=True)
    search = search_of(study)
    own = own_values(study)
    picture = None
    if candidates:
        coordinates = [
            _coordinate(name, search.spaces[name], [each.last.settings.get(name, value) for each in candidates])
            for name, value in own.items()
        ]
        lines = [
            TrialLine(
                each.last.score,
                each.ending == "done",
                best is not None and each.number == best.number,
                not each.settings,
            )
            for each in candidates
        ]
        score_name = f"score on {study.val}"
        draw = partial(draw_parallel_coordinates, coordinates, lines, score_name)
        picture = render("parallel-coordinates", f"Settings tried, and {score_name}", draw, place)
    listed = exchanges(study, candidates)
    text = (
        page_environment()
        .get_template("sweep.html.j2")
        .render(
            study=study,
            search=search,
            about=about,
            names=list(own),
            rows=table_rows(study, candidates, best),
            best=best,
            picture=picture,
            exchanges=listed[:MOST_ROWS],
            exchange_count=len(listed),
            failures=failures,
        )
    )
    page = place / "index.html"
    write_atomically(page, text.encode())
    return page


def _coordinate(name: str, space: SpaceEntry, values: Sequence[JSON]) -> Coordinate:
    absent = DEFAULT if space.listed else None
    plain = tuple(absent if value is None else value if _is_number(value) else str(value) for value in values)
    log = space.loguniform is not None and all(value is None or value > 0 for value in values)
    return Coordinate(name.removeprefix("pretrain."), plain, log=log, listed=bool(space.listed))


def _is_number(value: JSON) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _together(settings: dict[str, JSON]) -> str:
    return ", ".join(f"{name} {written(value)}" for name, value in settings.items())
