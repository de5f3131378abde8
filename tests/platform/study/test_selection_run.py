"""A whole study in which every selector chooses: what it writes down and counts, and that resuming changes nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from roamrl.platform.store.store import ExpertStore
from roamrl.platform.study.folder import RunFolder
from roamrl.platform.study.load import check_study
from roamrl.platform.study.plan import plan_study
from roamrl.platform.study.run import read_curves, read_results, run_study
from roamrl.platform.study.schema import Study

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]

SELECTORS = ("random", "nearest", "best-on-val", "probe", "predicted")
EPISODE, PROBES = 10, 2
"""Windows an episode, and target episodes that probing two sources for one episode each takes."""


@pytest.fixture(scope="module")
def study(tiny: Study) -> Study:
    raw = tiny.model_dump(mode="json")
    raw["name"] = "choosing"
    raw["splits"]["val"]["tasks"] = [
        {"name": f"v{number}", "context": {"load": load}} for number, load in enumerate((1.0, 1.25, 1.4))
    ]
    chosen = {
        f"reuse-{how}": {"strategy": "reuse", "sources": "sources", "choose": how, "probe_episodes": 1}
        for how in SELECTORS
    }
    raw["arms"] = {"scratch": {"strategy": "scratch"}, **chosen}
    raw["adapt"]["tune"]["lr"] = [0.01]
    raw["execution"]["members_per_trial"] = 64
    return check_study(raw, "choosing")


@pytest.fixture(scope="module")
def run(local_ray: object, study: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("choosing")
    summary = run_study(study, out=place / "run", store=str(place / "store"))
    assert summary.failed == 0
    return summary.folder


@pytest.fixture(scope="module")
def record(run: Path) -> dict[str, Any]:
    return dict(json.loads((run / "selection.json").read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def rows(run: Path) -> list[dict[str, Any]]:
    return list(read_results(run).to_pylist())


def only(rows: list[dict[str, Any]], **where: object) -> list[dict[str, Any]]:
    return [row for row in rows if all(row[key] == value for key, value in where.items())]


def test_every_source_is_scored_on_every_target_as_it_is(rows: list[dict[str, Any]], record: dict[str, Any]) -> None:
    (pool,) = record["pools"]
    assert pool["arms"] == [f"reuse-{how}" for how in SELECTORS]
    assert [source["name"] for source in pool["sources"]] == ["a", "b"]
    found = only(rows, stage="zero-shot")
    experts = {source["expert"] for source in pool["sources"]}
    assert {(row["source_ids"][0], row["task_name"]) for row in found} == {(e, t) for e in experts for t in "cd"}
    assert len(found) == 4
    assert {(row["episodes"], row["env_steps"], row["eval_episodes"]) for row in found} == {(0, 0, 6)}


def test_every_arm_starts_from_what_it_chose_and_is_worth_what_that_is_worth(
    rows: list[dict[str, Any]], record: dict[str, Any]
) -> None:
    worth = {(row["source_ids"][0], row["task_id"]): row["score"] for row in only(rows, stage="zero-shot")}
    for choice in (choice for choice in record["choices"] if choice["stage"] == "adapt"):
        where = {"arm": choice["arm"], "task_id": choice["task_id"], "seed": choice["seed"], "tuning": "fixed"}
        mine = only(rows, stage="adapt", **where)
        assert {tuple(row["source_ids"]) for row in mine} == {(choice["expert"],)}
        first = min((row for row in mine if row["episodes"] >= choice["target_episodes"]), key=lambda r: r["episodes"])
        if first["episodes"] == choice["target_episodes"]:
            assert first["score"] == pytest.approx(worth[choice["expert"], choice["task_id"]], abs=1e-6)
    assert {c["choose"] for c in record["choices"]} == set(SELECTORS)
    assert {(c["arm"], c["task"], c["seed"]) for c in record["choices"] if c["stage"] == "tune"} == {
        (f"reuse-{how}", f"v{number}", 0) for how in SELECTORS for number in range(3)
    }


def test_what_was_chosen_is_the_highest_of_what_is_written_down(record: dict[str, Any]) -> None:
    for choice in record["choices"]:
        if choice["values"] is not None:
            assert np.isclose(choice["values"][choice["expert"]], max(choice["values"].values()))


def test_probes_are_counted_as_target_episodes_and_the_curve_is_not_free(
    run: Path, rows: list[dict[str, Any]], record: dict[str, Any]
) -> None:
    probes = only(rows, stage="probe")
    assert {(row["episodes"], row["env_steps"]) for row in probes} == {(1, EPISODE)}
    assert len(probes) == 2 * (3 * 1 + 2 * 2)  # sources x (val x tuning seeds + targets x seeds)
    worth: dict[str, list[float]] = {}
    for row in only(rows, stage="zero-shot"):
        worth.setdefault(row["task_id"], []).append(row["score"])
    for row in only(rows, arm="reuse-probe", stage="adapt", tuning="fixed"):
        assert row["env_steps"] == row["episodes"] * EPISODE
        if row["episodes"] < PROBES:
            assert row["score"] == pytest.approx(np.mean(worth[row["task_id"]]))
    assert {row["episodes"] for row in only(rows, arm="reuse-probe", stage="adapt", tuning="fixed")} == {0, 1, 4}
    played = {row["seed"]: [] for row in probes}
    target = next(row["task_id"] for row in probes if row["task_name"] == "c")
    for row in only(probes, task_id=target):
        played[row["seed"]].append(row["return_mean"])
    curves = only(read_curves(run).to_pylist(), arm="reuse-probe", task_id=target)
    for seed in (0, 1):
        own = only(curves, seed=seed)
        assert [row["episodes"] for row in own] == [PROBES, 4]
        assert own[0]["return_mean"] == pytest.approx(np.mean(played[seed]))
        assert [row["env_steps"] for row in own] == [PROBES * EPISODE, 4 * EPISODE]


def test_a_learner_that_probed_has_made_fewer_steps_of_its_own(run: Path, rows: list[dict[str, Any]]) -> None:
    store = ExpertStore.open(run.parent / "store")
    last = only(rows, arm="reuse-probe", stage="adapt", tuning="fixed", episodes=4)
    assert {store.get(row["expert_id"]).manifest.env_steps for row in last} == {(4 - PROBES) * EPISODE}


def test_the_report_compares_the_selectors(run: Path, record: dict[str, Any]) -> None:
    text = (run / "report" / "index.html").read_text(encoding="utf-8")
    assert 'id="sources"' in text
    for how in SELECTORS:
        assert f"<tr><th>{how}</th>" in text
    assert (run / "report" / "transfer-matrix.png").is_file()
    assert record["pools"][0]["validation"]["tasks"] == ["v0", "v1", "v2"]


def test_the_plan_is_what_was_run(run: Path, study: Study) -> None:
    finished = RunFolder(run).finished()
    for stage in ("zero-shot", "probe"):
        planned = sum(row.units for row in plan_study(study).rows() if row.stage == stage)
        assert sum(entry["stage"] == stage for entry in finished.values()) == planned > 0


def test_resuming_makes_the_same_choices_from_the_parts_and_plays_nothing_anew(run: Path, study: Study) -> None:
    before = {name: (run / name).read_bytes() for name in ("selection.json", "manifest.jsonl", "results.parquet")}
    (run / "selection.json").unlink()
    summary = run_study(study, out=run, store=str(run.parent / "store"))
    assert summary.failed == 0
    assert {name: (run / name).read_bytes() for name in before} == before
