"""The choice of sources: what it may look at, on which streams, and what it needs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from roamrl.algorithms.transfer.selection.choice import highest
from roamrl.envs.errors import InputError
from roamrl.envs.family import get_family
from roamrl.platform.study.candidates import Candidate
from roamrl.platform.study.evidence import Evidence
from roamrl.platform.study.load import load_study
from roamrl.platform.study.plan import plan_study
from roamrl.platform.study.pools import Pool, source_pools, zero_shot_pieces
from roamrl.platform.study.probe_rows import rows_until_chosen
from roamrl.platform.study.probing import planned_probes, probe_seed, probed_values, probes_of
from roamrl.platform.study.results import Result
from roamrl.platform.study.schema import Study
from roamrl.platform.study.selection import random_seed
from roamrl.platform.study.tasks import NamedTask, study_splits
from roamrl.platform.study.units import Chosen, adapt_units

ROW = Result(
    study="s", unit="u", stage="zero-shot", arm="a", strategy="reuse", family="f", family_config_hash="", task_id="t",
    task_name="t", split="similar", split_hash="", tuning="none", seed=0, source_ids=("x",), env_steps=0,
    pretrain_env_steps=0, episodes=0, return_mean=0.0, return_trivial=10.0, return_oracle=30.0, score=0.0,
    violation_rate=0.1, violation_adapting=float("nan"), eval_episodes=50, wall_s=0.0, cpu_s=0.0, expert_id=None,
    commit="",
)  # fmt: skip
MORE_VAL = (
    "splits.val.tasks=[{name: v0, context: {load: 0.95}}, {name: v1, context: {load: 1.05}}, "
    "{name: v2, context: {load: 1.2}}, {name: v3, context: {load: 1.3}}]"
)


def choosing(how: str, *overrides: str) -> tuple[Study, Pool, dict[str, tuple[NamedTask, ...]], list[NamedTask]]:
    arm = f"arms.mine={{strategy: reuse, sources: sources, choose: {how}, probe_episodes: 3}}"
    study = load_study("quick", [arm, MORE_VAL, *overrides])
    splits = study_splits(study)
    targets = [named for name in study.targets for named in splits[name]]
    (pool,) = source_pools(study, splits, targets)
    return study, pool, splits, targets


def evidence(pool: Pool, val: tuple[NamedTask, ...], gains: np.ndarray) -> Evidence:
    features = get_family("slicing-v1").features
    contexts = np.array([features(member.base.tasks[0]) for _, member in pool.policies])
    experts = tuple(f"expert-{place}" for place in range(len(pool.policies)))
    return Evidence(tuple(pool.policies), experts, val, contexts, gains, {}, "slicing-v1")


def test_nearest_finds_the_source_with_the_nearest_context_and_cannot_tell_its_experts_apart() -> None:
    _, pool, splits, targets = choosing("nearest")
    known = evidence(pool, splits["val"], np.zeros((4, 4)))
    (crowded,) = [named for named in targets if named.name == "crowded"]
    alike = highest(known.values("nearest", crowded))
    assert [pool.policies[place][1].target.name for place in alike] == ["busy", "busy"]
    assert [pool.policies[place][1].seed for place in alike] == [0, 1]


@pytest.mark.parametrize("how", ["best-on-val", "predicted"])
def test_tuning_on_a_val_task_does_not_look_at_that_tasks_own_gains(how: str) -> None:
    """Otherwise step sizes would be chosen from starting points that no target can have."""
    _, pool, splits, targets = choosing(how)
    gains = np.random.default_rng(2).uniform(0, 1, (4, 4))
    poisoned = gains.copy()
    poisoned[:, 2] = [50.0, -50.0, 7.0, 0.0]
    clean, dirty = evidence(pool, splits["val"], gains), evidence(pool, splits["val"], poisoned)
    own = splits["val"][2]
    assert np.array_equal(clean.values(how, own), dirty.values(how, own))
    assert not np.allclose(clean.values(how, targets[0]), dirty.values(how, targets[0]))
    assert not np.allclose(clean.values(how, splits["val"][0]), dirty.values(how, splits["val"][0]))


def test_probes_are_played_on_streams_that_nothing_else_is_played_on() -> None:
    study, pool, splits, targets = choosing("probe")
    pieces = planned_probes(study, "mine", pool, splits["val"], targets)
    plays = [play for piece in pieces for play in piece.plays]
    assert {play.episodes for play in plays} == {3}
    repetitions = len(splits["val"]) * study.adapt.tune.seeds + len(targets) * study.adapt.seeds
    assert len(plays) == len({play.seed for play in plays}) == len(pool.policies) * repetitions
    chosen = {(n.task.id, k): Chosen(pool.policies[0][0]) for n in targets for k in range(study.adapt.seeds)}
    learning = adapt_units(study, "adapt", "mine", targets, pool.policies, Candidate(1e-3), None, chosen)
    taken = {member.base.seed for unit in (*learning, *pool.units) for member in unit.members}
    assert not {play.seed for play in plays} & (taken | {study.evaluation.seed, None})


def test_a_probes_seed_steps_aside_where_it_would_be_the_evaluations() -> None:
    study, _, _, targets = choosing("probe")
    seed = probe_seed(study, targets[0].task, 0, 1)
    other = study.model_copy(update={"evaluation": study.evaluation.model_copy(update={"seed": seed})})
    assert probe_seed(other, targets[0].task, 0, 1) == seed + 1


def test_zero_shot_is_played_on_the_evaluations_streams_by_every_source_on_every_target() -> None:
    study, pool, _, targets = choosing("random")
    pieces = zero_shot_pieces(study, [pool], targets)
    played = {(piece.unit.key, play.member, piece.named.name) for piece in pieces for play in piece.plays}
    assert len(played) == len(pool.policies) * len(targets)
    assert {(play.seed, play.episodes) for p in pieces for play in p.plays} == {(None, study.evaluation.final_episodes)}


def test_who_rotates_needs_no_matrix_unless_the_study_asks_for_it() -> None:
    study = load_study("quick")
    splits = study_splits(study)
    targets = [named for name in study.targets for named in splits[name]]
    assert source_pools(study, splits, targets) == []
    asked = study.model_copy(update={"zero_shot_matrix": True})
    assert [pool.arms for pool in source_pools(asked, splits, targets)] == [("reuse",)]


def test_random_draws_differ_between_repetitions_and_are_the_same_for_every_arm() -> None:
    study, _, _, targets = choosing("random")
    seeds = {(named.name, number): random_seed(study, named.task, number) for named in targets for number in (0, 1)}
    assert len(set(seeds.values())) == len(seeds)
    other = study.model_copy(update={"seed": study.seed + 1})
    assert random_seed(other, targets[0].task, 0) != seeds[targets[0].name, 0]


def test_probes_are_judged_expert_by_expert_and_a_missing_one_is_an_error() -> None:
    rows = [replace(ROW, stage="probe", source_ids=(name,), return_mean=value) for name, value in (("b", 2), ("a", 1))]
    assert probed_values(rows, ["a", "b"]) == pytest.approx([1.0, 2.0])
    with pytest.raises(InputError, match="were not probed"):
        probed_values(rows, ["a", "c"])


def test_until_it_has_chosen_an_arm_that_probes_is_worth_what_its_sources_are() -> None:
    study, pool, _, targets = choosing("probe")
    target = targets[0]
    here = replace(ROW, task_id=target.task.id)
    worth = [replace(here, return_mean=20 + k, score=0.5 + k / 20, violation_rate=0.1 * k) for k in range(4)]
    probed = [replace(here, stage="probe", episodes=3, return_mean=k, violation_rate=0.2) for k in range(4)]
    spent = probes_of(probed, worth)
    assert (spent.episodes, spent.return_mean) == (12, 1.5)
    chosen = {(named.task.id, k): Chosen(pool.policies[3][0], spent) for named in targets for k in (0, 1)}
    (unit,) = adapt_units(study, "adapt", "mine", targets[:1], pool.policies, Candidate(1e-3), None, chosen)
    own = [replace(here, stage="adapt", arm="mine", seed=seed, episodes=20, score=0.9) for seed in (0, 1)]
    rows = rows_until_chosen(study, unit, own)
    assert [(row.seed, row.episodes, row.env_steps) for row in rows] == [
        (seed, n, 100 * n) for seed in (0, 1) for n in (0, 1, 5)
    ]
    assert {(row.score, row.return_mean, row.arm, row.stage) for row in rows} == {(0.575, 21.5, "mine", "adapt")}
    assert [row.violation_adapting for row in rows[1:3]] == [0.2, 0.2]
    assert np.isnan(rows[0].violation_adapting)
    assert rows_until_chosen(study, pool.units[0], own) == []


@pytest.mark.parametrize(
    ("how", "change", "message"),
    [
        ("predicted", "splits.val.tasks=[{name: v0}, {name: v1, context: {load: 1.2}}]", "at least 3 tasks in 'val'"),
        ("best-on-val", "splits.val.tasks=[{name: v0}]", "at least 2 tasks in 'val'"),
        ("probe", "arms.mine.probe_episodes=5", "takes 20 target episodes"),
    ],
)
def test_what_could_not_choose_is_refused_before_anything_runs(how: str, change: str, message: str) -> None:
    arm = f"arms.mine={{strategy: reuse, sources: sources, choose: {how}}}"
    with pytest.raises(InputError, match=message):
        plan_study(load_study("quick", [arm, MORE_VAL, change]))


def test_the_plan_counts_what_has_to_be_played_for_a_choice() -> None:
    study, pool, splits, targets = choosing("probe")
    rows = {(row.stage, row.arm): row for row in plan_study(study).rows()}
    assert rows["zero-shot", "mine"].units == len(pool.units) * len(targets)
    assert rows["zero-shot", "mine"].members == len(pool.policies) * len(targets)
    assert rows["probe", "mine"].units == len(pool.units) * (len(targets) + len(splits["val"]))
    assert rows["probe", "mine"].windows == 0
    assert rows["adapt", "mine"].windows == len(targets) * study.adapt.seeds * (100 - 12) * 100
    assert ("zero-shot", "reuse") not in rows
