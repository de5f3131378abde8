"""Every strategy on every family: it trains, its policies are published, reloaded and adapt; or it is refused.

One tiny study a family holds an arm for each strategy that it supports, so that a family costs one run. A strategy of
another package, or a new one of ours, is met automatically: it runs, or stands in ``REFUSED`` with what its refusal
says.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from roamrl.algorithms.strategy import get_strategy, strategy_names
from roamrl.envs.errors import InputError
from roamrl.envs.task import Task
from roamrl.platform.evaluation.evaluate import evaluate_bundles
from roamrl.platform.evaluation.in_context import evaluate_in_context
from roamrl.platform.store.store import ExpertStore
from roamrl.platform.study.in_context import in_context_trials
from roamrl.platform.study.load import check_study
from roamrl.platform.study.plan import plan_study
from roamrl.platform.study.run import read_results, run_study
from roamrl.platform.study.schema import Study
from roamrl.platform.study.tasks import study_splits
from roamrl.platform.study.units import policies_of, pretrain_units

Run = tuple[Path, Study]

POINTS = (0, 2)
EPISODES = 4

STRATEGIES = strategy_names()

FAMILIES: dict[str, dict[str, Any]] = {
    "slicing-v1": {
        "config": {"episode_windows": 10},
        "module": {"model": {"hidden": [8]}},
        "contexts": {"a": {"load": 1.1}, "b": {"load": 1.2}, "val": {"load": 1.25}, "target": {"load": 1.15}},
        "episode": 10,
    },
    "urllc-v1": {
        "config": {"episode_slots": 20},
        "module": {"model": {"hidden": [8]}},
        "contexts": {
            name: {"arrivals": {"kind": "poisson", "mean": mean}}
            for name, mean in (("a", 0.6), ("b", 0.9), ("val", 0.7), ("target", 0.8))
        },
        "episode": 20,
    },
    "mac-v1": {
        "config": {"n_max": 4, "history": 2, "episode_slots": 60},
        "module": {"kind": "entity", "model": {"hidden": [8]}},
        "contexts": {
            name: {"stations": stations, "arrival": "saturated", "packet_slots": length}
            for name, stations, length in (("a", 2, 10), ("b", 4, 10), ("val", 3, 10), ("target", 2, 5))
        },
        "episode": 60,
    },
}

SMALL: dict[str, dict[str, Any]] = {
    "maml": {"settings": {"tasks": 2}},
    "fomaml": {"settings": {"tasks": 2}},
    "reptile": {"settings": {"tasks": 2, "inner_steps": 1}},
    "rl2": {"settings": {"trial_episodes": 2, "memory": 4}},
    "pearl": {"settings": {"trial_episodes": 2, "latent": 2, "encoder": [4]}},
    "max_q": {"choose": "all"},
    "gpi": {"choose": "all"},
}
"""What an arm says so that two source tasks and a few episodes are enough for it."""

FLAT = r"observations of shape \[4, 12\]: it builds on a module of kind .* on flat observations; take another strategy"
COUNTED = r"actions are binary, MultiBinary\(4\), and strategy .* needs discrete ones; .* or take another strategy"
REFUSED = {
    ("gpi", "urllc-v1"): r"needs a reward that weighs parts, and this family has none; use 'max_q'",
    **{(name, "mac-v1"): COUNTED for name in ("dqn", "max_q", "gpi")},
    **{(name, "mac-v1"): FLAT for name in ("multihead", "popart", "rl2", "pearl")},
}

PAIRS = [(strategy, family) for family in FAMILIES for strategy in STRATEGIES if (strategy, family) not in REFUSED]

EXECUTION = {
    "members_per_trial": 64,
    "checkpoint_every": 100,
    "iterations_per_report": 100,
}


def study_of(family: str, strategies: list[str], **other: Any) -> Study:
    own = FAMILIES[family]

    def tasks(*names: str) -> dict[str, Any]:
        return {"tasks": [{"name": name, "context": own["contexts"][name]} for name in names]}

    learning = {"learning_starts": own["episode"], "batch_rows": 8, "buffer_rows": 500, "replay_ratio": 1.0}
    raw = {
        "name": "pairs",
        "family": family,
        "config": own["config"],
        "splits": {"sources": tasks("a", "b"), "val": tasks("val"), "targets": tasks("target")},
        "targets": ["targets"],
        "val": "val",
        "arms": {name: arm_of(name) for name in strategies},
        "module": own["module"],
        "dqn": learning,
        "pretrain": {"steps": 16 * own["episode"], "seeds": 1, "envs_per_member": 4, "length": own["episode"]},
        "adapt": {
            "episodes": list(POINTS),
            "seeds": 1,
            "tune": {"lr": [0.01], "up_to": POINTS[-1]},
            "dqn": learning,
        },
        "evaluation": {"episodes": EPISODES, "final_episodes": EPISODES, "greedy": True},
        "execution": EXECUTION,
    }
    return check_study({**raw, **other}, "pairs")


def arm_of(name: str) -> dict[str, Any]:
    needs_sources = get_strategy(name).pretrains_on == "sources"
    return {"strategy": name, **({"sources": "sources"} if needs_sources else {}), **SMALL.get(name, {})}


@pytest.mark.parametrize(("strategy", "family"), list(REFUSED), ids="-".join)
def test_a_pair_that_cannot_be_is_refused_before_anything_runs(strategy: str, family: str) -> None:
    with pytest.raises(InputError, match=REFUSED[strategy, family]) as refusal:
        plan_study(study_of(family, [strategy]))
    assert f"strategy {strategy!r}" in str(refusal.value)


@pytest.fixture(scope="module")
def run_of(local_ray: object, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Run]:
    """Return the finished run of a family's study with all strategies that it supports; each runs once."""

    @cache
    def run(family: str) -> Run:
        study = study_of(family, [strategy for strategy, own in PAIRS if own == family])
        place = tmp_path_factory.mktemp(family)
        return run_study(study, out=place / "run", store=str(place / "store")).folder, study

    return run


def task_named(study: Study, name: str) -> Task:
    (task,) = (named.task for split in study_splits(study).values() for named in split if named.name == name)
    return task


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("family", list(FAMILIES))
def test_nothing_fails(run_of: Callable[[str], Run], family: str) -> None:
    folder, _ = run_of(family)
    assert (folder / "failures.json").read_text(encoding="utf-8").strip() == "[]"


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("strategy", "family"), PAIRS, ids=["-".join(pair) for pair in PAIRS])
def test_a_pair_trains_publishes_reloads_and_adapts(run_of: Callable[[str], Run], strategy: str, family: str) -> None:
    folder, study = run_of(family)
    kind = get_strategy(strategy)
    found = read_results(folder).to_pylist()
    rows = [row for row in found if row["arm"] == strategy and row["tuning"] in ("fixed", "none")]
    meets = [row for row in rows if row["stage"] == "adapt" and row["task_name"] == "target"]
    if not (kind.adapts or kind.in_context):
        meets = [row for row in rows if row["stage"] == "pretrain" and row["task_name"] == "target"]
        assert len(meets) == 1
    else:
        assert [row["episodes"] for row in sorted(meets, key=lambda row: row["episodes"])] == list(POINTS)
    assert all(np.isfinite(row["score"]) and row["strategy"] == strategy for row in meets)
    before = kind.pretrains_on != "nothing" and meets[0]["stage"] == "adapt"  # a specialist has its own steps alone
    assert all((row["pretrain_env_steps"] > 0) == before and row["env_steps"] >= 0 for row in meets)
    assert max(row["env_steps"] + row["pretrain_env_steps"] for row in meets) > 0
    last = max(meets, key=lambda row: row["episodes"])
    expert = ExpertStore.open(folder.parent / "store").get(last["expert_id"])
    assert expert.manifest.family == study.family
    target = task_named(study, "target")
    assert last["return_mean"] == pytest.approx(played_again(study, strategy, expert.bundle(), target), abs=1e-6)


def played_again(study: Study, strategy: str, bundle: Any, target: Task) -> float:
    """Return the mean return of a reloaded policy on the target, at the last point of its memory if it has one."""
    evaluation = study.evaluation
    if not get_strategy(strategy).in_context:
        found = evaluate_bundles([bundle], [target], episodes=EPISODES, seed=evaluation.seed, greedy=True)
        return float(found.returns.mean())
    splits = study_splits(study)
    targets = splits["targets"]
    policies = {strategy: policies_of(pretrain_units(study, strategy, splits, targets))}
    (trials,) = in_context_trials(study, targets, policies)
    again = evaluate_in_context(
        [bundle], [target], POINTS, episodes=EPISODES, seed=evaluation.seed, warm_up=trials.warm_up
    )
    return float(again.scored[-1].returns.mean())
