"""Choosing the source: what every selector leaves of the best source's zero-shot score, and how well gains are told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from roamrl.algorithms.transfer.selection.regret import regret
from roamrl.platform.evaluation.statistics import Estimate, stratified_bootstrap_interval
from roamrl.platform.report.arms import SCRATCH
from roamrl.platform.report.run_data import Row, RunData, first_seen
from roamrl.platform.report.settings import ReportSettings
from roamrl.platform.report.source_pools import pool_records, unreadable

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Selector:
    """A selector and its choices.

    Attributes:
        name: What tables call it.
        episodes: Target episodes that a choice takes.
        chosen: Places among the sources, all counted alike, by target.
    """

    name: str
    episodes: int
    chosen: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Validation:
    """How well gains are foretold for tasks of val left out whole; NaN where it is not defined.

    Attributes:
        tasks: Number of tasks.
        explained: R^2 against the mean gain of the other tasks.
        ranks: Rank correlation over the sources of a task, mean over tasks.
        regret: Mean regret on the task left out, by selector.
    """

    tasks: int
    explained: float
    ranks: float
    regret: dict[str, float]


@dataclass(frozen=True)
class SourcePool:
    """Sources, targets, and the score of each on each before it learns anything there.

    Attributes:
        arms: Arms that draw on the sources.
        sources: Their names, one for each expert (experts of one source share a name).
        targets: Names of the targets on which all sources were scored.
        splits: Split of each target.
        scores: [K, T].
        worse: Whether it is below the trivial policy there, [K, T].
        scratch: Score of an untrained learner on each target, NaN where there is none, [T].
        selectors: Selectors with their choices.
        validation: How well gains are foretold; None where val has too few tasks.
    """

    arms: tuple[str, ...]
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    splits: tuple[str, ...]
    scores: Floats
    worse: npt.NDArray[np.bool_]
    scratch: Floats
    selectors: tuple[Selector, ...]
    validation: Validation | None

    def regrets(self, selector: Selector) -> Floats:
        """Return the best source's score less that of the chosen one, by target [T]."""
        return np.array([regret(own, places) for own, places in zip(self.scores.T, selector.chosen, strict=True)])

    def share(self, selector: Selector, holds: npt.NDArray[np.bool_]) -> float:
        """Return the share of targets, choices alike in equal parts, whose chosen source has a property [K, T]."""
        return float(np.mean([own[list(places)].mean() for own, places in zip(holds.T, selector.chosen, strict=True)]))


@dataclass(frozen=True)
class SelectorRow:
    """A selector in numbers; `by_split` are mean regrets in the order of the pool's splits."""

    selector: str
    regret: Estimate
    by_split: tuple[float, ...]
    best: float
    below_scratch: float
    below_trivial: float
    episodes: int


def source_pools(run: RunData) -> list[SourcePool]:
    """Return the pools of a run that has chosen among sources; pools that were scored on no target are left out."""
    try:
        pools = [_pool(run, pool) for pool in pool_records(run)]
    except (KeyError, TypeError) as error:
        raise unreadable(run, error) from error
    return [pool for pool in pools if pool.targets]


def selector_rows(pool: SourcePool, settings: ReportSettings) -> list[SelectorRow]:
    """Return one row a selector; intervals are over targets."""
    return [_row(pool, selector, settings) for selector in pool.selectors]


def _row(pool: SourcePool, selector: Selector, settings: ReportSettings) -> SelectorRow:
    regrets = pool.regrets(selector)
    splits = np.array(pool.splits)
    known = bool(np.isfinite(pool.scratch).all())
    return SelectorRow(
        selector=selector.name,
        regret=stratified_bootstrap_interval([regrets], mean, settings.bootstrap),
        by_split=tuple(float(regrets[splits == split].mean()) for split in first_seen(pool.splits)),
        best=pool.share(selector, np.isclose(pool.scores, pool.scores.max(axis=0))),
        below_scratch=pool.share(selector, pool.scores < pool.scratch) if known else float("nan"),
        below_trivial=pool.share(selector, pool.worse),
        episodes=selector.episodes,
    )


def mean(values: Floats) -> Floats:
    """Return the mean over the last axis."""
    return np.asarray(values.mean(axis=-1))


def _pool(run: RunData, record: dict[str, Any]) -> SourcePool:
    experts = [str(source["expert"]) for source in record["sources"]]
    found = {
        (row.source_ids[0], row.task_id): row for row in run.sources if row.stage == "zero-shot" and row.source_ids
    }
    met = {row.task_id: row for row in run.sources if row.stage == "zero-shot"}
    tasks = [row for task, row in _in_order(run, met) if all((expert, task) in found for expert in experts)]
    rows = [[found[expert, row.task_id] for row in tasks] for expert in experts]
    return SourcePool(
        arms=tuple(str(arm) for arm in record["arms"] if run.shows(arm)),
        sources=tuple(str(source["name"]) for source in record["sources"]),
        targets=tuple(row.task_name for row in tasks),
        splits=tuple(row.split for row in tasks),
        scores=np.array([[row.score for row in own] for own in rows]),
        worse=np.array([[row.return_mean < row.return_trivial for row in own] for own in rows]),
        scratch=np.array([_scratch(run, row.task_id) for row in tasks]),
        selectors=tuple(_selectors(run, record, [row.task_id for row in tasks])),
        validation=_validation(record["validation"]),
    )


def _in_order(run: RunData, met: dict[str, Row]) -> list[tuple[str, Row]]:
    """Return targets in the order of the study's splits, by name within a split."""
    named = run.study.get("targets")
    order = [str(name) for name in named] if isinstance(named, list) else []
    place = {split: number for number, split in enumerate(order)}
    return sorted(met.items(), key=lambda item: (place.get(item[1].split, len(order)), item[1].task_name))


def _scratch(run: RunData, task: str) -> float:
    """Return the mean score of untrained learners on a task, NaN without any."""
    at_start = [
        row.score
        for row in run.rows
        if (row.stage, row.strategy, row.task_id, row.episodes) == ("adapt", SCRATCH, task, 0)
    ]
    return float(np.mean(at_start)) if at_start else float("nan")


def _selectors(run: RunData, record: dict[str, Any], tasks: Sequence[str]) -> list[Selector]:
    """Return the selectors that no arm stands behind, and those of arms that are shown."""
    shown = [selector for selector in record["selectors"] if not selector["arm"] or run.shows(selector["arm"])]
    several = sum(selector["how"] == "probe" for selector in shown) > 1
    return [
        Selector(
            f"probe ({selector['arm']})" if several and selector["arm"] else str(selector["how"]),
            int(selector["episodes"]),
            tuple(tuple(int(place) for place in selector["chosen"][task]) for task in tasks),
        )
        for selector in shown
        if all(selector["chosen"].get(task) for task in tasks)
    ]


def _validation(record: dict[str, Any] | None) -> Validation | None:
    if record is None:
        return None
    return Validation(
        tasks=len(record["tasks"]),
        explained=float("nan") if record["explained"] is None else float(record["explained"]),
        ranks=float("nan") if record["ranks"] is None else float(record["ranks"]),
        regret={str(name): float(value) for name, value in record["regret"].items()},
    )
