"""Policies with memory through the whole Algorithm: killed and resumed, or played by others, it ends the same."""

from dataclasses import replace

import numpy as np
import pytest

from roamrl.algorithms.bundle import ModuleSpec
from roamrl.algorithms.feedback import with_feedback
from roamrl.algorithms.learner_spec import LearnerSpec, MemberSpec, Phase, PPOSettings
from roamrl.algorithms.rllib.config import PopulationConfig
from roamrl.algorithms.rllib.learner_folder import read_learner, write_learner
from roamrl.algorithms.rllib.outcome import read_curve, read_snapshot
from roamrl.envs import family as families
from roamrl.envs.errors import InputError
from roamrl.envs.slicing import SLICING

pytestmark = [pytest.mark.ray, pytest.mark.timeout(240)]

PHASES = (Phase(3, 4, 5), Phase(2, 2, 4, whole_episodes=True), Phase(1, 2, 5))
MODELS = {"gru": {"hidden": [8], "memory": 6}, "latent": {"hidden": [8], "encoder": [6], "latent": 2}}


def make_learner(kind, tasks, seeds=(3, 4)):
    spec = ModuleSpec(kind, *families.family_of(tasks).spaces(dict(tasks[0].config)), MODELS[kind])
    spec = with_feedback(spec, noise=2 if kind == "latent" else 0, trial_episodes=3)
    members = tuple(MemberSpec(seed, tasks) for seed in seeds)
    return LearnerSpec(spec, members, PHASES, PPOSettings(epochs=2, minibatches=2), snapshots=(0, 3, 6))


def run_to_end(algorithm):
    while not algorithm.train()["done"]:
        pass
    algorithm.stop()


def assert_same_outcome(one, other):
    ours, theirs = read_curve(one), read_curve(other)
    np.testing.assert_array_equal(ours.return_mean, theirs.return_mean, strict=True)
    np.testing.assert_array_equal(ours.losses["loss"], theirs.losses["loss"], strict=True)
    files = sorted(path.name for path in one.glob("snapshot-*"))
    assert len(files) == 3
    for name in files:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


@pytest.mark.parametrize("kind", ["gru", "latent"])
@pytest.mark.parametrize("at", [1, 3])
def test_a_resumed_run_ends_as_an_undisturbed_one(local_ray, tmp_path, bandits, kind, at):
    for name in ("a", "b"):
        write_learner(tmp_path / name, make_learner(kind, bandits))
    run_to_end(PopulationConfig().population(folder=tmp_path / "a").build_algo())
    first = PopulationConfig().population(folder=tmp_path / "b").build_algo()
    for _ in range(at):
        first.train()
    first.save_to_path(tmp_path / "checkpoint")
    first.train()
    first.stop()
    second = PopulationConfig().population(folder=tmp_path / "b").build_algo()
    second.restore_from_path(tmp_path / "checkpoint")
    run_to_end(second)
    assert_same_outcome(tmp_path / "a", tmp_path / "b")


@pytest.mark.slow
def test_several_runners_play_the_same(local_ray, tmp_path):
    tasks = SLICING.sample(2, 0, config={"episode_windows": 2})
    for name in ("a", "b"):
        write_learner(tmp_path / name, make_learner("gru", tasks))
    run_to_end(PopulationConfig().population(folder=tmp_path / "a").build_algo())
    config = PopulationConfig().population(folder=tmp_path / "b").env_runners(num_env_runners=2)
    run_to_end(config.build_algo())
    for one, other in zip(read_snapshot(tmp_path / "a", 6), read_snapshot(tmp_path / "b", 6), strict=True):
        for name, array in one.arrays.items():
            np.testing.assert_allclose(other.arrays[name], array, atol=1e-4, err_msg=name)


def test_a_learners_folder_keeps_what_its_policies_read(tmp_path, bandits):
    learner = make_learner("latent", bandits)
    write_learner(tmp_path / "a", learner)
    assert read_learner(tmp_path / "a").module.to_json() == learner.module.to_json()
    assert read_learner(tmp_path / "a").module.extras.trial_episodes == 3


def test_what_has_no_compiled_path_is_refused(local_ray, bandits):
    learner = make_learner("gru", bandits)
    learner = replace(learner, ppo=replace(learner.ppo, compiled=True))
    algorithm = PopulationConfig().population(learner=learner).build_algo()
    with pytest.raises(InputError, match="no compiled path"):
        algorithm.train()
    algorithm.stop()
