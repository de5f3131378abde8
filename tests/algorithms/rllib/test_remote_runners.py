import numpy as np
import pytest

from roamrl.algorithms.bundle import ModuleSpec
from roamrl.algorithms.learner_spec import LearnerSpec, MemberSpec, Phase
from roamrl.algorithms.rllib.config import PopulationConfig
from roamrl.envs.slicing import SLICING

pytestmark = [pytest.mark.ray, pytest.mark.timeout(240)]

CONFIG = {"episode_windows": 6}


@pytest.fixture
def learner():
    """Three members on cells of their own, in a phase that goes on and one of whole episodes."""
    tasks = SLICING.sample(4, 5, config=CONFIG)
    spaces = SLICING.spaces(tasks[0].config)
    members = tuple(MemberSpec(seed, (tasks[seed], tasks[3])) for seed in range(3))
    phases = (Phase(2, 2, 5), Phase(2, 2, 6, whole_episodes=True))
    return LearnerSpec(ModuleSpec("mlp", *spaces, {"hidden": [16]}), members, phases)


def _build(learner, runners):
    return PopulationConfig().population(learner=learner).env_runners(num_env_runners=runners).build_algo()


def _outcome(algorithm):
    while not (result := algorithm.train())["done"]:
        pass
    curve, bundles = algorithm.curve(), algorithm.bundles()
    algorithm.stop()
    return result, curve, bundles


def _assert_same(one, other):
    np.testing.assert_array_equal(one[1].return_mean, other[1].return_mean)
    np.testing.assert_array_equal(one[1].episodes, other[1].episodes)
    for name, values in vars(one[1].tasks).items():
        np.testing.assert_array_equal(getattr(other[1].tasks, name), values, err_msg=name)
    for ours, theirs in zip(one[2], other[2], strict=True):
        for name, array in ours.arrays.items():
            np.testing.assert_allclose(array, theirs.arrays[name], atol=1e-6, err_msg=name)


def test_remote_runners_play_what_a_local_one_plays(local_ray, learner):
    local, remote = (_outcome(_build(learner, runners)) for runners in (0, 2))
    _assert_same(local, remote)
    assert local[0]["num_env_steps_sampled_lifetime"] == remote[0]["num_env_steps_sampled_lifetime"] == 3 * 44


def test_remote_runners_go_on_in_the_middle_of_their_episodes(local_ray, learner, tmp_path):
    whole = _outcome(_build(learner, 2))
    first = _build(learner, 2)
    first.train()
    checkpoint = first.save_to_path(str(tmp_path / "checkpoint"))
    first.stop()
    second = _build(learner, 2)
    second.restore_from_path(checkpoint)
    _assert_same(whole, _outcome(second))
