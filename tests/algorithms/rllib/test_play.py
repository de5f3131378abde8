import numpy as np
import pytest

from roamrl.algorithms.learner_spec import Phase
from roamrl.algorithms.population.acting import noise_generators
from roamrl.algorithms.population.modules.build import build_module
from roamrl.algorithms.rllib.environments import make_rows
from roamrl.algorithms.rllib.play import Player
from roamrl.envs.errors import InputError

ENVS = 4


def player_of(spec, envs=ENVS, env_id=None):
    seeds = [member.seed for member in spec.members]
    return Player(make_rows(spec, envs, env_id), noise_generators(seeds), envs), build_module(spec.module, seeds)


def assert_equal_rollouts(one, other):
    for name in vars(one):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), strict=True, err_msg=name)


def test_a_member_plays_alike_alone_and_in_company(toy_learner):
    together, module = player_of(toy_learner(seeds=(3, 4, 5)))
    alone, own = player_of(toy_learner(seeds=(4,)))
    together.start(0)
    alone.start(0)
    many, many_stats = together.play(module, 20, 0.9)
    one, one_stats = alone.play(own, 20, 0.9)
    for name in ("obs", "actions", "rewards", "terminated", "truncated"):
        np.testing.assert_array_equal(getattr(many, name)[:, 1], getattr(one, name)[:, 0], err_msg=name)
    np.testing.assert_allclose(many.logp[:, 1], one.logp[:, 0], atol=1e-6)
    np.testing.assert_array_equal(many_stats.return_mean()[1:2], one_stats.return_mean())
    np.testing.assert_array_equal(many_stats.measures["distance"][1:2], one_stats.measures["distance"])


def test_counts_agree_with_the_rollout(toy_learner):
    player, module = player_of(toy_learner())
    player.start(0)
    rollout, stats = player.play(module, 40, 0.9)
    ends = rollout.terminated | rollout.truncated
    np.testing.assert_array_equal(stats.ended, ends.sum(axis=(0, 2)))
    np.testing.assert_allclose(stats.measures["distance"], -rollout.rewards.mean(axis=(0, 2)), rtol=1e-5)
    first = np.argmax(ends[:, 0, 0])
    assert rollout.rewards[: first + 1, 0, 0].sum() == pytest.approx(
        sum(rollout.rewards[step, 0, 0] for step in range(first + 1))
    )
    total = rollout.rewards.sum(axis=(0, 2)) - player.state()["returns"].sum(axis=1)
    np.testing.assert_allclose(stats.return_sum, total, rtol=1e-4)


def test_truncated_episodes_keep_the_observation_they_ended_in(toy_learner):
    player, module = player_of(toy_learner())
    player.start(0)
    rollout, _ = player.play(module, 20, 0.9)
    np.testing.assert_array_equal(rollout.final_at, np.argwhere(rollout.truncated))
    step, member, env = rollout.final_at.T
    np.testing.assert_array_equal(rollout.final_obs[:, 2], np.ones(len(step)), "the clock stands at the episode's end")
    within = step + 1 < len(rollout)
    after = rollout.obs[step[within] + 1, member[within], env[within], 2]
    np.testing.assert_array_equal(after, np.zeros(within.sum()), "a new episode begins at once")


def test_play_before_start_is_an_error(toy_learner):
    player, module = player_of(toy_learner())
    with pytest.raises(InputError, match="before start"):
        player.play(module, 1, 0.9)


@pytest.mark.parametrize("env_id", [None, "CartPole-v1"])
def test_a_restored_player_goes_on_bit_for_bit(toy_learner, cartpole_learner, env_id):
    spec = toy_learner() if env_id is None else cartpole_learner(seeds=(1, 2))
    player, module = player_of(spec, env_id=env_id)
    player.start(0)
    player.play(module, 13, 0.9)
    state = player.state()
    expected, _ = player.play(module, 30, 0.9)
    other, _ = player_of(spec, env_id=env_id)
    other.restore(state)
    assert_equal_rollouts(expected, other.play(module, 30, 0.9)[0])


def test_gymnasium_members_differ_by_seed_and_not_by_company(cartpole_learner):
    together = make_rows(cartpole_learner(seeds=(1, 2)), 3, "CartPole-v1").start(5)
    alone = make_rows(cartpole_learner(seeds=(2,)), 3, "CartPole-v1").start(5)
    np.testing.assert_array_equal(together[3:], alone)
    assert len(np.unique(together, axis=0)) == 6


def test_rows_need_tasks_for_all_members_or_an_environment(toy_learner, cartpole_learner):
    with pytest.raises(InputError, match="no environment is named"):
        make_rows(cartpole_learner(), 2)
    mixed = toy_learner()
    object.__setattr__(mixed, "members", (mixed.members[0], cartpole_learner().members[0]))
    with pytest.raises(InputError, match="1 of 2 members"):
        make_rows(mixed, 2, "CartPole-v1")


def test_whole_episodes_start_anew(toy_learner):
    spec = toy_learner(length=8, whole_episodes=True)
    assert spec.phases == (Phase(4, 4, 8, True),)
    player, module = player_of(spec)
    player.start(1)
    first, stats = player.play(module, 8, 0.9)
    assert stats.ended.sum() == (first.terminated | first.truncated).sum() >= 2 * ENVS
    player.start(1)
    again, _ = player.play(module, 8, 0.9)
    np.testing.assert_array_equal(first.obs[0], again.obs[0])
    player.start(2)
    later, _ = player.play(module, 8, 0.9)
    assert not np.array_equal(first.obs[0], later.obs[0])
