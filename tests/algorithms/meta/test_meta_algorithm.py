"""Meta-learning as an RLlib Algorithm: budgets, snapshots' members, resuming, processes, refusals."""

import json
from dataclasses import replace

import numpy as np
import pytest
from gymnasium import spaces

from roamrl.algorithms.bundle import ModuleSpec
from roamrl.algorithms.learner_spec import LearnerSpec, MemberSpec, Phase, PPOSettings
from roamrl.algorithms.meta_learning import InnerRule, MAMLSettings, ReptileSettings, meta_from_json, meta_to_json
from roamrl.algorithms.rllib.config import PopulationConfig
from roamrl.envs import family as families
from roamrl.envs.errors import InputError
from roamrl.envs.known import NAVIGATION
from roamrl.envs.slicing import SLICING

pytestmark = [pytest.mark.ray, pytest.mark.timeout(240)]

STEPS = 10
MAML = MAMLSettings(tasks=2, inner_lr=0.3)
REPTILE = ReptileSettings(tasks=2, steps=2)


@pytest.fixture(autouse=True)
def navigation(monkeypatch):
    monkeypatch.setitem(families._loaded, NAVIGATION.id, NAVIGATION)


def navigators(meta, seeds=(3, 4), iterations=5, envs=6, length=STEPS, ppo=None, **member):
    tasks = NAVIGATION.sample(6, 1, config={"steps": STEPS})
    module = ModuleSpec("mlp", *NAVIGATION.spaces(tasks[0].config), {"hidden": [8]})
    members = tuple(MemberSpec(seed, tasks[seed % 3 :], meta=meta, **member) for seed in seeds)
    return LearnerSpec(module, members, (Phase(iterations, envs, length),), ppo or PPOSettings(epochs=2, minibatches=2))


def build(spec, runners=0):
    return PopulationConfig().population(learner=spec).env_runners(num_env_runners=runners).build_algo()


def outcome(algorithm):
    while not (result := algorithm.train())["done"]:
        pass
    curve, bundles = algorithm.curve(), algorithm.bundles()
    algorithm.stop()
    return result, curve, bundles


def assert_same(one, other, atol=0.0):
    for name, values in one[1].losses.items():
        np.testing.assert_allclose(values, other[1].losses[name], atol=1e-5 if atol else 0.0, rtol=0, err_msg=name)
    np.testing.assert_allclose(one[1].return_mean, other[1].return_mean, atol=atol, rtol=1e-6 if atol else 0)
    for ours, theirs in zip(one[2], other[2], strict=True):
        for name, array in ours.arrays.items():
            np.testing.assert_allclose(array, theirs.arrays[name], atol=atol, rtol=0, err_msg=name)


@pytest.mark.parametrize("meta", [MAML, REPTILE], ids=["maml", "reptile"])
def test_every_step_of_every_rollout_is_counted(local_ray, meta):
    result, curve, bundles = outcome(build(navigators(meta)))
    steps = 6 * STEPS * np.arange(1, 6)
    np.testing.assert_array_equal(curve.env_steps, steps)
    np.testing.assert_array_equal(curve.episodes, 6 * np.arange(1, 6))
    assert result["num_env_steps_sampled_lifetime"] == 2 * steps[-1]
    assert result["env_runners"]["num_env_steps_sampled"] == 2 * 6 * STEPS
    assert curve.return_mean.shape == curve.measures["distance"].shape == curve.losses["loss"].shape == (5, 2)
    assert curve.losses["inner_steps"][:, 0].tolist() == [0.0, 1.0, 0.0, 1.0, 0.0]
    assert np.isfinite(curve.return_mean).all()
    np.testing.assert_allclose(curve.measures["distance"] * -STEPS, curve.return_mean, rtol=1e-5)
    assert len(bundles) == 2
    assert bundles[0].arrays["observations.count"] == steps[-1]


@pytest.mark.parametrize("meta", [MAML, REPTILE], ids=["maml", "reptile"])
@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_resumed_run_ends_as_an_undisturbed_one(local_ray, tmp_path, meta, at):
    spec = navigators(meta, iterations=6)
    whole = outcome(build(spec))
    first = build(spec)
    for _ in range(at):
        first.train()
    first.save_to_path(tmp_path / "checkpoint")
    first.train()
    first.stop()
    second = build(spec)
    second.restore_from_path(tmp_path / "checkpoint")
    resumed = outcome(second)
    assert_same(whole, resumed)
    assert resumed[0]["num_env_steps_sampled_lifetime"] == whole[0]["num_env_steps_sampled_lifetime"]


@pytest.mark.parametrize("meta", [MAML, REPTILE], ids=["maml", "reptile"])
def test_members_train_together_as_alone(local_ray, meta):
    _, curve, together = outcome(build(navigators(meta, seeds=(3, 4), iterations=4)))
    for number, seed in enumerate((3, 4)):
        _, own, (alone,) = outcome(build(navigators(meta, seeds=(seed,), iterations=4)))
        np.testing.assert_allclose(curve.return_mean[:, number], own.return_mean[:, 0], rtol=1e-5)
        for name, array in alone.arrays.items():
            np.testing.assert_allclose(together[number].arrays[name], array, rtol=0, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("meta", [MAML, pytest.param(REPTILE, marks=pytest.mark.slow)], ids=["maml", "reptile"])
def test_remote_runners_play_what_a_local_one_plays_and_resume(local_ray, tmp_path, meta):
    """Slicing cells: other processes know families by their entry points."""
    tasks = SLICING.sample(4, 5, config={"episode_windows": 6})
    module = ModuleSpec("mlp", *SLICING.spaces(tasks[0].config), {"hidden": [16]})
    members = tuple(MemberSpec(seed, tasks, meta=meta) for seed in range(3))
    spec = LearnerSpec(module, members, (Phase(4, 4, 6),), PPOSettings(epochs=2, minibatches=2))
    local, first = outcome(build(spec)), build(spec, 2)
    for _ in range(3):
        first.train()
    checkpoint = first.save_to_path(str(tmp_path / "checkpoint"))
    first.stop()
    second = build(spec, 2)
    second.restore_from_path(checkpoint)
    remote = outcome(second)
    assert_same(local, remote, atol=1e-6)
    assert local[0]["num_env_steps_sampled_lifetime"] == remote[0]["num_env_steps_sampled_lifetime"] == 3 * 4 * 4 * 6


def test_remote_runners_play_the_policies_that_members_start_from(local_ray):
    tasks = SLICING.sample(2, 5, config={"episode_windows": 6})
    module = ModuleSpec("mlp", *SLICING.spaces(tasks[0].config), {"hidden": [16]})
    spec = LearnerSpec(module, tuple(MemberSpec(seed, tasks) for seed in range(2)), (Phase(1, 2, 6),))
    _, _, sources = outcome(build(replace(spec, phases=(Phase(3, 16, 24),))))
    spec = replace(spec, members=tuple(replace(m, initial=s) for m, s in zip(spec.members, sources, strict=True)))
    assert_same(outcome(build(spec)), outcome(build(spec, 2)), atol=1e-6)


def test_on_a_target_the_inner_rule_moves_policies_alone(local_ray):
    _, _, (source,) = outcome(build(navigators(MAML, seeds=(3,), iterations=4)))
    target = navigators(InnerRule(0.3), seeds=(8, 9), iterations=2)
    phases = (Phase(2, 4, STEPS, whole_episodes=True),)
    spec = replace(target, members=tuple(replace(m, initial=source) for m in target.members), phases=phases)
    algorithm = build(spec)
    before = algorithm.bundles()
    _, curve, after = outcome(algorithm)
    assert set(curve.losses) == {"policy_loss", "value_loss", "grad_norm", "skipped"}
    for old, new in zip(before, after, strict=True):
        for name, array in old.arrays.items():
            np.testing.assert_array_equal(array, source.arrays[name], err_msg=name)
            if name.startswith(("observations.", "returns.", "critic.")):
                np.testing.assert_array_equal(new.arrays[name], array, err_msg=name)
        moved = np.abs(new.arrays["actor.head.weight"] - old.arrays["actor.head.weight"]).max()
        assert 0 < moved
    (alone,) = outcome(build(replace(spec, members=spec.members[:1])))[2]
    for name, array in alone.arrays.items():
        np.testing.assert_allclose(after[0].arrays[name], array, rtol=0, atol=1e-6, err_msg=name)


def test_the_first_step_on_a_target_is_plain_gradient_descent(local_ray):
    spec = navigators(InnerRule(0.3), seeds=(8,), iterations=1)
    moved = []
    for lr in (0.1, 0.2):
        algorithm = build(replace(spec, members=(replace(spec.members[0], meta=InnerRule(lr)),)))
        (start,) = algorithm.bundles()
        _, curve, (end,) = outcome(algorithm)
        step = {name: end.arrays[name] - start.arrays[name] for name in start.arrays if name.startswith("a")}
        moved.append(step["actor.head.weight"])
        norm = np.sqrt(sum(float((part.astype(np.float64) ** 2).sum()) for part in step.values()))
        assert norm == pytest.approx(lr * curve.losses["grad_norm"][0, 0], rel=1e-4)
    np.testing.assert_allclose(moved[1], 2 * moved[0], rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"envs": 5}, "cannot be shared out evenly among 2 tasks"),
        ({"meta": replace(MAML, tasks=6), "envs": 12, "seeds": (4,)}, "has a pool of 5 tasks, .* draws 6"),
        ({"iterations": 1}, "takes 2 iterations, the plan has 1"),
        ({"frozen_steps": 10}, "frozen"),
        ({"length": 15}, "make the length a multiple of 10"),
    ],
)
def test_what_cannot_be_meta_learned_is_refused(local_ray, change, message):
    with pytest.raises(InputError, match=message):
        build(navigators(**{"meta": MAML, **change}))


@pytest.mark.parametrize("settings", [None, MAML, replace(MAML, order=1), REPTILE, InnerRule(0.2)])
def test_settings_come_back_from_json(settings):
    assert meta_from_json(json.loads(json.dumps(meta_to_json(settings)))) == settings
    with pytest.raises(InputError, match="did you mean 'maml'"):
        meta_from_json({"kind": "mamml"})


def test_members_of_one_learner_meta_learn_alike():
    spec = navigators(MAML)
    with pytest.raises(InputError, match="share their meta-learning settings"):
        replace(spec, members=(spec.members[0], replace(spec.members[1], meta=REPTILE)))


def test_a_memory_cannot_take_inner_steps_and_says_so(local_ray):
    spec = navigators(MAML)
    gru = ModuleSpec("gru", spec.module.observation_space, spec.module.action_space, {"hidden": [8], "memory": 8})
    with pytest.raises(InputError, match="carry a memory"):
        build(replace(spec, module=gru))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MAMLSettings(tasks=0), "at least one task"),
        (lambda: MAMLSettings(order=3), "order is 1 or 2"),
        (lambda: MAMLSettings(inner_lr=0.0), "must be positive"),
        (lambda: MAMLSettings(kl_coeff=-1.0), "kl_coeff"),
        (lambda: ReptileSettings(rate=1.5), "above 0 and at most at 1"),
        (lambda: ReptileSettings(steps=0), "one step"),
        (lambda: InnerRule(-0.1), "must be positive"),
    ],
)
def test_senseless_settings_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


def test_discrete_actions_of_another_family_work_too(local_ray):
    tasks = SLICING.sample(3, 5, config={"episode_windows": 5})
    module = ModuleSpec("mlp", *SLICING.spaces(tasks[0].config), {"hidden": [8]})
    assert isinstance(module.action_space, spaces.Discrete)
    spec = LearnerSpec(module, (MemberSpec(1, tasks, meta=MAML),), (Phase(2, 4, 10),), PPOSettings(epochs=1))
    _, curve, _ = outcome(build(spec))
    np.testing.assert_array_equal(curve.episodes, [8, 16])
