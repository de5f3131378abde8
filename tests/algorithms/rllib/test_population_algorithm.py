import logging
from dataclasses import replace

import numpy as np
import pytest
import torch

from roamrl.algorithms.bundle import ModuleSpec
from roamrl.algorithms.learner_spec import LearnerSpec, MemberSpec, Phase
from roamrl.algorithms.population.batch import build_batch
from roamrl.algorithms.population.losses import LossWeights, Minibatch, ppo_loss
from roamrl.algorithms.rllib.config import PopulationConfig
from roamrl.algorithms.rllib.learner_folder import write_learner
from roamrl.algorithms.rllib.outcome import read_curve, read_done, read_snapshot
from roamrl.envs.errors import InputError
from roamrl.envs.slicing import SLICING

pytestmark = [pytest.mark.ray, pytest.mark.timeout(120)]

PHASES = (Phase(3, 4, 6), Phase(2, 2, 8, whole_episodes=True), Phase(2, 2, 5))


def run_to_end(algorithm):
    while not (result := algorithm.train())["done"]:
        pass
    algorithm.stop()
    return result


def folder_config(folder, **settings):
    return PopulationConfig().population(folder=folder, **settings)


def assert_same_outcome(one, other):
    ours, theirs = read_curve(one), read_curve(other)
    for name in ("iteration", "env_steps", "episodes", "return_mean"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name), strict=True, err_msg=name)
    for group in ("measures", "losses"):
        for name, values in getattr(ours, group).items():
            np.testing.assert_array_equal(values, getattr(theirs, group)[name], strict=True, err_msg=name)
    for name, values in vars(ours.tasks).items():
        np.testing.assert_array_equal(values, getattr(theirs.tasks, name), strict=True, err_msg=name)
    files = sorted(path.name for path in one.glob("snapshot-*"))
    assert files == sorted(path.name for path in other.glob("snapshot-*")) and files
    for name in files:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


@pytest.fixture
def folders(tmp_path, toy_learner):
    """Two folders with one learner, which goes through phases of every shape."""
    spec = replace(toy_learner(iterations=1), phases=PHASES, snapshots=(0, 3, 7))
    for name in ("a", "b"):
        write_learner(tmp_path / name, spec)
    return tmp_path / "a", tmp_path / "b", spec


def test_cartpole_is_solved(local_ray, cartpole_learner):
    config = PopulationConfig().environment("CartPole-v1")
    algorithm = config.population(learner=cartpole_learner(), iterations_per_report=5).build_algo()
    result = run_to_end(algorithm)
    assert np.nanmean(algorithm.curve().return_mean[-5:]) >= 475.0
    assert result["env_runners"]["episode_return_mean"] >= 475.0
    assert result["num_env_steps_sampled_lifetime"] == 40 * 16 * 128


def test_a_finished_learner_leaves_snapshots_curve_and_mark(local_ray, folders):
    folder, _, _ = folders
    results = []
    algorithm = folder_config(folder, iterations_per_report=2).build_algo()
    while not results or not results[-1]["done"]:
        results.append(algorithm.train())
        assert (read_done(folder) is not None) == results[-1]["done"]
    assert len(results) == 4, "seven iterations make four reports of at most two"
    curve, done = read_curve(folder), read_done(folder)
    np.testing.assert_array_equal(curve.iteration, np.arange(1, 8))
    np.testing.assert_array_equal(curve.env_steps, [24, 48, 72, 88, 104, 114, 124])
    assert curve.return_mean.shape == curve.measures["distance"].shape == curve.losses["kl"].shape == (7, 2)
    assert (done.iterations, done.env_steps, done.skipped) == (7, 124, (0, 0))
    assert 0 < done.cpu_s and 0 < done.wall_s
    assert done.peak_memory_mb is None or done.peak_memory_mb > 50
    assert results[-1]["env_runners"]["measures"]["distance"] == pytest.approx(curve.measures["distance"][-1].mean())
    untrained, trained = read_snapshot(folder, 0), read_snapshot(folder, 7)
    for before, after, now in zip(untrained, trained, algorithm.bundles(), strict=True):
        assert not np.array_equal(before.arrays["actor.0.weight"], after.arrays["actor.0.weight"])
        np.testing.assert_array_equal(after.arrays["actor.0.weight"], now.arrays["actor.0.weight"])
    algorithm.stop()


@pytest.mark.parametrize("at", [1, 3, 4, 6])
def test_a_resumed_run_ends_as_an_undisturbed_one(local_ray, folders, tmp_path, at):
    undisturbed, resumed, _ = folders
    run_to_end(folder_config(undisturbed).build_algo())
    first = folder_config(resumed).build_algo()
    for _ in range(at):
        first.train()
    first.save_to_path(tmp_path / "checkpoint")
    first.train()
    first.stop()
    second = folder_config(resumed).build_algo()
    second.restore_from_path(tmp_path / "checkpoint")
    result = run_to_end(second)
    assert_same_outcome(undisturbed, resumed)
    assert result["num_env_steps_sampled_lifetime"] == 2 * 124


def test_a_run_in_slicing_cells_resumes_too(local_ray, tmp_path):
    tasks = SLICING.sample(4, 0, config={"episode_windows": 20})
    observations, actions = SLICING.spaces(tasks[0].config)
    spec = LearnerSpec(
        ModuleSpec("mlp", observations, actions),
        (MemberSpec(1, tasks[:2]), MemberSpec(2, tasks[2:])),
        (Phase(4, 3, 15),),
        snapshots=(4,),
    )
    for name in ("a", "b"):
        write_learner(tmp_path / name, spec)
    run_to_end(folder_config(tmp_path / "a").build_algo())
    first = folder_config(tmp_path / "b").build_algo()
    first.train()
    first.train()
    first.save_to_path(tmp_path / "checkpoint")
    first.stop()
    second = folder_config(tmp_path / "b").build_algo()
    second.restore_from_path(tmp_path / "checkpoint")
    run_to_end(second)
    assert_same_outcome(tmp_path / "a", tmp_path / "b")
    curve = read_curve(tmp_path / "a")
    assert set(curve.measures) == set(SLICING.measures)
    assert curve.measures["violation_rate"].shape == (4, 2)
    np.testing.assert_array_equal(curve.episodes, [0, 3, 6, 9])


def test_an_algorithm_goes_back_to_an_earlier_checkpoint(local_ray, folders, tmp_path):
    undisturbed, again, _ = folders
    run_to_end(folder_config(undisturbed).build_algo())
    algorithm = folder_config(again).build_algo()
    algorithm.train()
    algorithm.save_to_path(tmp_path / "checkpoint")
    for _ in range(4):
        algorithm.train()
    algorithm.restore_from_path(tmp_path / "checkpoint")
    run_to_end(algorithm)
    assert_same_outcome(undisturbed, again)


def test_a_reset_algorithm_trains_as_a_new_one(local_ray, folders, tmp_path, toy_learner):
    fresh, reused, spec = folders
    other = tmp_path / "other"
    write_learner(other, toy_learner(seeds=(8, 9, 10), iterations=2))
    run_to_end(folder_config(fresh).build_algo())
    algorithm = folder_config(other).build_algo()
    while not algorithm.train()["done"]:
        pass
    assert algorithm.reset({"folder": str(reused)})
    assert algorithm.spec.members == spec.members
    result = run_to_end(algorithm)
    assert (result["training_iteration"], result["num_env_steps_sampled_lifetime"]) == (7, 2 * 124)
    assert_same_outcome(fresh, reused)


def test_members_train_together_as_alone(local_ray, toy_learner):
    def trained(seeds):
        algorithm = PopulationConfig().population(learner=toy_learner(seeds=seeds, iterations=3)).build_algo()
        run_to_end(algorithm)
        return algorithm.bundles(), algorithm.curve()

    together, curve = trained((3, 4, 5))
    for member, seed in enumerate((3, 4, 5)):
        (alone,), own = trained((seed,))
        np.testing.assert_allclose(curve.return_mean[:, member], own.return_mean[:, 0], rtol=1e-4)
        for name, array in alone.arrays.items():
            np.testing.assert_allclose(together[member].arrays[name], array, atol=1e-4, err_msg=name)


def test_a_member_starts_from_the_policy_it_is_given(local_ray, toy_learner):
    source = PopulationConfig().population(learner=toy_learner(seeds=(7,), iterations=1)).build_algo()
    run_to_end(source)
    (expert,) = source.bundles()
    fresh = toy_learner(iterations=2)
    members = (fresh.members[0], replace(fresh.members[1], initial=expert, frozen_steps=10**6))
    algorithm = PopulationConfig().population(learner=replace(fresh, members=members)).build_algo()
    start = algorithm.bundles()
    played = algorithm.env_runner.module.stacked.member_state(1)
    for name, array in expert.arrays.items():
        np.testing.assert_array_equal(start[1].arrays[name], array, err_msg=name)
        np.testing.assert_array_equal(played[name], array, err_msg=f"the runner's {name}")
    run_to_end(algorithm)
    end = algorithm.bundles()
    np.testing.assert_array_equal(end[1].arrays["actor.0.weight"], expert.arrays["actor.0.weight"])
    assert not np.array_equal(end[0].arrays["actor.0.weight"], start[0].arrays["actor.0.weight"])


def test_rllibs_own_loss_hook_gives_the_engines_loss(local_ray, toy_learner):
    algorithm = PopulationConfig().population(learner=toy_learner()).build_algo()
    learner = algorithm.learner_group._learner
    (rollout,) = algorithm.env_runner.sample(iteration=0)
    batch = build_batch(learner.stacked, rollout, learner.spec.ppo)
    columns = {
        "obs": batch.obs,
        "actions": batch.actions,
        "action_logp": batch.logp,
        "advantages": batch.advantages,
        "value_targets": batch.returns,
    }
    loss = learner.compute_loss_for_module(
        module_id="default_policy",
        config=algorithm.config,
        batch={name: column.transpose(0, 1) for name, column in columns.items()},
        fwd_out={},
    )
    rows = Minibatch(
        learner.stacked.prepare(batch.obs),
        batch.actions,
        batch.logp,
        batch.advantages,
        learner.stacked.standardise_returns(batch.returns, batch.obs),
    )
    member = learner.spec.members[0]
    clip, entropy = torch.full((2,), member.clip), torch.full((2,), member.entropy_coeff)
    by = LossWeights(clip, entropy, torch.ones(2), torch.zeros(2))
    own, _ = ppo_loss(learner.stacked, learner.stacked.weights, rows, by, learner.spec.ppo)
    torch.testing.assert_close(loss, own.sum())
    with torch.no_grad():
        out = learner.module["default_policy"].forward_train({"obs": batch.obs.transpose(0, 1)})
    torch.testing.assert_close(out["vf_preds"], batch.values.T)
    assert out["action_dist_inputs"].shape == (24, 2, 3)
    algorithm.stop()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_learners": 2}, "num_learners=2"),
        ({"num_env_runners": 3}, "num_env_runners=3 for 2 members"),
        ({"iterations_per_report": 0}, "at least 1"),
        ({"folder": "relative/folder"}, "absolute"),
        ({"folder": None}, "once"),
        ({"folder": "/nowhere/at/all"}, "holds no learner.json"),
    ],
)
def test_what_cannot_be_run_is_an_error(local_ray, folders, settings, message):
    config = {"folder": str(folders[0]), **settings}
    with pytest.raises(InputError, match=message):
        PopulationConfig().update_from_dict(config).build_algo()


def test_rllib_says_nothing(local_ray, toy_learner, capfd, caplog):
    with caplog.at_level(logging.WARNING):
        run_to_end(PopulationConfig().population(learner=toy_learner(iterations=1)).build_algo())
    assert not caplog.records
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_a_remote_learner_learns_the_same(local_ray, folders):
    local, remote, _ = folders
    run_to_end(folder_config(local).build_algo())
    run_to_end(folder_config(remote).learners(num_learners=1).build_algo())
    assert_same_outcome(local, remote)
