"""A run as metrics: units by what became of them, and policies' worth at their last point."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from roamrl.platform.monitoring import metrics, run_watch
from roamrl.platform.monitoring.metrics import METRICS, RETURN, SCORE, Metric
from roamrl.platform.monitoring.run_watch import MeteredProgress, report_rows, watched_run
from roamrl.platform.study.progress import NoProgress
from roamrl.platform.study.results import RESULTS, Result, write_rows

ROW = Result(
    study="s",
    unit="u",
    stage="adapt",
    arm="mine",
    strategy="reuse",
    family="slicing-v1",
    family_config_hash="",
    task_id="t1",
    task_name="t",
    split="similar",
    split_hash="",
    tuning="fixed",
    seed=0,
    source_ids=(),
    env_steps=0,
    pretrain_env_steps=0,
    episodes=4,
    return_mean=10.0,
    return_trivial=0.0,
    return_oracle=20.0,
    score=0.5,
    violation_rate=0.0,
    violation_adapting=0.0,
    eval_episodes=2,
    wall_s=0.0,
    cpu_s=0.0,
    expert_id=None,
    commit="",
)


@pytest.fixture
def gauges(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, ...], float]:
    """What gauges were set to last, by name and values of their labels."""
    found: dict[tuple[str, ...], float] = {}

    def note(metric: Metric, value: float, **labels: str) -> None:
        assert set(labels) == set(metric.labels)
        found[(metric.name, *(labels[name] for name in metric.labels))] = value

    monkeypatch.setattr(run_watch, "level", note)
    return found


def test_policies_count_once_at_their_last_point_over_all_units(gauges: dict[tuple[str, ...], float]) -> None:
    with watched_run("s", {"mine": "reuse"}):
        report_rows([replace(ROW, episodes=0, score=-5.0), ROW, replace(ROW, episodes=1, score=-7.0)])
        assert gauges[SCORE.name, "s", "reuse", "adapt", "similar"] == 0.5
        report_rows([replace(ROW, seed=1, score=1.0, return_mean=20.0), replace(ROW, split="different", score=0.2)])
    assert gauges[SCORE.name, "s", "reuse", "adapt", "similar"] == pytest.approx(0.75)
    assert gauges[RETURN.name, "s", "reuse", "adapt", "similar"] == pytest.approx(15.0)
    assert gauges[SCORE.name, "s", "reuse", "adapt", "different"] == pytest.approx(0.2)


def test_rows_chosen_for_another_point_are_left_out(gauges: dict[tuple[str, ...], float]) -> None:
    with watched_run("s", {"mine": "reuse"}):
        report_rows([ROW, replace(ROW, tuning="per-n", score=9.0)])
    assert gauges[SCORE.name, "s", "reuse", "adapt", "similar"] == 0.5


def test_a_score_that_is_not_known_yet_is_no_series(gauges: dict[tuple[str, ...], float]) -> None:
    with watched_run("s", {"mine": "reuse"}):
        report_rows([replace(ROW, score=float("nan"))])
    assert list(gauges) == [(RETURN.name, "s", "reuse", "adapt", "similar")]


def test_rows_are_measured_where_they_are_written_and_only_in_a_run(
    gauges: dict[tuple[str, ...], float], tmp_path: Path
) -> None:
    write_rows(tmp_path / "before.parquet", [ROW], RESULTS)
    assert gauges == {}
    with watched_run("s", {"mine": "reuse"}):
        write_rows(tmp_path / "within.parquet", [ROW], RESULTS)
    assert gauges[SCORE.name, "s", "reuse", "adapt", "similar"] == 0.5
    with watched_run("s", {"mine": "reuse"}):
        write_rows(tmp_path / "anew.parquet", [replace(ROW, score=0.1)], RESULTS)
    assert gauges[SCORE.name, "s", "reuse", "adapt", "similar"] == pytest.approx(0.1), "a run begins without the last"


def test_units_are_done_failed_or_open(gauges: dict[tuple[str, ...], float]) -> None:
    def states() -> tuple[float, ...]:
        return tuple(gauges["roamrl_units", "s", state] for state in ("done", "failed", "open"))

    metered = MeteredProgress(NoProgress(), "s", finished=["a", "b"])
    metered.start(3, 0)
    assert states() == (2, 0, 3)
    metered.unit_done("a", "", 0, 0.0)  # references are told of again when a run goes on
    metered.unit_done("c", "", 0, 0.0)
    metered.unit_failed("d", "", "why")
    assert states() == (3, 1, 1)
    metered.unit_done("d", "", 0, 0.0)
    assert states() == (4, 0, 1)


def test_whoever_watched_before_is_still_told() -> None:
    told: list[object] = []

    class Listener(NoProgress):
        def start(self, total_units: int, total_windows: int) -> None:
            told.append((total_units, total_windows))

        def stage(self, name: str) -> None:
            told.append(name)

        def unit_started(self, key: str, label: str) -> None:
            told.append(("started", key, label))

        def unit_done(self, key: str, label: str, windows: int, seconds: float) -> None:
            told.append(("done", key, label, windows, seconds))

        def unit_failed(self, key: str, label: str, error: str) -> None:
            told.append(("failed", key, label, error))

        def finish(self) -> None:
            told.append("finish")

    metered = MeteredProgress(Listener(), "s")
    metered.start(2, 30)
    metered.stage("adapt")
    metered.unit_started("a", "A")
    metered.unit_done("a", "A", 20, 1.5)
    metered.unit_failed("b", "B", "why")
    metered.finish()
    done = ("done", "a", "A", 20, 1.5)
    assert told == [(2, 30), "adapt", ("started", "a", "A"), done, ("failed", "b", "B", "why"), "finish"]


WITHOUT = """
import sys
from roamrl.platform.monitoring.metrics import METRICS, count, level
for metric in METRICS:
    labels = dict.fromkeys(metric.labels, "x")
    (count if metric.kind == "counter" else level)(metric, 1, **labels)
assert "ray" not in sys.modules
import ray
for metric in METRICS:
    labels = dict.fromkeys(metric.labels, "x")
    (count if metric.kind == "counter" else level)(metric, 1, **labels)
assert not ray.is_initialized() and "ray.util.metrics" not in sys.modules
"""


def test_without_a_session_nothing_is_recorded_and_ray_not_imported() -> None:
    subprocess.run([sys.executable, "-c", WITHOUT], check=True, timeout=120)


def test_a_gauge_is_set_again_until_the_session_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray forgets a gauge that is not."""
    found: list[tuple[float, dict[str, str]]] = []
    session = threading.Event()

    class Recorder:
        def set(self, value: float, tags: dict[str, str]) -> None:
            found.append((value, tags))

    monkeypatch.setattr(metrics, "REFRESH_S", 0.01)
    monkeypatch.setattr(metrics, "_in_session", session.is_set)
    monkeypatch.setattr(metrics, "_recorder", lambda metric: Recorder())
    session.set()
    metrics.level(metrics.UNITS, 3, study="s", state="done")
    metrics.level(metrics.UNITS, 4, study="s", state="done")
    wait_until(lambda: len(found) > 5)
    assert {value for value, _ in found[2:]} == {4}, "an earlier value came back"
    assert all(tags == {"study": "s", "state": "done"} for _, tags in found)
    session.clear()
    wait_until(lambda: not metrics._refreshing.is_set())
    assert metrics._levels == {}
    metrics.level(metrics.UNITS, 5, study="s", state="done")
    assert metrics._levels == {}


def wait_until(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not holds() and time.monotonic() < until:
        time.sleep(0.01)
    assert holds()


def test_names_and_labels_are_what_prometheus_takes() -> None:
    names = [metric.name for metric in METRICS]
    assert len(set(names)) == len(names)
    for metric in METRICS:
        assert metric.name.startswith("roamrl_") and metric.name.isidentifier() and metric.name.islower()
        assert metric.about.endswith(".")
        assert not metric.name.endswith("_total")
        assert set(metric.labels) <= {"study", "strategy", "stage", "split", "state", "outcome"}, "no ids as labels"
