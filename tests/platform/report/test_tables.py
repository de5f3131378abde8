"""Each table against the truth the run was made from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest, norm

from roamrl.platform.report.arms import TargetView, target_views
from roamrl.platform.report.cost import cost_rows
from roamrl.platform.report.run_data import RunData, read_run
from roamrl.platform.report.tables import adaptation_rows, negative_rows, task_rows, transfer_rows

MakeRun = Callable[..., Path]


@pytest.fixture(scope="module")
def run(make_run: MakeRun) -> RunData:
    return read_run(make_run())


@pytest.fixture(scope="module")
def views(run: RunData) -> dict[str, TargetView]:
    return {view.split: view for view in target_views(run)}


def test_adaptation_numbers_are_those_of_the_lines(run: RunData, views: dict[str, TargetView]) -> None:
    rows = {row.arm: row for row in adaptation_rows(views["similar"], run.settings)}
    truth = {"scratch": (0.0, 0.70), "joint": (0.50, 0.80), "reuse": (0.60, 0.85)}
    for arm, (start, end) in truth.items():
        row = rows[arm]
        assert (row.runs, row.tasks) == (40, 4)
        assert row.zero_shot is not None and row.area is not None and row.final is not None
        assert row.zero_shot.value == pytest.approx(start, abs=1e-9)
        assert row.final.value == pytest.approx(end, abs=1e-9)
        assert row.area.value == pytest.approx((start + end) / 2, abs=1e-9)
        assert row.final.low < end < row.final.high
        assert row.violations_adapting == pytest.approx(0.2)


def test_worst_decile_is_the_lowest_run_of_each_task(run: RunData, views: dict[str, TargetView]) -> None:
    row = next(row for row in adaptation_rows(views["similar"], run.settings) if row.arm == "reuse")
    assert row.worst_decile == pytest.approx(0.85 + 0.03 * norm.ppf(0.05))


def test_episodes_to_the_specialist_follow_from_the_line(make_run: MakeRun, arm_truth: Any) -> None:
    arms = {
        "scratch": arm_truth("scratch", {"similar": (0.0, 0.70)}, noise=0.0),
        "fast": arm_truth("reuse", {"similar": (0.80, 0.90)}, noise=0.0),
        "ready": arm_truth("reuse", {"similar": (0.88, 0.90)}, noise=0.0),
    }
    run = read_run(make_run(arms=arms, splits={"similar": 2}, seeds=2))
    rows = {row.arm: row for row in adaptation_rows(target_views(run)[0], run.settings)}
    # 0.80 + 0.10 log(1 + n) / log 2001 >= 0.95 x 0.9 from n = 65 on, so at the point 100.
    assert (rows["fast"].n_star, rows["fast"].reached) == (100, 1.0)
    assert (rows["ready"].n_star, rows["ready"].reached) == (0, 1.0)
    assert (rows["scratch"].n_star, rows["scratch"].reached) == (np.inf, 0.0)


def test_oran_metrics_follow_from_the_line(make_run: MakeRun, arm_truth: Any) -> None:
    arms = {
        "scratch": arm_truth("scratch", {"similar": (0.0, 0.70)}, noise=0.0),
        "reuse": arm_truth("reuse", {"similar": (0.75, 0.90)}, noise=0.0),
    }
    run = read_run(make_run(arms=arms, splits={"similar": 3}, seeds=4, metrics={"window": 10, "tolerance": 0.05}))
    rows = {row.arm: row for row in transfer_rows(target_views(run)[0], run.settings)}
    scratch, reuse = rows["scratch"], rows["reuse"]
    start = np.log1p(20) / np.log1p(2000)  # the first 1 % of the steps is the first update
    assert scratch.initial.value == pytest.approx(0.70 * start, abs=0.02)
    assert reuse.initial.value == pytest.approx(0.75 + 0.15 * start, abs=0.02)
    assert reuse.initial_change == pytest.approx(reuse.initial.value - scratch.initial.value)
    assert scratch.converged is not None and reuse.converged is not None
    assert (scratch.converged.value, reuse.converged.value) == (0.0, 1.0)
    assert reuse.converged.low == pytest.approx(binomtest(12, 12).proportion_ci(method="wilson").low)
    assert reuse.converged_change == 1.0
    assert np.isinf(scratch.step)
    # 0.75 + 0.15 log(1 + n) / log 2001 crosses 0.85 near n = 158, and the moving average lags behind it.
    assert 150 * 50 < reuse.step < 400 * 50
    assert reuse.variance == pytest.approx(0.02**2, rel=0.5)


def test_negative_transfer_is_the_share_of_twins_below_scratch(make_run: MakeRun, arm_truth: Any) -> None:
    arms = {
        "scratch": arm_truth("scratch", {"similar": (0.0, 0.70), "different": (0.0, 0.70)}, noise=0.0),
        "reuse": arm_truth("reuse", {"similar": (0.1, 0.8), "different": (0.1, 0.69)}, noise=0.0),
    }
    run = read_run(make_run(arms=arms, seeds=5))
    rows = {view.split: negative_rows(view, run.settings)[0] for view in target_views(run)}
    assert [share.value for share in rows["similar"].shares] == [0.0] * 10
    last = rows["different"].shares[-1]
    expected = binomtest(20, 20).proportion_ci(method="wilson")
    assert (last.value, last.low) == (1.0, pytest.approx(expected.low))
    assert rows["different"].shares[0].value == 0.0
    assert rows["different"].clear.value == 0.0  # below by 0.01, which is within the margin of 0.02


def test_a_known_share_of_negative_transfer(make_run: MakeRun, arm_truth: Any) -> None:
    """Offsets are quantiles: with a gain of one standard deviation, 16 of 100 runs lie below a noiseless scratch."""
    arms = {
        "scratch": arm_truth("scratch", {"similar": (0.0, 0.70)}, noise=0.0),
        "reuse": arm_truth("reuse", {"similar": (0.05, 0.75)}, noise=0.05),
    }
    run = read_run(make_run(arms=arms, splits={"similar": 1}, seeds=100, curves=False))
    row = negative_rows(target_views(run)[0], run.settings)[0]
    assert row.shares[-1].value == pytest.approx(0.16)


def test_scratch_at_equal_steps_and_not_at_equal_episodes(make_run: MakeRun, arm_truth: Any) -> None:
    """An arm that spends twice the steps an episode is held against scratch after twice the episodes."""
    import pyarrow.parquet as pq

    arms = {
        "scratch": arm_truth("scratch", {"similar": (0.0, 0.70)}, noise=0.0),
        "reuse": arm_truth("reuse", {"similar": (0.02, 0.72)}, noise=0.0),
    }
    folder = make_run(arms=arms, splits={"similar": 1}, seeds=2, curves=False)
    table = pq.read_table(folder / "results.parquet")
    rows = [
        row | {"env_steps": row["env_steps"] * 2} if (row["arm"], row["stage"]) == ("reuse", "adapt") else row
        for row in table.to_pylist()
    ]
    pq.write_table(table.from_pylist(rows, schema=table.schema), folder / "results.parquet")
    run = read_run(folder)
    row = negative_rows(target_views(run)[0], run.settings)[0]
    shares = dict(zip(row.points, [share.value for share in row.shares], strict=True))
    assert shares[0] == 0.0
    assert shares[100] == 1.0
    assert 2000 not in shares  # scratch was never measured after 4000 episodes' steps


def test_every_target_keeps_its_row(views: dict[str, TargetView]) -> None:
    rows = task_rows(views["different"])
    assert [row.task for row in rows] == [f"different-{number}" for number in range(4)]
    for row in rows:
        assert (row.trivial, row.top, row.classical) == (10.0, 30.0, 0.45)
        assert row.scores == pytest.approx((0.70, 0.75, 0.40, 0.70), abs=1e-9)
        assert row.best == row.scores[1]


def test_cost_counts_pretraining_of_the_experts_a_run_starts_from(run: RunData) -> None:
    rows = {row.arm: row for row in cost_rows(run, target_views(run))}
    assert (rows["scratch"].steps, rows["scratch"].experts, rows["scratch"].pretrain_cpu_s) == (100_000, 0, 0.0)
    assert (rows["joint"].pretrain_steps, rows["joint"].target_steps) == (2_000_000, 100_000)
    assert (rows["reuse"].experts, rows["reuse"].runs) == (4, 80)
    assert (rows["reuse"].pretrain_cpu_s, rows["reuse"].target_cpu_s) == (100.0, pytest.approx(40.0))
    assert rows["reuse"].tuning_steps == 4 * 2 * 5000


def test_one_seed_gives_numbers_without_intervals(make_run: MakeRun) -> None:
    run = read_run(make_run(seeds=1))
    for row in adaptation_rows(target_views(run)[0], run.settings):
        assert row.area is not None and not row.area.has_interval


def test_without_specialist_what_needs_it_is_not_a_number(make_run: MakeRun) -> None:
    run = read_run(make_run(seeds=2, specialist=None))
    view = target_views(run)[0]
    assert all(np.isnan(row.n_star) and np.isnan(row.reached) for row in adaptation_rows(view, run.settings))
    assert all(row.converged is None and np.isnan(row.step) for row in transfer_rows(view, run.settings))
