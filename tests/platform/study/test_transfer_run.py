"""Every strategy of policy transfer through a whole study: pretraining, store, val, targets, report."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from roamrl.platform.evaluation.evaluate import evaluate_bundles
from roamrl.platform.store.store import ExpertStore
from roamrl.platform.study.load import check_study
from roamrl.platform.study.run import read_curves, read_results, run_study
from roamrl.platform.study.schema import Study
from roamrl.platform.study.tasks import study_splits

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]

SCHEDULE = {"guided_steps": 20, "distill_steps": 30}
ARMS = {
    "guided": {"strategy": "guided", "sources": "sources", "settings": {"guided_steps": 20}},
    "distill": {
        "strategy": "distill",
        "sources": "sources",
        "choose": "all",
        "settings": {"mode": "pretraining", "distill_steps": 20},
        "module": {"hidden": [4]},
    },
    "hybrid": {
        "strategy": "hybrid",
        "sources": "sources",
        "choose": "nearest",
        "variants": [SCHEDULE, {**SCHEDULE, "starts_from": "random"}],
    },
    "dqn": {"strategy": "dqn", "lr": [0.01]},
    "max_q": {"strategy": "max_q", "sources": "sources", "choose": "all"},
    "gpi": {"strategy": "gpi", "sources": "sources", "choose": "all"},
}


@pytest.fixture(scope="module")
def run(local_ray: object, tiny: Study, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Study]:
    dqn = {"learning_starts": 10, "batch_rows": 16, "epsilon_steps": 200}
    raw = tiny.model_dump(mode="json")
    raw["adapt"]["tune"]["lr"] = [0.01]
    raw["execution"]["members_per_trial"] = 64
    study = check_study(
        {**raw, "arms": ARMS, "dqn": dqn, "adapt": {**raw["adapt"], "dqn": {**dqn, "epsilon_steps": 20}}}, "transfer"
    )
    place = tmp_path_factory.mktemp("transfer")
    summary = run_study(study, out=place / "run", store=str(place / "store"))
    assert summary.failed == 0
    return summary.folder, study


def adapted(folder: Path, arm: str, **where: object) -> list[dict[str, object]]:
    found = read_results(folder).to_pylist()
    wanted = {"arm": arm, "stage": "adapt", "tuning": "fixed", **where}
    return [row for row in found if all(row[key] == value for key, value in wanted.items())]


@pytest.mark.parametrize("arm", list(ARMS))
def test_every_arm_meets_every_target(run: tuple[Path, Study], arm: str) -> None:
    folder, study = run
    rows = adapted(folder, arm)
    assert {(row["task_name"], row["seed"], row["episodes"]) for row in rows} == {
        (task, seed, n) for task in "cd" for seed in (0, 1) for n in study.adapt.episodes
    }
    assert all(np.isfinite(row["score"]) for row in rows)
    sources = {"dqn": 0, "distill": 2, "max_q": 2, "gpi": 2}.get(arm, 1)
    assert {len(row["source_ids"]) for row in rows} == {sources}


@pytest.mark.parametrize("arm", ["hybrid", "max_q", "gpi"])
def test_what_meets_the_target_is_in_the_store_and_plays_as_reported(run: tuple[Path, Study], arm: str) -> None:
    folder, study = run
    store = ExpertStore.open(folder.parent / "store")
    tasks = {named.task.id: named.task for split in study_splits(study).values() for named in split}
    for row in adapted(folder, arm, episodes=4):
        expert = store.get(str(row["expert_id"]))
        assert expert.manifest.algorithm == ("ppo" if arm == "hybrid" else "dqn")
        assert list(expert.manifest.parents) == row["source_ids"]
        task = tasks[str(row["task_id"])]
        played = evaluate_bundles([expert.bundle()], [task], episodes=6, seed=study.evaluation.seed)
        assert row["return_mean"] == pytest.approx(played.returns.mean(), abs=1e-6)


def test_a_students_network_is_its_own_size(run: tuple[Path, Study]) -> None:
    folder, _ = run
    store = ExpertStore.open(folder.parent / "store")
    (row, *_) = adapted(folder, "distill", episodes=4)
    student = store.get(str(row["expert_id"])).bundle()
    teacher = store.get(row["source_ids"][0]).bundle()
    assert student.arrays["actor.0.weight"].shape[1] == 4
    assert teacher.arrays["actor.0.weight"].shape[1] == 8


def test_settings_chosen_on_val_are_recorded_and_used(run: tuple[Path, Study]) -> None:
    folder, study = run
    chosen = json.loads((folder / "tuning.json").read_text())["hybrid"]
    assert len(chosen["val"]) == 2 * len(study.adapt.tune.lr)
    store = ExpertStore.open(folder.parent / "store")
    for row in adapted(folder, "hybrid", episodes=4):
        manifest = store.get(str(row["expert_id"])).manifest
        settings = chosen["fixed"]["settings"]
        assert manifest.strategy_config["starts_from"] == settings.get("starts_from", "expert")
        assert manifest.algorithm_config["lr"] == chosen["fixed"]["lr"]


def test_training_curves_hold_the_guided_episodes(run: tuple[Path, Study]) -> None:
    curves = read_curves(run[0]).to_pandas()
    assert set(curves.arm) == set(ARMS)
    assert np.isfinite(curves.return_mean).all()
