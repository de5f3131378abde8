"""What a sweep found: a row a candidate and report, and the candidate that scores best."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from roamrl.envs.canonical import JSON
from roamrl.envs.errors import InputError
from roamrl.platform.study.results import write_table
from roamrl.platform.study.schema import Study
from roamrl.platform.sweep.algorithm import Report, read_reports
from roamrl.platform.sweep.folder import SweepFolder
from roamrl.platform.sweep.paths import member_path, value_at
from roamrl.platform.sweep.spaces import Settings
from roamrl.platform.sweep.trial import Trial, build_trial, search_of

TABLE_FILE = "sweep.parquet"

Ending = Literal["done", "stopped"]


@dataclass(frozen=True)
class Score:
    """A candidate at one report.

    Attributes:
        report: Number of the report, from 1.
        env_steps: Environment steps a member had made.
        score: Mean score on val; NaN where it has none.
        spread: Standard deviation over its members; NaN for one.
        wall_s: Seconds its trial had taken.
        settings: What it learned with up to here, by path or member's setting.
        copied_from: Candidate that it took over thereafter; None for none.
    """

    report: int
    env_steps: int
    score: float
    spread: float
    wall_s: float
    settings: Settings
    copied_from: int | None = None


@dataclass(frozen=True)
class Candidate:
    """Settings that were tried.

    Attributes:
        number: From 0, which stands for the study's own settings (with Optuna, where they lie within the spaces).
        settings: What was set, by path or by member's setting; nothing for the study's own.
        ending: Whether it trained to its end, or was stopped before (or failed).
        members: Members that had these settings.
        scores: Its reports.
    """

    number: int
    settings: Settings
    ending: Ending
    members: int
    scores: tuple[Score, ...]

    @property
    def last(self) -> Score:
        """Its last report."""
        return self.scores[-1]


def read_candidates(folder: SweepFolder, study: Study, settings: Sequence[Settings]) -> list[Candidate]:
    """Return the candidates that have reported, in the order of their trials.

    Args:
        folder: The sweep's folder.
        study: Its study.
        settings: Settings of all trials.
    """
    splits = folder.tasks()
    found: list[Candidate] = []
    for number, own in enumerate(settings):
        reports = read_reports(folder.trial(own))
        if not reports:
            continue
        trial = build_trial(study, own, splits)
        ending: Ending = "done" if len(reports) == len(trial.reports) else "stopped"
        if search_of(study).members:
            found += [_of_population(study, trial, reports, place, ending) for place in range(len(trial.candidates))]
        else:
            scores = tuple(
                Score(place, each.env_steps, each.scores[0], _spread(each.member_scores), each.wall_s, own)
                for place, each in enumerate(reports, 1)
            )
            found.append(Candidate(number, own, ending, len(trial.of_member), scores))
    return found


def _of_population(study: Study, trial: Trial, reports: Sequence[Report], place: int, ending: Ending) -> Candidate:
    search = search_of(study)
    members = [member for member, candidate in enumerate(trial.of_member) if candidate == place]
    scores = []
    for number, each in enumerate(reports, 1):
        own = {name: each.values[name][members[0]] for name in search.spaces}
        source = dict(each.copies).get(members[0])
        copied = None if source is None else trial.of_member[source]
        spread = _spread([each.member_scores[member] for member in members])
        scores.append(Score(number, each.env_steps, each.scores[place], spread, each.wall_s, own, copied))
    return Candidate(place, trial.candidates[place], ending, len(members), tuple(scores))


def best_candidate(candidates: Sequence[Candidate]) -> Candidate:
    """Return the candidate that trained to its end with the highest score; of equals the first.

    Raises:
        InputError: If none did.
    """
    finished = [each for each in candidates if each.ending == "done" and math.isfinite(each.last.score)]
    if not finished:
        raise InputError(
            "no trial of the sweep trained to its end with a score, so there is no best one; see failures.json, or "
            "give search.budget.wall_s more"
        )
    return max(finished, key=lambda each: each.last.score)


def ranked(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return candidates by how far they came and then by score, the best first."""
    return sorted(candidates, key=lambda c: (-c.last.env_steps, -_known(c.last.score), c.number))


def own_values(study: Study) -> Settings:
    """Return what a study itself says of everything searched, None where it says nothing."""
    search = search_of(study)
    paths = {name: member_path(study, search.arm, name) if search.members else name for name in search.spaces}
    return {name: value_at(study, path) for name, path in paths.items()}


def write_candidates(folder: Path, study: Study, candidates: Sequence[Candidate]) -> None:
    """Write ``sweep.parquet``: a row a candidate and report, a column for everything searched."""
    own = own_values(study)
    rows = [
        {
            "trial": each.number,
            "report": score.report,
            "env_steps": score.env_steps,
            "score": score.score,
            "score_deviation": score.spread,
            "members": each.members,
            "wall_s": score.wall_s,
            "ending": each.ending,
            "copied_from": score.copied_from,
            **{f"search.{name}": _cell(score.settings.get(name, value)) for name, value in own.items()},
        }
        for each in candidates
        for score in each.scores
    ]
    fixed = {
        "trial": pa.int64(),
        "report": pa.int64(),
        "env_steps": pa.int64(),
        "score": pa.float64(),
        "score_deviation": pa.float64(),
        "members": pa.int64(),
        "wall_s": pa.float64(),
        "ending": pa.string(),
        "copied_from": pa.int64(),
    }
    searched = {f"search.{name}": _column_type([row[f"search.{name}"] for row in rows]) for name in own}
    schema = pa.schema({**fixed, **searched})
    for row in rows:
        row |= {
            name: None if row[name] is None else str(row[name]) for name in searched if searched[name] == pa.string()
        }
    write_table(folder / TABLE_FILE, pa.Table.from_pylist(rows, schema))


def read_sweep(folder: Path) -> Any:
    """Return a sweep's table as pyarrow (``.to_pandas()`` for notebooks).

    Raises:
        InputError: If the folder holds no finished sweep.
    """
    if not (folder / TABLE_FILE).is_file():
        raise InputError(f"{folder} has no {TABLE_FILE}: the sweep is not finished; 'roamrl sweep' it again to go on")
    return pq.read_table(folder / TABLE_FILE)


def _cell(value: JSON) -> Any:
    return value if value is None or isinstance(value, int | float | str) else json.dumps(value)


def _column_type(values: Sequence[Any]) -> pa.DataType:
    numbers = [value for value in values if value is not None]
    plain = all(isinstance(value, int | float) and not isinstance(value, bool) for value in numbers)
    return pa.float64() if plain else pa.string()


def _spread(scores: Sequence[float]) -> float:
    known = [score for score in scores if math.isfinite(score)]
    if len(known) < 2:
        return math.nan
    mean = sum(known) / len(known)
    return math.sqrt(sum((score - mean) ** 2 for score in known) / (len(known) - 1))


def _known(score: float) -> float:
    return score if math.isfinite(score) else -math.inf


def as_json(candidate: Candidate) -> Mapping[str, JSON]:
    """Return a candidate at its end as plain values."""
    last = candidate.last
    return {
        "trial": candidate.number,
        "settings": candidate.settings,
        "ending": candidate.ending,
        "score": last.score,
        "env_steps": last.env_steps,
        "report": last.report,
        "learned_with": last.settings,
    }
