"""Recurrent policies through a whole study: pretraining, adaptation, evaluation, store."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from roamrl.platform.evaluation.evaluate import evaluate_bundles, evaluate_expert
from roamrl.platform.store.errors import StoreError
from roamrl.platform.store.store import ExpertStore
from roamrl.platform.study.load import check_study
from roamrl.platform.study.run import read_results, run_study
from roamrl.platform.study.schema import Study
from roamrl.platform.study.tasks import study_splits

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def run(local_ray: object, tiny: Study, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Study]:
    raw = tiny.model_dump(mode="json")
    raw["module"] = {"kind": "gru", "model": {"hidden": [8], "memory": 8}}
    raw["arms"] = {arm: raw["arms"][arm] for arm in ("scratch", "joint")}
    raw["adapt"]["seeds"] = 1
    raw["adapt"]["tune"]["lr"] = [0.01]
    raw["execution"]["members_per_trial"] = 64
    study = check_study(raw, "memory")
    place = tmp_path_factory.mktemp("memory")
    summary = run_study(study, out=place / "run", store=str(place / "store"))
    assert summary.failed == 0
    return summary.folder, study


def test_every_arm_meets_every_target(run: tuple[Path, Study]) -> None:
    folder, study = run
    rows = [row for row in read_results(folder).to_pylist() if row["stage"] == "adapt" and row["tuning"] == "fixed"]
    met = {(row["arm"], row["task_name"], row["episodes"]) for row in rows if row["arm"] in study.arms}
    assert met >= {(a, t, n) for a in study.arms for t in "cd" for n in study.adapt.episodes}
    assert all(np.isfinite(row["score"]) for row in rows)


def test_what_is_in_the_store_plays_as_reported(run: tuple[Path, Study]) -> None:
    folder, study = run
    store = ExpertStore.open(folder.parent / "store")
    tasks = {named.task.id: named.task for split in study_splits(study).values() for named in split}
    rows = [row for row in read_results(folder).to_pylist() if row["arm"] == "joint" and row["episodes"] == 4]
    found = [row for row in rows if row["expert_id"]]
    assert found
    for row in found:
        expert = store.get(str(row["expert_id"]))
        assert expert.bundle().spec.kind == "gru"
        task = tasks[str(row["task_id"])]
        played = evaluate_bundles([expert.bundle()], [task], episodes=6, seed=study.evaluation.seed)
        assert row["return_mean"] == pytest.approx(played.returns.mean(), abs=1e-6)
        (score,) = evaluate_expert(expert, [task], ["own"], episodes=6, seed=study.evaluation.seed)
        assert score.return_mean == pytest.approx(row["return_mean"], abs=1e-6)


def test_an_expert_with_memory_is_not_asked_about_one_observation(run: tuple[Path, Study]) -> None:
    folder, _ = run
    store = ExpertStore.open(folder.parent / "store")
    row = next(row for row in read_results(folder).to_pylist() if row["arm"] == "joint" and row["expert_id"])
    expert = store.get(str(row["expert_id"]))
    shape = expert.bundle().spec.observation_space.shape
    with pytest.raises(StoreError, match="ask its session"):
        expert.act(np.zeros(shape or ()))
    session, told = expert.session(rows=3), np.zeros((1, 3, *(shape or ())), np.float32)
    assert session.act(told).shape[:2] == (1, 3)
