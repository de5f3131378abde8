"""Units: what determines their keys, which seeds members get, and how populations are cut."""

from __future__ import annotations

import pytest

from roamrl.envs.errors import InputError
from roamrl.platform.study.candidates import Candidate, candidate_json, candidates
from roamrl.platform.study.load import check_study, load_study
from roamrl.platform.study.plan import plan_study
from roamrl.platform.study.schema import Study
from roamrl.platform.study.tasks import study_splits
from roamrl.platform.study.units import Chosen, Origin, adapt_units, pretrain_units


def quick(*overrides: str):
    study = load_study("quick", overrides)
    splits = study_splits(study)
    return study, splits, [named for name in study.targets for named in splits[name]]


def policies(units):
    return [(Origin(unit.key, i), member) for unit in units for i, member in enumerate(unit.members)]


def test_keys_depend_on_what_determines_the_result_alone() -> None:
    study, splits, targets = quick()
    keys = [unit.key for unit in pretrain_units(study, "reuse", splits, targets)]
    other, _, _ = quick("execution.checkpoint_every=3", "about=other words", "metrics.window=3")
    assert [unit.key for unit in pretrain_units(other, "reuse", splits, targets)] == keys
    for change in ("pretrain.steps=200000", "seed=1", "module.model={hidden: [32]}", "ppo.gamma=0.9"):
        different, _, _ = quick(change)
        assert [unit.key for unit in pretrain_units(different, "reuse", splits, targets)] != keys


def test_arms_that_pretrain_alike_share_units() -> None:
    study, splits, targets = quick("arms.again={strategy: reuse, sources: sources, choose: nearest}")
    first = pretrain_units(study, "reuse", splits, targets)
    assert [u.key for u in first] == [u.key for u in pretrain_units(study, "again", splits, targets)]


def test_arms_meet_a_target_with_the_same_seed() -> None:
    study, splits, targets = quick()
    pool = policies(pretrain_units(study, "reuse", splits, targets))
    reuse = [m for u in adapt_units(study, "adapt", "reuse", targets, pool, Candidate(1e-3)) for m in u.members]
    scratch = [m for u in adapt_units(study, "adapt", "scratch", targets, [], Candidate(1e-3)) for m in u.members]
    assert [m.base.seed for m in reuse] == [m.base.seed for m in scratch]
    assert len({m.base.seed for m in reuse}) == len(targets) * study.adapt.seeds


def test_rotate_draws_on_every_source_equally() -> None:
    study, splits, targets = quick()
    pool = policies(pretrain_units(study, "reuse", splits, targets))
    members = [m for u in adapt_units(study, "adapt", "reuse", targets, pool, Candidate(1e-3)) for m in u.members]
    drawn = [m.origins[0] for m in members]
    assert {drawn.count(origin) for origin, _ in pool} == {len(members) // len(pool)}


def test_an_arm_that_chooses_draws_on_what_was_chosen() -> None:
    study, splits, targets = quick("arms.near={strategy: reuse, sources: sources, choose: nearest}")
    pool = policies(pretrain_units(study, "near", splits, targets))
    chosen = {
        (named.task.id, seed): Chosen(pool[(place + seed) % len(pool)][0])
        for place, named in enumerate(targets)
        for seed in range(study.adapt.seeds)
    }
    members = [
        m for u in adapt_units(study, "adapt", "near", targets, pool, Candidate(1e-3), None, chosen) for m in u.members
    ]
    assert [m.origins for m in members] == [(chosen[m.target.task.id, m.seed].origin,) for m in members]


def test_two_arms_that_chose_alike_keep_their_own_units() -> None:
    near = "{strategy: reuse, sources: sources, choose: nearest}"
    study, splits, targets = quick(f"arms.near={near}", f"arms.again={near}")
    pool = policies(pretrain_units(study, "near", splits, targets))
    chosen = {(named.task.id, seed): Chosen(pool[0][0]) for named in targets for seed in range(study.adapt.seeds)}
    keys = [
        {unit.key for unit in adapt_units(study, "adapt", arm, targets, pool, Candidate(1e-3), None, chosen)}
        for arm in ("near", "again")
    ]
    assert not keys[0] & keys[1]


def test_an_arm_that_probes_learns_only_after_its_probes() -> None:
    study, splits, targets = quick("arms.probe={strategy: reuse, sources: sources, choose: probe, probe_episodes: 3}")
    pool = policies(pretrain_units(study, "probe", splits, targets))
    chosen = {(named.task.id, seed): Chosen(pool[0][0]) for named in targets for seed in range(study.adapt.seeds)}
    (unit,) = adapt_units(study, "adapt", "probe", targets, pool, Candidate(1e-3), None, chosen)
    assert len(pool) == 4
    assert unit.points == (20, 50, 100)  # 12 episodes went into the probes; the study's points below come without it
    episodes = [sum(p.iterations * p.envs_per_member for p in unit.phases)]
    assert episodes == [100 - 12]


def test_populations_are_cut_evenly() -> None:
    study, _, targets = quick("adapt.seeds=5", "execution.members_per_trial=8")
    units = adapt_units(study, "adapt", "scratch", targets, [], Candidate(1e-3))
    sizes = [len(unit.members) for unit in units]
    assert sum(sizes) == 20
    assert max(sizes) <= 8
    assert max(sizes) - min(sizes) <= 1


def test_points_are_reached_exactly() -> None:
    study, _, targets = quick()
    (unit,) = adapt_units(study, "adapt", "scratch", targets, [], Candidate(1e-3))
    for point, iteration in zip(unit.points, unit.iterations, strict=True):
        done, left = 0, iteration
        for phase in unit.phases:
            take = min(left, phase.iterations)
            done += take * phase.envs_per_member
            left -= take
        assert done == point


def test_plan_counts_what_the_units_hold() -> None:
    study, splits, targets = quick()
    plan = plan_study(study)
    (row,) = [row for row in plan.rows() if (row.stage, row.arm) == ("pretrain", "reuse")]
    units = pretrain_units(study, "reuse", splits, targets)
    assert row.members == sum(len(unit.members) for unit in units) == 4
    assert row.windows == sum(unit.steps for unit in units)
    assert row.windows >= 4 * study.pretrain.steps
    assert plan.windows == sum(row.windows for row in plan.rows())


def test_all_draws_on_one_policy_a_source_the_nearest_context_first() -> None:
    study, splits, targets = quick("arms.every={strategy: hybrid, sources: sources, choose: all}")
    pool = policies(pretrain_units(study, "every", splits, targets))
    by_origin = dict(pool)
    members = [m for u in adapt_units(study, "adapt", "every", targets, pool, Candidate(1e-3)) for m in u.members]
    for member in members:
        drawn = [by_origin[origin] for origin in member.origins]
        assert sorted(policy.target.name for policy in drawn) == ["busy", "calm"]
        assert len({policy.seed for policy in drawn}) == 1
        assert drawn[0].seed == member.seed
    first = {m.target.name: by_origin[m.origins[0]].target.name for m in members}
    assert first["crowded"] == "busy", "the source with the load nearer to 1.4 comes first"


def test_candidates_are_all_step_sizes_with_all_variants() -> None:
    study, _, _ = quick(
        "arms.h={strategy: hybrid, sources: sources, settings: {weight: 2.0}, lr: [0.1, 0.2], "
        "variants: [{guided_steps: 10}, {guided_steps: 20, weight: 3.0}]}"
    )
    assert [(c.lr, c.variant) for c in candidates(study, "h")] == [(0.1, 0), (0.2, 0), (0.1, 1), (0.2, 1)]
    assert candidate_json(study, "h", Candidate(0.2, 1)) == {
        "lr": 0.2,
        "settings": {"weight": 3.0, "guided_steps": 20},
    }
    assert [c.lr for c in candidates(study, "scratch")] == list(study.adapt.tune.lr)


def test_keys_of_adaptation_depend_on_variant_module_and_algorithm() -> None:
    arm = "{{strategy: {0}, sources: sources, choose: all{1}}}"
    keys = []
    for strategy, more in (
        ("hybrid", ""),
        ("hybrid", ", module: {hidden: [8]}"),
        ("hybrid", ", variants: [{weight: 9.0}]"),
        ("distill", ""),
        ("max_q", ""),
        ("gpi", ""),
    ):
        study, splits, targets = quick(f"arms.x={arm.format(strategy, more)}")
        pool = policies(pretrain_units(study, "x", splits, targets))
        keys.append(adapt_units(study, "adapt", "x", targets, pool, Candidate(1e-3))[0].key)
    assert len(set(keys)) == len(keys)


def test_experts_on_policies_and_on_values_are_pretrained_apart() -> None:
    pretrained = {}
    for strategy in ("reuse", "guided", "hybrid", "max_q", "gpi"):
        study, splits, targets = quick(f"arms.x={{strategy: {strategy}, sources: sources}}")
        pretrained[strategy] = [unit.key for unit in pretrain_units(study, "x", splits, targets)]
    assert pretrained["reuse"] == pretrained["guided"] == pretrained["hybrid"]
    assert len({keys[0] for keys in pretrained.values()}) == 3


def test_an_arms_curve_may_end_earlier() -> None:
    study, _, targets = quick("arms.scratch.up_to=20")
    units = adapt_units(study, "adapt", "scratch", targets, [], Candidate(1e-3))
    assert units[0].points == (0, 1, 5, 20)
    (unit, *_) = adapt_units(study, "tune", "scratch", targets, [], Candidate(1e-3), 5)
    assert unit.points == (0, 1, 5)
    with pytest.raises(InputError, match="up_to 30 is none of"):
        quick("arms.scratch.up_to=30")


def test_contexts_of_a_variant_are_met_under_the_studys_config() -> None:
    _, splits, _ = quick("splits.different={published: iid, variant: hidden-sla, first: 2}")
    for named in splits["different"]:
        assert named.task.config["variant"] == "default"
        assert named.task.context["load"] == 1.25
        assert sorted(named.task.context["weights"]) == [0.15, 0.15, 0.7]


def test_meta_learning_on_parts_of_episodes_is_refused_when_planned(tiny: Study) -> None:
    raw = tiny.model_dump(mode="json")
    raw["arms"] = {
        "scratch": {"strategy": "scratch"},
        "reptile": {"strategy": "reptile", "sources": "sources", "settings": {"tasks": 2}},
    }
    with pytest.raises(InputError, match=r"arms.reptile: pretrain.length: rollouts of 8 .* multiple of 10"):
        plan_study(check_study(raw, "tiny"))
    raw["pretrain"]["length"] = 20
    assert plan_study(check_study(raw, "tiny")).rows()
