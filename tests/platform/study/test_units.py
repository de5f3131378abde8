"""Units: what determines their keys, which seeds members get, and how populations are cut."""

from __future__ import annotations

from roamrl.platform.study.load import load_study
from roamrl.platform.study.plan import plan_study
from roamrl.platform.study.tasks import study_splits
from roamrl.platform.study.units import Origin, adapt_units, pretrain_units


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
    reuse = [m for u in adapt_units(study, "adapt", "reuse", targets, pool, 1e-3) for m in u.members]
    scratch = [m for u in adapt_units(study, "adapt", "scratch", targets, [], 1e-3) for m in u.members]
    assert [m.base.seed for m in reuse] == [m.base.seed for m in scratch]
    assert len({m.base.seed for m in reuse}) == len(targets) * study.adapt.seeds


def test_rotate_draws_on_every_source_equally() -> None:
    study, splits, targets = quick()
    pool = policies(pretrain_units(study, "reuse", splits, targets))
    members = [m for u in adapt_units(study, "adapt", "reuse", targets, pool, 1e-3) for m in u.members]
    drawn = [m.origins[0] for m in members]
    assert {drawn.count(origin) for origin, _ in pool} == {len(members) // len(pool)}


def test_nearest_draws_on_the_source_with_the_nearest_context() -> None:
    study, splits, targets = quick("arms.near={strategy: reuse, sources: sources, choose: nearest}")
    pool = policies(pretrain_units(study, "near", splits, targets))
    by_origin = {origin: member.target.name for origin, member in pool}
    members = [m for u in adapt_units(study, "adapt", "near", targets, pool, 1e-3) for m in u.members]
    crowded = {by_origin[m.origins[0]] for m in members if m.target.name == "crowded"}
    assert crowded == {"busy"}


def test_populations_are_cut_evenly() -> None:
    study, _, targets = quick("adapt.seeds=5", "execution.members_per_trial=8")
    units = adapt_units(study, "adapt", "scratch", targets, [], 1e-3)
    sizes = [len(unit.members) for unit in units]
    assert sum(sizes) == 20
    assert max(sizes) <= 8
    assert max(sizes) - min(sizes) <= 1


def test_points_are_reached_exactly() -> None:
    study, _, targets = quick()
    (unit,) = adapt_units(study, "adapt", "scratch", targets, [], 1e-3)
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
