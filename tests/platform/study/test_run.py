"""A whole study, small: what it leaves behind, and that a run cut off anywhere ends with the same table."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import yaml

from roamrl.envs.errors import InputError
from roamrl.platform.store.store import ExpertStore
from roamrl.platform.study.results import RESULTS
from roamrl.platform.study.run import read_curves, read_results, run_study
from roamrl.platform.study.schema import Study

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]

TIMES = ["wall_s", "cpu_s", "peak_memory_mb", "expert_id", "source_ids", "commit"]
"""Columns that measure time or memory, name experts (whose manifests hold their time), or the state of the code."""


@pytest.fixture(scope="module")
def run(local_ray: object, tiny: Study, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Study]:
    place = tmp_path_factory.mktemp("tiny")
    study = tiny
    summary = run_study(study, out=place / "run", store=str(place / "store"))
    assert summary.failed == 0
    assert summary.report.is_file()
    return summary.folder, study


def rows(table: pa.Table, **where: object) -> list[dict[str, object]]:
    return [row for row in table.to_pylist() if all(row[key] == value for key, value in where.items())]


def test_every_arm_target_seed_and_point_has_its_row(run: tuple[Path, Study]) -> None:
    folder, study = run
    table = read_results(folder)
    assert table.schema.equals(RESULTS)
    for arm in ("scratch", "reuse", "joint"):
        for tuning in ("fixed", "per-n"):
            found = rows(table, arm=arm, stage="adapt", tuning=tuning)
            keys = {(row["task_name"], row["seed"], row["episodes"]) for row in found}
            assert keys == {(task, seed, n) for task in "cd" for seed in (0, 1) for n in study.adapt.episodes}
            assert len(found) == len(keys)
    assert {row["task_name"] for row in rows(table, stage="reference")} == set("abcde")
    assert len(rows(table, arm="specialist", split="similar")) == 1


def test_scores_are_those_of_the_formula(run: tuple[Path, Study]) -> None:
    table = read_results(run[0])
    for row in table.to_pylist():
        span = row["return_oracle"] - row["return_trivial"]
        assert row["score"] == pytest.approx((row["return_mean"] - row["return_trivial"]) / span, abs=1e-9)
    assert all(row["score"] == 0.0 for row in rows(table, arm="trivial"))
    assert all(row["score"] == 1.0 for row in rows(table, arm="oracle"))


def test_reuse_begins_as_its_expert(run: tuple[Path, Study]) -> None:
    """At step 0 the learner has the expert's weights: the same returns on the same streams."""
    folder, study = run
    table = read_results(folder)
    store = ExpertStore.open(folder.parent / "store")
    for row in rows(table, arm="reuse", stage="adapt", tuning="fixed", episodes=0):
        (source,) = row["source_ids"]
        expert = store.get(source)
        assert expert.manifest.strategy == "reuse"
        from roamrl.envs.task import Task
        from roamrl.platform.evaluation.evaluate import evaluate_bundles
        from roamrl.platform.study.tasks import study_splits

        (task,) = [n.task for split in study_splits(study).values() for n in split if n.task.id == row["task_id"]]
        assert isinstance(task, Task)
        played = evaluate_bundles([expert.bundle()], [task], episodes=6, seed=study.evaluation.seed)
        assert row["return_mean"] == pytest.approx(played.returns.mean(), abs=1e-6)


def test_experts_know_their_parents_and_steps(run: tuple[Path, Study]) -> None:
    folder, _ = run
    table = read_results(folder)
    store = ExpertStore.open(folder.parent / "store")
    last = rows(table, arm="joint", stage="adapt", tuning="fixed", episodes=4)
    for row in last:
        expert = store.get(str(row["expert_id"]))
        assert list(expert.manifest.parents) == row["source_ids"]
        assert expert.manifest.env_steps == row["env_steps"] == 40
        assert row["pretrain_env_steps"] == 640


def test_curves_count_the_target_episodes(run: tuple[Path, Study]) -> None:
    curves = read_curves(run[0])
    for arm in ("scratch", "reuse", "joint"):
        found = rows(curves, arm=arm, seed=0, task_name="c")
        assert [row["episodes"] for row in found] == [1, 3, 4]
        assert [row["env_steps"] for row in found] == [10, 30, 40]


def test_running_again_does_nothing_anew(run: tuple[Path, Study]) -> None:
    folder, study = run
    before = (folder / "manifest.jsonl").read_bytes()
    summary = run_study(study, out=folder, store=str(folder.parent / "store"))
    assert summary.failed == 0
    assert (folder / "manifest.jsonl").read_bytes() == before


def test_a_store_that_is_something_else_is_refused_before_anything_runs(tiny: Study, tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"notes\.txt"):
        run_study(tiny, out=tmp_path / "run", store=str(tmp_path / "store"))


@pytest.mark.slow
def test_killed_anywhere_and_started_again_it_ends_with_the_same_table(run: tuple[Path, Study], tmp_path: Path) -> None:
    folder, study = run
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study.model_dump(mode="json")))
    command = [sys.executable, "-m", "roamrl.platform", "run", str(tmp_path / "study.yaml")]
    command += ["--out", str(tmp_path / "run"), "--store", str(tmp_path / "store")]
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    rng = np.random.default_rng(5)
    for _ in range(3):
        process = subprocess.Popen(command, env=environment, start_new_session=True)
        time.sleep(float(rng.uniform(8, 25)))
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    subprocess.run(command, env=environment, check=True, timeout=400)
    undisturbed = read_results(folder).drop_columns(TIMES).to_pandas()
    pd.testing.assert_frame_equal(read_results(tmp_path / "run").drop_columns(TIMES).to_pandas(), undisturbed)
