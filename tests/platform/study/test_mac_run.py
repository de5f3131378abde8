"""A whole small study of random access: sampled evaluation, episodes that are counted, a tuned p, policies of sets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from roamrl.algorithms.rllib.learner_folder import read_learner
from roamrl.algorithms.rllib.outcome import read_curve
from roamrl.envs.mac import MAC
from roamrl.platform.evaluation.evaluate import evaluate_bundles, evaluate_expert
from roamrl.platform.store.store import ExpertStore
from roamrl.platform.study.folder import RunFolder
from roamrl.platform.study.load import check_study
from roamrl.platform.study.plan import plan_study
from roamrl.platform.study.run import read_results, run_study
from roamrl.platform.study.schema import Study
from roamrl.platform.study.tasks import study_splits

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]

SLOTS = 400
POINTS = (0, 2, 10)
STUDY: dict[str, Any] = {
    "name": "access",
    "family": "mac-v1",
    "config": {"n_max": 8, "history": 2, "episode_slots": SLOTS},
    "splits": {
        "sources": {"tasks": [{"name": f"s{n}", "context": {"stations": n, "arrival": "saturated"}} for n in (2, 8)]},
        "targets": {"tasks": [{"name": f"t{n}", "context": {"stations": n, "arrival": "saturated"}} for n in (3, 7)]},
        "val": {"tasks": [{"name": "v4", "context": {"stations": 4, "load": 1.0}}]},
    },
    "targets": ["targets"],
    "val": "val",
    "arms": {
        "scratch": {"strategy": "scratch"},
        "reuse": {"strategy": "reuse", "sources": "sources"},
        "joint": {"strategy": "joint", "sources": "sources"},
    },
    "module": {"kind": "entity", "model": {"hidden": [8], "interaction": "deepsets"}},
    "pretrain": {"steps": 512, "seeds": 1, "envs_per_member": 8, "length": 16},
    "adapt": {"episodes": list(POINTS), "per_iteration": 4, "seeds": 2, "tune": {"lr": [0.003], "up_to": 2}},
    "evaluation": {"episodes": 4, "final_episodes": 6},
    "tuned_classical": {"up_to": 10},
    "execution": {"checkpoint_every": 1, "iterations_per_report": 1, "members_per_trial": 64},
}


@pytest.fixture(scope="module")
def study() -> Study:
    return check_study(STUDY, "access")


@pytest.fixture(scope="module")
def run(local_ray: object, study: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("access")
    summary = run_study(study, out=place / "run", store=str(place / "store"))
    assert summary.failed == 0
    return summary.folder


@pytest.fixture(scope="module")
def rows(run: Path) -> list[dict[str, Any]]:
    return list(read_results(run).to_pylist())


def only(rows: list[dict[str, Any]], **where: object) -> list[dict[str, Any]]:
    return [row for row in rows if all(row[key] == value for key, value in where.items())]


def test_every_arm_meets_every_target_at_every_point(rows: list[dict[str, Any]]) -> None:
    for arm in ("scratch", "reuse", "joint", "classical-tuned"):
        found = [row for row in only(rows, arm=arm, stage="adapt") if row["tuning"] in ("fixed", "none")]
        keys = {(row["task_name"], row["seed"], row["episodes"]) for row in found}
        assert keys == {(task, seed, n) for task in ("t3", "t7") for seed in (0, 1) for n in POINTS}
        assert len(found) == len(keys) and all(np.isfinite(row["score"]) for row in found)


def test_policies_are_scored_as_they_sample(run: Path, study: Study, rows: list[dict[str, Any]]) -> None:
    store = ExpertStore.open(run.parent / "store")
    tasks = {named.task.id: named.task for split in study_splits(study).values() for named in split}
    for row in only(rows, arm="joint", stage="adapt", tuning="fixed", episodes=POINTS[-1], seed=0):
        expert, task = store.get(str(row["expert_id"])), tasks[row["task_id"]]
        asked = {"episodes": 6, "seed": study.evaluation.seed}
        drawn, likely = (
            evaluate_bundles([expert.bundle()], [task], **asked, greedy=greedy).returns for greedy in (False, True)
        )
        assert abs(drawn.mean() - likely.mean()) > 1.0
        (score,) = evaluate_expert(expert, [task], ["own"], **asked, cache=run / "cache")
        assert score.return_mean == pytest.approx(drawn.mean())
    greedy = check_study({**STUDY, "evaluation": {**STUDY["evaluation"], "greedy": False}}, "access")
    assert study.evaluation.greedy is False and greedy.hash == study.hash


def test_no_more_target_episodes_are_played_than_a_point_says(run: Path, rows: list[dict[str, Any]]) -> None:
    folder = RunFolder(run)
    units = [key for key, entry in folder.finished().items() if entry["stage"] == "adapt"]
    assert len(units) == 3
    for key in units:
        learner, curve = read_learner(folder.unit(key)), read_curve(folder.unit(key))
        assert learner.phases[0].length == MAC.typical_episode_steps(MAC.config(STUDY["config"])) == SLOTS // 2
        planned = np.cumsum([p.envs_per_member for p in learner.phases for _ in range(p.iterations)])
        assert planned[-1] == POINTS[-1]
        assert (curve.episodes <= planned).all() and curve.episodes[-1] > POINTS[-1] // 2
    for row in only(rows, stage="adapt"):
        assert row["env_steps"] in (row["episodes"] * SLOTS // 2, row["episodes"] * SLOTS)


def test_the_plan_knows_how_long_episodes_are(study: Study, run: Path) -> None:
    finished = [entry for entry in RunFolder(run).finished().values() if entry["stage"] == "adapt"]
    planned = [row for row in plan_study(study).rows() if row.stage == "adapt"]
    assert sum(row.windows for row in planned) == sum(entry["windows"] for entry in finished)
    assert sum(row.windows for row in planned) == 3 * 4 * POINTS[-1] * SLOTS // 2


def test_an_expert_of_few_stations_is_scored_where_there_are_many(run: Path, rows: list[dict[str, Any]]) -> None:
    store = ExpertStore.open(run.parent / "store")
    expert = store.get(str(only(rows, arm="joint", stage="adapt", tuning="fixed", episodes=0)[0]["source_ids"][0]))
    config = {**STUDY["config"], "n_max": 40}
    tasks = [MAC.task({"stations": n, "arrival": "saturated"}, config) for n in (3, 40)]
    many, most = evaluate_expert(expert, tasks, ["3", "40"], episodes=4, seed=5, greedy=True, cache=run / "cache")
    narrow = MAC.task({"stations": 3, "arrival": "saturated"}, STUDY["config"])
    (few,) = evaluate_expert(expert, [narrow], ["3"], episodes=4, seed=5, greedy=True, cache=run / "cache")
    assert few.return_mean == many.return_mean
    assert np.isfinite(most.score)
