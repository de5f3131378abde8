"""A run as metrics: its units as they end, and what its policies are worth as rows are written."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import isfinite
from typing import TYPE_CHECKING

from roamrl.platform.monitoring.metrics import RETURN, SCORE, UNITS, Metric, level

if TYPE_CHECKING:
    from roamrl.platform.study.progress import Progress
    from roamrl.platform.study.results import Result


@dataclass
class RunWatch:
    """The run of this process.

    Attributes:
        study: Its study's name.
        strategies: Strategy of each arm.
    """

    study: str
    strategies: Mapping[str, str]
    _means: dict[tuple[Metric, str, str, str], tuple[float, int]] = field(default_factory=dict)

    def add_rows(self, rows: Sequence[Result]) -> None:
        """Take in the rows of a unit: of each policy on each task, the one at its last point."""
        last: dict[tuple[str, ...], Result] = {}
        for row in rows:
            if row.tuning == "per-n":
                continue  # the same policies as under the fixed choice, or chosen for a point before the last
            key = (row.stage, row.arm, row.task_id, str(row.seed), *row.source_ids)
            if key not in last or row.episodes >= last[key].episodes:
                last[key] = row
        for row in last.values():
            for metric, value in ((RETURN, row.return_mean), (SCORE, row.score)):
                if isfinite(value):
                    self._add(metric, row, value)

    def _add(self, metric: Metric, row: Result, value: float) -> None:
        key = (metric, row.strategy, row.stage, row.split)
        total, number = self._means.get(key, (0.0, 0))
        self._means[key] = total, number = total + value, number + 1
        level(metric, total / number, study=self.study, strategy=row.strategy, stage=row.stage, split=row.split)


_now: list[RunWatch] = []


@contextmanager
def watched_run(study: str, strategies: Mapping[str, str]) -> Iterator[RunWatch]:
    """Measure what is carried out within the block as the run of a study.

    Args:
        study: The study's name.
        strategies: Strategy of each of its arms.
    """
    watch = RunWatch(study, strategies)
    _now.append(watch)
    try:
        yield watch
    finally:
        _now.remove(watch)


def run_now() -> RunWatch | None:
    """Return the run of this process, None outside of one."""
    return _now[-1] if _now else None


def report_rows(rows: Sequence[Result]) -> None:
    """Measure rows of results that were written; nothing outside of a run."""
    watch = run_now()
    if watch is not None:
        watch.add_rows(rows)


class MeteredProgress:
    """Passes the course of a run on, and measures how many units are done, open and failed."""

    def __init__(self, progress: Progress, study: str, finished: Collection[str] = ()) -> None:
        """Begin.

        Args:
            progress: Who is told.
            study: The study's name.
            finished: Keys of units that were finished before.
        """
        self._progress = progress
        self._study = study
        self._done = set(finished)
        self._failed: set[str] = set()
        self._total = len(self._done)

    def start(self, total_units: int, total_windows: int) -> None:
        """Take in how much there is to do."""
        self._total = len(self._done) + total_units
        self._measure()
        self._progress.start(total_units, total_windows)

    def stage(self, name: str) -> None:
        """Pass it on."""
        self._progress.stage(name)

    def unit_started(self, key: str, label: str) -> None:
        """Pass it on."""
        self._progress.unit_started(key, label)

    def unit_done(self, key: str, label: str, windows: int, seconds: float) -> None:
        """Count the unit as done."""
        self._done.add(key)
        self._failed.discard(key)
        self._measure()
        self._progress.unit_done(key, label, windows, seconds)

    def unit_failed(self, key: str, label: str, error: str) -> None:
        """Count the unit as failed."""
        self._failed.add(key)
        self._measure()
        self._progress.unit_failed(key, label, error)

    def finish(self) -> None:
        """Pass it on."""
        self._progress.finish()

    def _measure(self) -> None:
        done, failed = len(self._done), len(self._failed)
        for state, number in (("done", done), ("failed", failed), ("open", max(0, self._total - done - failed))):
            level(UNITS, number, study=self._study, state=state)
