"""A whole small study with the tuned classical arm and a generalisation gap: rows, records, report, resuming."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from roamrl.algorithms.rllib.outcome import read_snapshot
from roamrl.envs.family import get_family
from roamrl.platform.evaluation.evaluate import evaluate_bundles
from roamrl.platform.study.folder import RunFolder
from roamrl.platform.study.gap import study_gap
from roamrl.platform.study.load import check_study
from roamrl.platform.study.plan import plan_study
from roamrl.platform.study.run import read_results, run_study
from roamrl.platform.study.schema import Study
from roamrl.platform.study.tasks import study_splits

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]

POINTS = (0, 2, 12)


@pytest.fixture(scope="module")
def study(tiny: Study) -> Study:
    raw = tiny.model_dump(mode="json")
    raw["name"] = "comparing"
    raw["arms"] = {name: raw["arms"][name] for name in ("scratch", "reuse", "joint")}
    raw["adapt"] |= {"episodes": list(POINTS), "per_iteration": 10}
    raw["adapt"]["tune"] |= {"lr": [0.01], "up_to": 2}
    raw["tuned_classical"] = {"up_to": 12}
    raw["execution"]["members_per_trial"] = 64
    raw["gap"] = {"arms": ["joint"], "contexts": [1, 2, "unlimited"], "seeds": 2, "pool": 6}
    return check_study(raw, "comparing")


@pytest.fixture(scope="module")
def run(local_ray: object, study: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("comparing")
    summary = run_study(study, out=place / "run", store=str(place / "store"))
    assert json.loads((summary.folder / "failures.json").read_text()) == []
    return summary.folder


@pytest.fixture(scope="module")
def rows(run: Path) -> list[dict[str, Any]]:
    return list(read_results(run).to_pylist())


def only(rows: list[dict[str, Any]], **where: object) -> list[dict[str, Any]]:
    return [row for row in rows if all(row[key] == value for key, value in where.items())]


def tasks(study: Study) -> dict[str, Any]:
    return {named.task.id: named.task for split in study_splits(study).values() for named in split}


def test_the_tuned_classical_arm_meets_every_target_seed_and_point(rows: list[dict[str, Any]]) -> None:
    found = only(rows, arm="classical-tuned")
    keys = {(row["task_name"], row["seed"], row["episodes"]) for row in found}
    assert keys == {(task, seed, n) for task in "cd" for seed in (0, 1) for n in POINTS}
    assert len(found) == len(keys)
    classical = {row["task_id"]: row["score"] for row in only(rows, stage="reference", arm="classical")}
    for row in only(found, episodes=0):
        assert row["score"] == pytest.approx(classical[row["task_id"]])
    for row in found:
        assert row["env_steps"] == 10 * row["episodes"]
        assert row["score"] == pytest.approx(
            (row["return_mean"] - row["return_trivial"]) / (row["return_oracle"] - row["return_trivial"])
        )


def test_what_was_found_is_worth_on_the_evaluation_streams_what_its_row_says(
    study: Study, rows: list[dict[str, Any]]
) -> None:
    from roamrl.platform.study.classical import classical_targets

    family, named = get_family(study.family), tasks(study)
    (target,) = [
        each
        for each in classical_targets(study, [n for s in study.targets for n in study_splits(study)[s]])
        if each.named.name == "d"
    ]
    (search,) = [each for each in target.searches if (each.repetition, each.point) == (1, 12)]
    (row,) = only(rows, arm="classical-tuned", task_name="d", seed=1, episodes=12)
    tuned = family.tuned_classical(named[row["task_id"]], 12, search.seed)
    assert tuned is not None and tuned.episodes == 12
    played = tuned.reference.play(family, [named[row["task_id"]]], episodes=6, seed=study.evaluation.seed)
    assert row["return_mean"] == pytest.approx(played.returns.mean())


def test_every_gap_policy_is_scored_on_its_contexts_and_on_targets(
    run: Path, study: Study, rows: list[dict[str, Any]]
) -> None:
    policies = json.loads((run / "gap.json").read_text())["policies"]
    assert [(p["contexts"], p["unlimited"], p["seed"]) for p in policies] == [
        (n, n == 6, seed) for n in (1, 2, 6) for seed in (0, 1)
    ]
    found = only(rows, stage="gap")
    for policy in policies:
        own = [row for row in found if row["source_ids"] == [policy["key"]]]
        names = "ab"[: policy["contexts"]] + "cd"
        assert sorted(row["task_name"] for row in own) == list(names)
        assert {row["seed"] for row in own} == {policy["seed"]}
        assert {(row["pretrain_env_steps"], row["episodes"], row["eval_episodes"]) for row in own} == {(640, 0, 4)}
    assert len(found) == 2 * (3 + 4 + 4)


def test_a_gap_row_is_what_its_policy_gets(run: Path, study: Study, rows: list[dict[str, Any]]) -> None:
    splits = study_splits(study)
    gap = study_gap(study, splits, [named for split in study.targets for named in splits[split]])
    for policy in gap.policies:
        bundle = read_snapshot(RunFolder(run).unit(policy.unit.key), policy.unit.iterations[-1])[policy.member]
        (row,) = [row for row in only(rows, stage="gap", task_name="d") if row["source_ids"] == [policy.key]]
        played = evaluate_bundles([bundle], [tasks(study)[row["task_id"]]], episodes=4, seed=study.evaluation.seed)
        assert row["return_mean"] == pytest.approx(played.returns.mean(), abs=1e-6)


def test_what_an_arm_trains_anyway_is_trained_once(run: Path) -> None:
    trained = [entry for entry in RunFolder(run).finished().values() if entry["stage"] == "gap" and "windows" in entry]
    # Six policies, less joint on both contexts (one seed) and reuse's expert on the first (one seed).
    assert sum(entry["windows"] for entry in trained) == 4 * 640


def test_the_plan_is_what_was_run(run: Path, study: Study) -> None:
    finished = list(RunFolder(run).finished().values())
    planned = {row.stage: row for row in plan_study(study).rows() if row.stage in ("classical", "gap", "gap-score")}
    trained = [entry for entry in finished if entry["stage"] == "gap" and "windows" in entry]
    scored = [entry for entry in finished if entry["stage"] == "gap" and "split" in entry]
    assert planned["classical"].units == sum(entry["stage"] == "classical" for entry in finished) == 2
    assert (planned["gap"].units, planned["gap"].windows) == (len(trained), sum(e["windows"] for e in trained))
    assert planned["gap-score"].units == len(scored)


def test_the_report_shows_them(run: Path) -> None:
    text = (run / "report" / "index.html").read_text(encoding="utf-8")
    assert "Generalisation gap: joint" in text
    assert 'id="comparison"' in text
    assert "<tr><th>classical-tuned</th>" in text
    assert "Fine-tuned joint training (joint) against policy transfer" in text


def test_resuming_runs_nothing_anew_and_mends_what_is_missing(run: Path, study: Study) -> None:
    kept = ("results.parquet", "gap.json", "manifest.jsonl")
    before = {name: (run / name).read_bytes() for name in kept}
    table = read_results(run).to_pandas()
    assert run_study(study, out=run, store=str(run.parent / "store")).failed == 0
    assert {name: (run / name).read_bytes() for name in kept} == before
    lines = before["manifest.jsonl"].decode().splitlines()
    cut = [line for line in lines if '"stage": "classical"' not in line and '"split"' not in line]
    assert len(cut) < len(lines)
    (run / "manifest.jsonl").write_text("\n".join(cut) + "\n")
    (run / "gap.json").unlink()
    assert run_study(study, out=run, store=str(run.parent / "store")).failed == 0
    assert (run / "gap.json").read_bytes() == before["gap.json"]
    times = ["wall_s", "cpu_s", "peak_memory_mb"]
    pd.testing.assert_frame_equal(read_results(run).drop_columns(times).to_pandas(), table.drop(columns=times))
    assert np.isfinite(table[table.arm == "classical-tuned"].score).all()
