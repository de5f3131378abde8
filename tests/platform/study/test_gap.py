"""The generalisation gap before it runs: which policies it needs, what trains them, and what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest

from roamrl.envs.errors import InputError
from roamrl.platform.study import gap as gap_module
from roamrl.platform.study.gap import Gap, learner_of, study_gap
from roamrl.platform.study.gap_scores import gap_pieces
from roamrl.platform.study.load import load_study
from roamrl.platform.study.plan import plan_study
from roamrl.platform.study.tasks import study_splits
from roamrl.platform.study.units import pretrain_units

SAMPLED = "splits.sources={sample: 6, seed: 4, fixed: {load: 1.05}}"


def make(*overrides: str, gap: str = "{arms: [joint], contexts: [1, 2, unlimited], seeds: 3, pool: 9}"):
    study = load_study("quick", [f"gap={gap}", *overrides])
    splits = study_splits(study)
    targets = [named for name in study.targets for named in splits[name]]
    return study, splits, targets, study_gap(study, splits, targets)


def tasks_of(gap: Gap, contexts: int, seed: int = 0) -> Sequence[object]:
    (policy,) = [each for each in gap.policies if (each.contexts, each.seed) == (contexts, seed)]
    return policy.unit.members[policy.member].base.tasks


def test_sets_of_contexts_are_nested_and_the_split_comes_first() -> None:
    _, splits, _, gap = make()
    listed = tuple(named.task for named in splits["sources"])
    sets = [tasks_of(gap, contexts) for contexts in (1, 2, 9)]
    assert [len(tasks) for tasks in sets] == [1, 2, 9]
    assert sets[1] == listed
    for smaller, larger in pairwise(sets):
        assert larger[: len(smaller)] == smaller
    assert {(p.contexts, p.unlimited) for p in gap.policies} == {(1, False), (2, False), (9, True)}
    assert len(gap.policies) == 9


def test_a_sampled_split_goes_on_where_its_drawing_stopped() -> None:
    _, splits, _, gap = make(SAMPLED, gap="{arms: [joint], contexts: [2, 6, unlimited], seeds: 1, pool: 9}")
    pool = tasks_of(gap, 9)
    assert pool[:6] == tuple(named.task for named in splits["sources"])
    assert {task.context["load"] for task in pool} == {1.05}
    assert len({task.context["snr_mean_db"] for task in pool}) == 9
    again = make("splits.sources={sample: 9, seed: 4, fixed: {load: 1.05}}", gap="{arms: [joint], contexts: [2, 9]}")
    assert tasks_of(again[3], 9) == pool


def test_contexts_may_come_from_a_split_of_their_own() -> None:
    more = "splits.more={sample: 5, seed: 1}"
    study, splits, _, gap = make(more, gap="{arms: [joint], sources: more, contexts: [1, 5], seeds: 1}")
    listed = tuple(named.task for named in splits["more"])
    assert tasks_of(gap, 5) == listed and tasks_of(gap, 1) == listed[:1]
    assert {named.split for policy in gap.policies for named in policy.trained_on} == {"more"}
    assert "more" in study.used_splits
    with pytest.raises(InputError, match="'elsewhere' is used but not defined"):
        make(gap="{arms: [joint], sources: elsewhere}")


def test_policies_that_an_arm_trains_anyway_are_not_trained_again() -> None:
    study, splits, targets, gap = make("arms.joint.pretrain.steps=60000", "arms.joint.pretrain.seeds=2")
    own = {unit.key for unit in pretrain_units(study, "joint", splits, targets)}
    experts = {unit.key for unit in pretrain_units(study, "reuse", splits, targets)}
    by_unit = {(p.contexts, p.seed): p.unit.key for p in gap.policies}
    assert by_unit[2, 0] in own and by_unit[2, 1] in own
    assert by_unit[2, 2] not in own
    # On one context joint training is what reuse's expert on that context went through, with the same seeds.
    assert by_unit[1, 0] in experts and by_unit[1, 1] in experts
    assert by_unit[1, 2] not in experts
    trained = [unit.key for unit in gap.units]
    assert not set(trained) & (own | experts)
    assert sum(len(unit.members) for unit in gap.units) == 9 - 4
    for policy in gap.policies:
        assert policy.unit.members[policy.member].base.tasks == tasks_of(gap, policy.contexts, policy.seed)
        assert policy.unit.members[policy.member].seed == policy.seed


def test_fixed_steps_take_the_place_of_the_arms_own() -> None:
    *_, gap = make(gap="{arms: [joint], contexts: [1, 2], seeds: 2, steps: 4096}")
    assert {policy.unit.points for policy in gap.policies} == {(4096,)}
    *_, own = make(gap="{arms: [joint], contexts: [1, 2], seeds: 2}")
    assert {policy.unit.points[0] for policy in own.policies} == {100352}


def test_members_of_all_numbers_and_seeds_share_populations_of_equal_size() -> None:
    *_, gap = make("execution.members_per_trial=4")
    sizes = [len(unit.members) for unit in gap.units]
    assert sum(sizes) == len(gap.policies) - 2  # two of joint's own
    assert max(sizes) <= 4
    assert max(sizes) - min(sizes) <= 1
    assert any(len({len(member.base.tasks) for member in unit.members}) > 1 for unit in gap.units)
    assert len({unit.key for unit in gap.units}) == len(gap.units)


def test_policies_whose_modules_differ_do_not_share_a_population() -> None:
    *_, gap = make("arms.joint.settings={condition: one-hot}")
    for unit in gap.units:
        assert len({len(member.base.tasks) for member in unit.members}) == 1


def test_keys_say_what_the_weights_follow_from_and_nothing_else() -> None:
    keys = [policy.key for policy in make()[3].policies]
    same = make("execution.members_per_trial=2", "evaluation.final_episodes=50", "about=else", "targets=[similar]")
    assert [policy.key for policy in same[3].policies] == keys
    assert len(set(keys)) == len(keys)
    for change in ("seed=1", "ppo.gamma=0.9", "arms.joint.pretrain.steps=5000"):
        assert not set(keys) & {policy.key for policy in make(change)[3].policies}


def test_conflicts_of_thousands_of_tasks_are_not_measured() -> None:
    study, _, _, gap = make()
    learner = learner_of(study, gap.units[0])
    assert learner.task_gradients == "none"
    assert learner.members == tuple(member.base for member in gap.units[0].members)


def test_every_policy_is_scored_on_its_own_contexts_of_the_split_and_on_every_target() -> None:
    study, splits, targets, gap = make("execution.members_per_trial=3")
    seen: dict[tuple[str, str], list[str]] = {}
    for piece in gap_pieces(study, gap.policies, targets):
        jobs = piece.jobs()
        assert sum(len(job.members) for job in jobs) == len(piece.pairs)
        assert {job.iteration for job in jobs} == {piece.unit.iterations[-1]}
        for policy, named in piece.pairs:
            assert policy.unit.key == piece.unit.key
            assert named.split == piece.split
            seen.setdefault((policy.key, named.split), []).append(named.name)
    names = {split: [named.name for named in splits[split]] for split in ("sources", *study.targets)}
    for policy in gap.policies:
        assert seen[policy.key, "sources"] == names["sources"][: policy.contexts]
        for split in study.targets:
            assert seen[policy.key, split] == names[split]
    left = gap_pieces(study, gap.policies, targets, {targets[0].task.id})
    assert all(named is not targets[0] for piece in left for _, named in piece.pairs)


def test_pieces_of_two_arms_that_train_alike_stay_apart() -> None:
    study, _, targets, gap = make(
        "arms.again={strategy: joint, sources: sources, pretrain: {steps: 100000}}",
        gap="{arms: [joint, again], contexts: [1, 2], seeds: 1}",
    )
    assert len({policy.key for policy in gap.policies}) == 2
    pieces = gap_pieces(study, gap.policies, targets)
    assert len({piece.key for piece in pieces}) == len(pieces)
    assert {piece.arm for piece in pieces} == {"joint", "again"}


def test_the_plan_has_a_row_for_training_and_one_for_scores() -> None:
    study, _, targets, gap = make()
    rows = {row.stage: row for row in plan_study(study).rows() if row.arm == "joint" and row.stage.startswith("gap")}
    assert (rows["gap"].units, rows["gap"].windows) == (len(gap.units), sum(unit.steps for unit in gap.units))
    assert (rows["gap-score"].units, rows["gap-score"].windows) == (len(gap_pieces(study, gap.policies, targets)), 0)
    assert rows["gap-score"].seconds > 0


def test_where_there_are_few_distinct_contexts_unlimited_is_all_of_them() -> None:
    fixed = "{load: 1.0, snr_mean_db: 18.0, weights: [0.3, 0.3, 0.4]}"
    *_, gap = make(
        f"splits.sources={{sample: 1, fixed: {fixed}}}", gap="{arms: [joint], contexts: [1, unlimited], pool: 5}"
    )
    assert {policy.contexts for policy in gap.policies} == {1}
    assert len(gap.policies) == 3


@pytest.mark.parametrize(
    ("gap", "message"),
    [
        ("{arms: [joint], contexts: [2, 1]}", "must increase"),
        ("{arms: [joint], contexts: [unlimited, 2]}", "must increase"),
        ("{arms: [joint], contexts: [0, 2]}", "must increase"),
        ("{arms: [joint], contexts: [2]}", "must increase"),
        ("{arms: [joint], contexts: [1, 5000, unlimited]}", "'unlimited' being 4096"),
        ("{arms: [scratch]}", r"must be arms with sources, which are \['reuse', 'joint'\]"),
        ("{arms: [jiont]}", "must be arms with sources"),
        ("{arms: [joint], contexts: [1, 4]}", "has 2 tasks in 'sources', not 4"),
        ("{arms: [joint], contexts: [1, unlimited], pool: 2}", "raise gap.pool"),
        ("{arms: [reuse], contexts: [1, 2]}", "does not train one policy on all its sources"),
    ],
)
def test_what_cannot_be_is_refused(gap: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make(gap=gap)


def test_contexts_that_a_learner_cannot_be_made_for_are_refused_before_anything_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(study: object, unit: object) -> None:
        raise InputError("give it more tasks")

    monkeypatch.setattr(gap_module, "learner_of", refuse)
    with pytest.raises(InputError, match="arm 'joint' cannot be trained on 1 contexts: give it more tasks"):
        make()


def test_contexts_of_another_variant_are_not_drawn_from_the_wrong_ranges() -> None:
    with pytest.raises(InputError, match="of variant 'hidden-sla'"):
        make(
            "splits.sources={published: train, variant: hidden-sla, first: 2}",
            gap="{arms: [joint], contexts: [1, unlimited], pool: 4}",
        )


def test_targets_that_were_trained_on_measure_no_gap() -> None:
    with pytest.raises(InputError, match="never saw"):
        make("arms.joint.sources=similar")
