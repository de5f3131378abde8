"""Every meta-learning strategy through a whole study: by gradient steps, and by memory alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from roamrl.algorithms.meta_learning import InnerRule, MAMLSettings, ReptileSettings
from roamrl.algorithms.rllib.learner_folder import LEARNER_FILE, read_learner
from roamrl.platform.evaluation.in_context import evaluate_in_context
from roamrl.platform.store.store import ExpertStore
from roamrl.platform.study.in_context import in_context_trials
from roamrl.platform.study.load import check_study
from roamrl.platform.study.plan import plan_study
from roamrl.platform.study.run import read_results, run_study
from roamrl.platform.study.schema import Study
from roamrl.platform.study.tasks import study_splits
from roamrl.platform.study.units import policies_of, pretrain_units

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(900)]

ARMS = {
    "maml": {"strategy": "maml", "sources": "sources", "settings": {"tasks": 2}},
    "fomaml": {"strategy": "fomaml", "sources": "sources", "settings": {"tasks": 2, "adapt_by": "finetune"}},
    "reptile": {"strategy": "reptile", "sources": "sources", "settings": {"tasks": 2, "inner_steps": 1}},
    "rl2": {"strategy": "rl2", "sources": "sources", "settings": {"trial_episodes": 2, "memory": 4}},
    "pearl": {"strategy": "pearl", "sources": "sources", "settings": {"trial_episodes": 2, "latent": 2}},
}
IN_CONTEXT = ("rl2", "pearl")


@pytest.fixture(scope="module")
def run(local_ray: object, tiny: Study, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Study]:
    raw = tiny.model_dump(mode="json")
    raw["adapt"]["tune"]["lr"] = [0.01]
    raw["execution"]["members_per_trial"] = 64
    raw["pretrain"]["length"] = 10  # meta-learning plays whole episodes
    study = check_study({**raw, "arms": ARMS}, "meta")
    place = tmp_path_factory.mktemp("meta")
    summary = run_study(study, out=place / "run", store=str(place / "store"))
    assert summary.failed == 0
    return summary.folder, study


def adapted(folder: Path, arm: str) -> list[dict[str, object]]:
    found = read_results(folder).to_pylist()
    return [
        row for row in found if row["arm"] == arm and row["stage"] == "adapt" and row["tuning"] in ("fixed", "none")
    ]


@pytest.mark.parametrize("arm", list(ARMS))
def test_every_arm_meets_every_target(run: tuple[Path, Study], arm: str) -> None:
    folder, study = run
    rows = adapted(folder, arm)
    assert {(row["task_name"], row["seed"], row["episodes"]) for row in rows} == {
        (task, seed, n) for task in "cd" for seed in (0, 1) for n in study.adapt.episodes
    }
    assert len(rows) == 2 * 2 * len(study.adapt.episodes)
    assert all(np.isfinite(row["score"]) and row["pretrain_env_steps"] > 0 for row in rows)
    assert {row["env_steps"] for row in rows} == {10 * n for n in study.adapt.episodes}


@pytest.mark.parametrize("arm", IN_CONTEXT)
def test_memory_plays_as_reported(run: tuple[Path, Study], arm: str) -> None:
    folder, study = run
    store = ExpertStore.open(folder.parent / "store")
    targets = [named for split in study.targets for named in study_splits(study)[split]]
    rows = [row for row in adapted(folder, arm) if row["seed"] == 1]
    (expert,) = {str(row["expert_id"]) for row in rows}
    bundle = store.get(expert).bundle()
    tasks = [named.task for named in targets]
    again = evaluate_in_context(
        [bundle] * 2, tasks, study.adapt.episodes, episodes=4, seed=study.evaluation.seed, warm_up=_warm_up(study, arm)
    )
    for row in rows:
        place = [named.name for named in targets].index(str(row["task_name"]))
        scored = again.scored[study.adapt.episodes.index(int(str(row["episodes"])))]
        assert row["return_mean"] == pytest.approx(scored.returns[place].mean(), abs=1e-6)
    assert all(np.isnan(row["violation_adapting"]) == (row["episodes"] == 0) for row in rows)


def _warm_up(study: Study, arm: str) -> int:
    """Return the warm-up seed of the second repetition."""
    splits = study_splits(study)
    targets = [named for split in study.targets for named in splits[split]]
    policies = {arm: policies_of(pretrain_units(study, arm, splits, targets))}
    return next(each.warm_up for each in in_context_trials(study, targets, policies) if each.repetition == 1)


def test_the_plan_counts_what_is_played_in_context(tiny: Study) -> None:
    raw = tiny.model_dump(mode="json")
    plan = plan_study(check_study({**raw, "arms": {"rl2": ARMS["rl2"]}}, "meta"))
    (row,) = [row for row in plan.rows() if row.stage == "in-context"]
    assert (row.arm, row.units, row.members, row.windows) == ("rl2", 2, 4, 0) and row.seconds > 0


def test_trials_learned_to_adapt_and_did_not_just_learn(run: tuple[Path, Study]) -> None:
    folder, _ = run
    learners = [
        read_learner(place) for place in sorted((folder / "units").iterdir()) if (place / LEARNER_FILE).exists()
    ]
    kinds = {type(learner.meta) for learner in learners}
    assert {MAMLSettings, ReptileSettings, InnerRule} <= kinds
    orders = {learner.meta.order for learner in learners if isinstance(learner.meta, MAMLSettings)}
    assert orders == {1, 2}
