"""Every multi-task strategy through a whole study: pretraining, one policy of several, store, targets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from roamrl.algorithms.rllib.learner_folder import LEARNER_FILE, read_learner
from roamrl.algorithms.rllib.outcome import read_curve
from roamrl.platform.evaluation.evaluate import evaluate_bundles
from roamrl.platform.report.arms import target_views
from roamrl.platform.report.cost import cost_rows
from roamrl.platform.report.run_data import read_run
from roamrl.platform.store.store import ExpertStore
from roamrl.platform.study.load import check_study
from roamrl.platform.study.run import read_results, run_study
from roamrl.platform.study.schema import Study
from roamrl.platform.study.tasks import study_splits

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]

ARMS = {
    "joint-context": {"strategy": "joint", "sources": "sources", "settings": {"condition": "context"}},
    "joint-one-hot": {"strategy": "joint", "sources": "sources", "settings": {"condition": "one-hot"}},
    "joint-code": {
        "strategy": "joint",
        "sources": "sources",
        "settings": {"condition": "embedding", "width": 2, "learned": "code"},
    },
    "multihead": {"strategy": "multihead", "sources": "sources"},
    "popart": {"strategy": "popart", "sources": "sources"},
    "pcgrad": {"strategy": "pcgrad", "sources": "sources"},
    "distill-multi": {"strategy": "distill-multi", "sources": "sources"},
}


@pytest.fixture(scope="module")
def run(local_ray: object, tiny: Study, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Study]:
    raw = tiny.model_dump(mode="json")
    raw["adapt"]["tune"]["lr"] = [0.01]
    raw["execution"]["members_per_trial"] = 64
    study = check_study({**raw, "arms": ARMS}, "multitask")
    place = tmp_path_factory.mktemp("multitask")
    summary = run_study(study, out=place / "run", store=str(place / "store"))
    assert summary.failed == 0
    return summary.folder, study


def adapted(folder: Path, arm: str, **where: object) -> list[dict[str, object]]:
    found = read_results(folder).to_pylist()
    wanted = {"arm": arm, "stage": "adapt", "tuning": "fixed", **where}
    return [row for row in found if all(row[key] == value for key, value in wanted.items())]


@pytest.mark.parametrize("arm", list(ARMS))
def test_every_arm_meets_every_target_from_one_policy(run: tuple[Path, Study], arm: str) -> None:
    folder, study = run
    rows = adapted(folder, arm)
    assert {(row["task_name"], row["seed"], row["episodes"]) for row in rows} == {
        (task, seed, n) for task in "cd" for seed in (0, 1) for n in study.adapt.episodes
    }
    assert all(np.isfinite(row["score"]) for row in rows)
    assert {len(row["source_ids"]) for row in rows} == {1}


@pytest.mark.parametrize("arm", ["joint-context", "joint-code", "multihead"])
def test_what_meets_the_target_is_in_the_store_and_plays_as_reported(run: tuple[Path, Study], arm: str) -> None:
    folder, study = run
    store = ExpertStore.open(folder.parent / "store")
    tasks = {named.task.id: named.task for split in study_splits(study).values() for named in split}
    for row in adapted(folder, arm, episodes=4):
        bundle = store.get(str(row["expert_id"])).bundle()
        assert (bundle.spec.kind, bundle.spec.extras.task) == {
            "joint-context": ("mlp", "context"),
            "joint-code": ("conditioned", "number"),
            "multihead": ("mlp", "none"),
        }[arm]
        played = evaluate_bundles([bundle], [tasks[str(row["task_id"])]], episodes=6, seed=study.evaluation.seed)
        assert row["return_mean"] == pytest.approx(played.returns.mean(), abs=1e-6)


def test_a_student_has_all_specialists_for_parents(run: tuple[Path, Study]) -> None:
    folder, study = run
    store = ExpertStore.open(folder.parent / "store")
    (student_id,) = {source for row in adapted(folder, "distill-multi", seed=0) for source in row["source_ids"]}
    student = store.get(student_id).manifest
    sources = {named.task.id for named in study_splits(study)["sources"]}
    specialists = [store.get(parent).manifest for parent in student.parents]
    assert len(specialists) == len(student.tasks) == len(sources)
    assert all(len(specialist.tasks) == 1 for specialist in specialists)
    assert [specialist.tasks[0] for specialist in specialists] == list(student.tasks)


def test_trials_did_with_tasks_what_their_strategies_say(run: tuple[Path, Study]) -> None:
    folder, _ = run
    places = [place for place in sorted((folder / "units").iterdir()) if (place / LEARNER_FILE).exists()]
    learners = {place: read_learner(place) for place in places}
    projecting = [place for place, learner in learners.items() if learner.task_gradients == "project"]
    assert projecting and all("gradient_conflict" in read_curve(place).losses for place in projecting)
    members = [member for learner in learners.values() for member in learner.members]
    assert any(member.teaching is not None and member.teaching.by_task for member in members)
    assert any(member.learned == "code" for member in members)


def test_a_students_cost_is_its_own_and_its_specialists(run: tuple[Path, Study]) -> None:
    folder, study = run
    one = study.pretrain.steps
    assert {row["pretrain_env_steps"] for row in adapted(folder, "joint-one-hot")} == {one}
    assert {row["pretrain_env_steps"] for row in adapted(folder, "distill-multi")} == {3 * one}
    data = read_run(folder)
    costs = {row.arm: row for row in cost_rows(data, [view for view in target_views(data) if view.tuning == "fixed"])}
    assert costs["distill-multi"].pretrain_steps == 3 * one and costs["distill-multi"].experts == 1
    spent = {row.expert_id: row.cpu_s for row in data.rows if row.stage == "pretrain" and row.expert_id}
    (student,) = {source for row in adapted(folder, "distill-multi") for source in row["source_ids"]}
    assert costs["distill-multi"].pretrain_cpu_s > spent[student]
