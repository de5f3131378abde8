"""What is read from a run folder, and how it is put together."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from roamrl.envs.errors import InputError
from roamrl.platform.report.arms import target_splits, target_views, tuning_agrees, tuning_protocols
from roamrl.platform.report.page import write_report
from roamrl.platform.report.run_data import read_run

MakeRun = Callable[..., Path]


def test_the_tutorials_two_splits_come_first_whatever_the_study_says(make_run: MakeRun, arm_truth: Any) -> None:
    line = {"scratch": arm_truth("scratch", dict.fromkeys(("ood-load", "different", "similar"), (0.0, 0.5)))}
    run = read_run(make_run(arms=line, splits={"ood-load": 1, "different": 1, "similar": 1}, seeds=2))
    assert target_splits(run) == ["similar", "different", "ood-load"]


def test_arms_stand_scratch_first_then_joint_and_the_specialist_is_the_ceiling(make_run: MakeRun) -> None:
    view = target_views(read_run(make_run(seeds=2)))[0]
    assert [arm.name for arm in view.arms] == ["scratch", "joint", "reuse", "reuse-trunk"]
    assert list(view.ceilings.values()) == pytest.approx([0.9] * 4)
    assert view.reference_level("classical") == pytest.approx(0.45)


def test_training_returns_become_scores_by_the_tasks_references(make_run: MakeRun) -> None:
    run = read_run(make_run(seeds=2))
    curve = run.curves[0]
    np.testing.assert_allclose(curve.score, (curve.returns - 10.0) / 20.0)
    assert np.all(np.diff(curve.episodes) == 20)
    assert len(run.curves) == 4 * 8 * 2


def test_protocols_are_told_apart_and_the_span_is_what_all_arms_share(make_run: MakeRun) -> None:
    run = read_run(make_run(seeds=2, tunings=("fixed", "per-n")))
    assert tuning_protocols(run) == ["fixed", "per-n"]
    assert {view.tuning: view.span for view in target_views(run)} == {"fixed": (0, 2000), "per-n": (0, 100)}


def test_a_protocol_that_chose_the_same_is_not_shown_again(make_run: MakeRun) -> None:
    folder = make_run(seeds=2, tunings=("fixed", "per-n"))
    table = pq.read_table(folder / "results.parquet")
    rows = [row for row in table.to_pylist() if row["tuning"] != "per-n"]
    again = [row | {"tuning": "per-n"} for row in rows if row["tuning"] == "fixed" and row["episodes"] <= 100]
    pq.write_table(table.from_pylist([*rows, *again], schema=table.schema), folder / "results.parquet")
    run = read_run(folder)
    assert tuning_agrees(run)
    assert tuning_protocols(run) == ["fixed"]
    assert "the results are shown once" in write_report(folder).read_text(encoding="utf-8")
    again[0]["unit"] = "of another step size"
    pq.write_table(table.from_pylist([*rows, *again], schema=table.schema), folder / "results.parquet")
    assert not tuning_agrees(read_run(folder))


def test_an_arm_without_tuning_stands_in_both_protocols(make_run: MakeRun) -> None:
    folder = make_run(seeds=2, tunings=("fixed", "per-n"))
    table = pq.read_table(folder / "results.parquet")
    rows = [row for row in table.to_pylist() if row["arm"] != "joint" or row["tuning"] != "per-n"]
    rows = [row | {"tuning": "none"} if row["arm"] == "joint" else row for row in rows]
    pq.write_table(table.from_pylist(rows, schema=table.schema), folder / "results.parquet")
    for view in target_views(read_run(folder)):
        assert "joint" in [arm.name for arm in view.arms]
        assert len(view.training["joint"]) in (0, 8)


def test_rows_without_a_score_are_counted_and_left_out(make_run: MakeRun) -> None:
    folder = make_run(seeds=2)
    table = pq.read_table(folder / "results.parquet")
    rows = table.to_pylist()
    for row in rows:
        if row["arm"] == "reuse" and row["task_name"] == "similar-0" and row["episodes"] == 50:
            row["score"] = float("nan")
    pq.write_table(table.from_pylist(rows, schema=table.schema), folder / "results.parquet")
    run = read_run(folder)
    assert run.unscored == 2
    reuse = next(arm for arm in target_views(run)[0].arms if arm.name == "reuse")
    assert 50.0 not in reuse.points
    assert 100.0 in reuse.points


def test_no_run_folder_is_the_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a run folder"):
        read_run(tmp_path)


def test_missing_columns_are_named(make_run: MakeRun) -> None:
    folder = make_run(seeds=2)
    table = pq.read_table(folder / "results.parquet")
    pq.write_table(table.drop_columns(["score", "cpu_s"]), folder / "results.parquet")
    with pytest.raises(InputError, match="score, cpu_s"):
        read_run(folder)


def test_a_torn_json_is_the_users_mistake(make_run: MakeRun) -> None:
    folder = make_run(seeds=2)
    (folder / "failures.json").write_text(json.dumps([{"unit": "a"}])[:-3])
    with pytest.raises(InputError, match=r"failures\.json"):
        read_run(folder)


def test_a_metric_that_cannot_be_is_the_users_mistake(make_run: MakeRun) -> None:
    with pytest.raises(InputError, match="tolerance"):
        read_run(make_run(seeds=2, metrics={"tolerance": -1.0}))
