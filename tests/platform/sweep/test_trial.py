"""From a study to trials: which fields may vary, what a learner then is, on what it is scored, when."""

from __future__ import annotations

import pytest

from roamrl.envs.errors import InputError
from roamrl.platform.sweep import plan as planning
from roamrl.platform.sweep.plan import plan_sweep, sweep_splits
from roamrl.platform.sweep.trial import build_trial

LR = {"pretrain.lr": {"loguniform": [1e-4, 1e-2]}}


@pytest.mark.parametrize(
    ("path", "space", "words"),
    [
        ("splits.val.first", {"randint": [1, 2]}, "same for all trials"),
        ("val", {"choice": ["val", "target"]}, "same for all trials"),
        ("targets", {"choice": [["target"], ["val"]]}, "same for all trials"),
        ("config.max_episode_steps", {"randint": [10, 20]}, "same for all trials"),
        ("evaluation.episodes", {"randint": [1, 2]}, "same for all trials"),
        ("adapt.tune.lr", {"choice": [[1e-3], [1e-4]]}, "does not depend on it"),
        ("seed", {"randint": [1, 2]}, "a seed is no setting"),
        ("execution.members_per_trial", {"randint": [1, 2]}, "changes no result"),
        ("pretrain.steps", {"randint": [100, 200]}, "equal environment steps"),
        ("arms.joint.pretrain.seeds", {"randint": [1, 2]}, "equal environment steps"),
        ("pretrain", {"choice": [{}, {"lr": 1}]}, "name one"),
        ("arms.scratch.settings.x", {"choice": [1, 2]}, "the arm being searched"),
        ("arms.joint.strategy", {"choice": ["joint", "reuse"]}, "the arm being searched"),
        ("dqn.gamma", {"uniform": [0.5, 0.9]}, "learns by ppo"),
        ("ppo.compiled", {"choice": [True, False]}, "changes no result"),
        ("pretrian.lr", {"uniform": [0.5, 0.9]}, "unknown field to search"),
        ("pretrain.lrr", {"uniform": [0.5, 0.9]}, "did you mean 'pretrain.lr'"),
        ("arms.joint.pretrain.lrr", {"uniform": [0.5, 0.9]}, "did you mean 'lr'"),
        ("arms.joint.settings.conditoin", {"choice": ["none", "context"]}, "condition"),
        ("module.model.hiden", {"choice": [[8], [16]]}, "hidden"),
        ("pretrain.lr", {"uniform": [-1, 1]}, "greater than 0"),
        ("arms.joint.pretrain.clip", {"uniform": [-1, 1]}, "greater than 0"),
        ("ppo.gamma", {"uniform": [0.5, 1.5]}, "less than or equal to 1"),
        ("ppo.epochs", {"uniform": [1, 4]}, None),
        ("pretrain.envs_per_member", {"choice": [4, 1024]}, "give fewer reports"),
    ],
)
def test_what_may_not_vary_is_refused_when_planned(poles, path, space, words):
    study = poles({"space": {path: space}})
    if words is None:
        assert plan_sweep(study).settings == 3
        return
    with pytest.raises(InputError, match=words):
        plan_sweep(study)


def test_a_setting_that_the_arm_has_itself_is_searched_there(poles):
    arms = {"joint": {"strategy": "joint", "sources": "sources", "pretrain": {"lr": 0.1}}}
    with pytest.raises(InputError, match=r"search that"):
        plan_sweep(poles({"space": LR}, arms=arms))
    assert plan_sweep(poles({"space": {"arms.joint.pretrain.lr": LR["pretrain.lr"]}}, arms=arms)).trials == 3


@pytest.mark.parametrize(
    ("search", "words"),
    [
        ({"arm": "scratch", "space": LR}, "learns nothing before it meets a target"),
        ({"arm": "specialist", "members": {"lr": {"choice": [1, 2]}}, "scheduler": "pbt"}, "a task each"),
        ({"arm": "max-q", "members": {"lr": {"choice": [1, 2]}}, "scheduler": "pbt"}, "by PPO"),
        ({"space": LR, "budget": {"reports": 99}}, "give fewer reports"),
        ({"members": {"lr": {"choice": [1, 2]}}, "scheduler": "pbt", "pbt": {"interval": 99}}, "give fewer"),
        ({"members": {"gamma": {"uniform": [0.5, 2]}}}, "less than or equal to 1"),
    ],
)
def test_searches_that_cannot_be_carried_out_are_refused_when_planned(poles, search, words):
    with pytest.raises(InputError, match=words):
        plan_sweep(poles(search))


def test_a_missing_package_is_named_with_its_extra(poles, monkeypatch):
    monkeypatch.setattr(planning, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'roamrl\[optuna\]'"):
        plan_sweep(poles({"space": LR, "algorithm": "optuna"}))


def test_a_trial_has_its_values_and_the_budget(poles):
    study = poles({"space": {**LR, "ppo.gamma": {"choice": [0.5, 0.9]}}, "budget": {"steps": 1024, "reports": 4}})
    trial = build_trial(study, {"pretrain.lr": 0.002, "ppo.gamma": 0.5}, sweep_splits(study))
    assert [member.lr for member in trial.learner.members] == [0.002, 0.002]
    assert trial.learner.ppo.gamma == 0.5
    assert trial.learner.member_steps(trial.reports[-1]) == 1024
    assert trial.reports == (4, 8, 12, 16)
    assert [named.name for named in trial.scored_on[0]] == ["v", "w"]
    assert trial.learner.members[0].tasks != () and trial.learner.snapshots == (16,)


def test_trials_share_their_seeds_and_a_run_of_the_study_has_others(poles):
    study = poles({"space": LR})
    splits = sweep_splits(study)
    seeds = [[m.seed for m in build_trial(study, s, splits).learner.members] for s in ({}, {"pretrain.lr": 0.01})]
    assert seeds[0] == seeds[1] and len(set(seeds[0])) == 2
    other = poles({"space": LR, "seed": 1})
    assert not set(seeds[0]) & {m.seed for m in build_trial(other, {}, splits).learner.members}
    from roamrl.platform.study.units import pretrain_units

    assert not set(seeds[0]) & {m.base.seed for u in pretrain_units(study, "joint", splits, ()) for m in u.members}


def test_targets_take_no_part(poles):
    study = poles({"arm": "specialist", "space": LR})
    splits = sweep_splits(study)
    assert set(splits) == {"val"}
    trial = build_trial(study, {}, splits)
    val = [named.task for named in splits["val"]]
    assert [member.tasks[0] for member in trial.learner.members] == val * 2
    assert [[named.task for named in scored] for scored in trial.scored_on] == [[task] for task in val * 2]


def test_candidates_are_members_of_one_population(poles):
    spaces = {"lr": {"loguniform": [1e-4, 1e-2]}, "gamma": {"uniform": [0.8, 0.99]}, "clip": {"choice": [0.1, 0.3]}}
    study = poles({"members": spaces, "budget": {"trials": 5}})
    trial = build_trial(study, {}, sweep_splits(study))
    assert trial.of_member == (0, 0, 1, 1, 2, 2, 3, 3, 4, 4)
    assert plan_sweep(study).trials == 1 and plan_sweep(study).members == 10
    for member, candidate, gamma in zip(trial.learner.members, trial.of_member, trial.learner.gammas, strict=True):
        own = trial.candidates[candidate]
        assert member.lr == own.get("lr", 1e-5)
        assert member.clip == own.get("clip", 0.2)
        assert gamma == own.get("gamma", 0.98)
    seeds = [member.seed for member in trial.learner.members]
    assert seeds == seeds[:2] * 5 and len(set(seeds)) == 2  # compared in pairs


def test_members_that_take_over_others_have_seeds_of_their_own(poles):
    study = poles(
        {
            "members": {"lr": {"loguniform": [1e-4, 1e-2]}},
            "scheduler": "pbt",
            "pbt": {"interval": 2},
            "budget": {"trials": 6},
        }
    )
    trial = build_trial(study, {}, sweep_splits(study))
    assert len({member.seed for member in trial.learner.members}) == 6 == len(trial.candidates)
    assert trial.reports == (2, 4)
