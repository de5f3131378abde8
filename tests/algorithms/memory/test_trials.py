"""Rollouts of policies with memory: what is kept, what begins anew, and what the learner makes of it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from gymnasium import spaces

from roamrl.algorithms.bundle import ModuleSpec
from roamrl.algorithms.extras import Extras
from roamrl.algorithms.feedback import with_feedback
from roamrl.algorithms.learner_spec import LearnerSpec, MemberSpec, Phase, PPOSettings
from roamrl.algorithms.population.acting import noise_generators
from roamrl.algorithms.population.batch import build_batch, generalised_advantages
from roamrl.algorithms.population.fit import fit
from roamrl.algorithms.population.modules.build import build_module
from roamrl.algorithms.population.rollout import join_members
from roamrl.algorithms.rllib.environments import make_rows
from roamrl.algorithms.rllib.play import Player
from roamrl.envs.errors import InputError

ENVS, EPISODES, PULLS = 4, 3, 2


@pytest.fixture
def trial_learner(learner, bandits):
    """Makes learners in which a trial is three episodes, two pulls each, on one bandit."""

    def make(seeds=(3, 4), noise=0, **model):
        observations, actions = learner(bandits).module.observation_space, learner(bandits).module.action_space
        plain = ModuleSpec("gru", observations, actions, {"hidden": [8], "memory": 6, **model})
        return learner(bandits, with_feedback(plain, noise=noise, trial_episodes=EPISODES), seeds, ENVS)

    return make


def player_of(spec):
    seeds = [member.seed for member in spec.members]
    player = Player(make_rows(spec, ENVS), noise_generators(seeds), ENVS)
    player.start(0)
    return player, build_module(spec.module, seeds)


def assert_equal_rollouts(one, other):
    for name in vars(one):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), strict=True, err_msg=name)


def replayed(module, rollout):
    """Return the memories before each step and the logits of a rollout, step by step, from its own record."""
    memory, befores, logits = torch.from_numpy(rollout.first_memory), [], []
    for step in range(len(rollout)):
        befores.append(memory)
        out, memory = module.step(torch.from_numpy(rollout.obs[step]), memory)
        logits.append(out)
        ended = torch.from_numpy(rollout.terminated[step] | rollout.truncated[step])
        memory = torch.where(ended[..., None], 0.0, memory)
    return torch.stack(befores), torch.stack(logits), memory


def test_memory_and_feedback_begin_anew_with_each_trial_and_live_on_within_it(trial_learner):
    player, module = player_of(trial_learner())
    first, stats = player.play(module, 15, 0.9)
    second, _ = player.play(module, 9, 0.9)
    ends = np.concatenate([first.truncated, second.truncated])
    at = np.arange(24)
    np.testing.assert_array_equal(ends, np.broadcast_to((at % (EPISODES * PULLS) == 5)[:, None, None], ends.shape))
    assert stats.ended.tolist() == [7 * ENVS] * 2, "seven of the episodes' ends, whether their trials' or not"
    with torch.no_grad():
        memories, _, left = replayed(module, first)
    np.testing.assert_array_equal(first.first_memory, 0.0)
    for step in range(1, 15):
        assert bool((memories[step] == 0.0).all()) == (step % 6 < 2), "the first observation of a trial is all zeros"
    np.testing.assert_allclose(second.first_memory, left, atol=1e-6)
    obs, actions = (np.concatenate([getattr(r, name) for r in (first, second)]) for name in ("obs", "actions"))
    rewards = np.concatenate([first.rewards, second.rewards])
    for step in range(24):
        fed_back = obs[step, ..., 1:]
        if step % 6 == 0:
            np.testing.assert_array_equal(fed_back, 0.0)
            continue
        np.testing.assert_array_equal(fed_back[..., :2], np.eye(2)[actions[step - 1]])
        np.testing.assert_array_equal(fed_back[..., 2], rewards[step - 1])
        np.testing.assert_array_equal(fed_back[..., 3], float(step % 2 == 0))


def test_a_trial_is_on_one_task_and_the_next_one_on_the_next(trial_learner):
    player, module = player_of(trial_learner(seeds=(3,)))
    rollout, _ = player.play(module, 24, 0.9)
    trial = np.arange(24) // (EPISODES * PULLS)
    expected = (np.arange(ENVS)[None] + trial[:, None] * ENVS) % 2
    np.testing.assert_array_equal(rollout.tasks[:, 0], expected)
    player.start(5)
    again, _ = player.play(module, 6, 0.9)
    np.testing.assert_array_equal(again.tasks[:, 0], np.broadcast_to((np.arange(ENVS) + 5 * ENVS) % 2, (6, ENVS)))


def test_a_cut_trial_is_kept_as_if_it_went_on(trial_learner):
    player, module = player_of(trial_learner(noise=2))
    rollout, _ = player.play(module, 13, 0.9)
    np.testing.assert_array_equal(rollout.final_at, np.argwhere(rollout.truncated))
    assert len(rollout.final_at) == 2 * 2 * ENVS
    step, member, env = rollout.final_at.T
    final = rollout.final_obs
    np.testing.assert_array_equal(final[:, 0], PULLS)
    np.testing.assert_array_equal(final[:, 1:3], np.eye(2)[rollout.actions[step, member, env]])
    np.testing.assert_array_equal(final[:, 3], rollout.rewards[step, member, env])
    np.testing.assert_array_equal(final[:, 4], 0.0, "nothing has ended, were it not for the limit")
    np.testing.assert_array_equal(final[:, 5:], rollout.obs[step, member, env, 5:])


def test_noise_is_drawn_for_each_episode_and_held(trial_learner):
    player, module = player_of(trial_learner(noise=2, seeds=(3, 4)))
    rollout, _ = player.play(module, 24, 0.9)
    noise = rollout.obs[..., 5:].reshape(12, PULLS, 2, ENVS, 2)
    np.testing.assert_array_equal(noise[:, 0], noise[:, 1])
    assert len(np.unique(noise[:, 0].reshape(-1, 2), axis=0)) == 12 * 2 * ENVS
    assert abs(noise.mean()) < 0.3
    assert noise.std() == pytest.approx(1.0, abs=0.2)


@pytest.mark.parametrize("noise", [0, 2])
def test_a_member_plays_alike_alone_and_in_company(trial_learner, noise):
    together, module = player_of(trial_learner(seeds=(3, 4, 5), noise=noise))
    alone, own = player_of(trial_learner(seeds=(4,), noise=noise))
    for _ in range(2):
        many, _ = together.play(module, 7, 0.9)
        one, _ = alone.play(own, 7, 0.9)
        for name in ("obs", "actions", "rewards", "truncated"):
            np.testing.assert_array_equal(getattr(many, name)[:, 1], getattr(one, name)[:, 0], err_msg=name)
        np.testing.assert_allclose(many.first_memory[1], one.first_memory[0], atol=1e-6)


@pytest.mark.parametrize("noise", [0, 2])
def test_a_restored_player_goes_on_bit_for_bit(trial_learner, noise):
    spec = trial_learner(noise=noise)
    player, module = player_of(spec)
    player.play(module, 7, 0.9)
    state = player.state()
    expected = [player.play(module, 9, 0.9)[0] for _ in range(2)]
    other, _ = player_of(spec)
    other.play(module, 3, 0.9)
    other.restore(state)
    for rollout in expected:
        assert_equal_rollouts(rollout, other.play(module, 9, 0.9)[0])


def test_values_meet_every_observation_with_its_own_memory(trial_learner):
    player, module = player_of(trial_learner())
    player.play(module, 4, 0.9)
    rollout, _ = player.play(module, 11, 0.9)
    module.observe_returns(torch.tensor([[3.0, 7.0]] * 2), torch.zeros(2, 2, 5))
    with torch.no_grad():
        memories, _, left = replayed(module, rollout)
        values = torch.stack(
            [module.step_values(torch.from_numpy(o), m) for o, m in zip(rollout.obs, memories, strict=True)]
        ).numpy()
        last = module.step_values(torch.from_numpy(rollout.last_obs), left).numpy()
        next_values = np.concatenate([values[1:], last[None]])
        for number, (step, member, env) in enumerate(rollout.final_at):
            _, after = module.step(torch.from_numpy(rollout.obs[step]), memories[step])
            obs = torch.from_numpy(np.broadcast_to(rollout.final_obs[number], rollout.last_obs.shape).copy())
            next_values[step, member, env] = module.step_values(obs, after)[member, env]
    ppo = PPOSettings(gamma=0.9, gae_lambda=0.8)
    batch = build_batch(module, rollout, ppo)
    ends = (rollout.terminated, rollout.truncated)
    advantages = generalised_advantages(rollout.rewards, values, next_values, rollout.discounts, *ends, 0.8)
    by_row = (advantages + values).transpose(1, 2, 0).reshape(2, -1)
    np.testing.assert_allclose(batch.values, values.transpose(1, 2, 0).reshape(2, -1), rtol=1e-5)
    np.testing.assert_allclose(batch.returns, by_row, rtol=1e-4)
    np.testing.assert_array_equal(batch.obs.reshape(2, ENVS, 11, -1)[:, 1, 3], rollout.obs[3, :, 1])


@pytest.mark.parametrize(("backward_steps", "length"), [(None, 12), (4, 4), (5, 4), (100, 12), (1, 1)])
def test_sequences_are_cut_with_the_memory_they_began_with(trial_learner, backward_steps, length):
    player, module = player_of(trial_learner(backward_steps=backward_steps))
    player.play(module, 3, 0.9)
    rollout, _ = player.play(module, 12, 0.9)
    batch = build_batch(module, rollout, PPOSettings())
    assert batch.sequence_length == length
    with torch.no_grad():
        _, logits, _ = replayed(module, rollout)
        found, _ = module.evaluate(batch.recurrence.sequences(module.prepare(batch.obs)), module.weights)
    np.testing.assert_allclose(found, logits.permute(1, 2, 0, 3).flatten(1, 2), atol=1e-5)


def test_the_first_update_is_on_the_policy_that_acted(trial_learner, run):
    spec = replace(trial_learner(), ppo=PPOSettings(gamma=0.9, epochs=1, minibatches=1))
    own = run(spec).iterate(4)
    for stats in own.stats:
        np.testing.assert_allclose(stats["kl"], 0.0, atol=1e-5)
        np.testing.assert_allclose(stats["clip_fraction"], 0.0)


def test_minibatches_are_whole_sequences(trial_learner, run):
    own = run(replace(trial_learner(), ppo=PPOSettings(epochs=3, minibatches=100))).iterate(1)
    assert own.optimiser.updates.tolist() == [3.0 * ENVS] * 2


@pytest.mark.parametrize("block_rows", [1, 25, 10_000])
def test_blocks_give_the_gradient_of_the_whole(trial_learner, run, monkeypatch, block_rows):
    results = []
    for rows in (block_rows, 1 << 20):
        monkeypatch.setattr("roamrl.algorithms.population.fit.BLOCK_ROWS", rows)
        own = run(trial_learner(seeds=(1, 2, 3))).iterate(2)
        results.append(own.module.weights.detach())
    torch.testing.assert_close(results[0], results[1], rtol=0, atol=1e-4)


def test_members_learn_together_as_alone(trial_learner, run):
    together, alone = run(trial_learner(seeds=(3, 4, 5))).iterate(4), run(trial_learner(seeds=(4,))).iterate(4)
    expected = alone.module.member_state(0)
    for name, array in together.module.member_state(1).items():
        np.testing.assert_allclose(array, expected[name], rtol=0, atol=1e-4, err_msg=name)


def test_one_members_nan_leaves_the_others_bitwise_alone(trial_learner, run):
    clean, spoiled = run(trial_learner()), run(trial_learner())
    with torch.no_grad():
        spoiled.module.weights[0, 5] = torch.nan
    clean.iterate(3), spoiled.iterate(3)
    np.testing.assert_array_equal(clean.module.weights[1].detach(), spoiled.module.weights[1].detach())
    assert [stats["skipped"].tolist() for stats in spoiled.stats] == [[16, 0]] * 3


def test_shares_of_members_are_joined_with_their_memories(trial_learner):
    parts = []
    for seed in (3, 4):
        player, module = player_of(trial_learner(seeds=(seed,)))
        player.play(module, 3, 0.9)
        parts.append(player.play(module, 3, 0.9)[0])
    joined = join_members(parts)
    np.testing.assert_array_equal(joined.first_memory, np.concatenate([part.first_memory for part in parts]))


def test_a_rollout_of_others_is_refused(trial_learner):
    player, module = player_of(trial_learner())
    rollout, _ = player.play(module, 3, 0.9)
    with pytest.raises(InputError, match="first_memory"):
        build_batch(module, replace(rollout, first_memory=None), PPOSettings())


def test_continuous_actions_are_fed_back_as_the_environment_got_them():
    observations, actions = spaces.Box(-np.inf, np.inf, (3,), np.float32), spaces.Box(-2.0, 2.0, (1,), np.float32)
    module = with_feedback(ModuleSpec("gru", observations, actions, {"hidden": [8], "memory": 6}))
    spec = LearnerSpec(module, (MemberSpec(1), MemberSpec(2)), (Phase(1, 3, 20),))
    player = Player(make_rows(spec, 3, "Pendulum-v1"), noise_generators([1, 2]), 3)
    player.start(0)
    policies = build_module(module, [1, 2])
    with torch.no_grad():
        policies.weights.add_(1.0)
    rollout, _ = player.play(policies, 20, 0.9)
    assert (np.abs(rollout.actions) > 2.0).any()
    np.testing.assert_array_equal(rollout.obs[1:, ..., 3:4], np.clip(rollout.actions[:-1], -2.0, 2.0))
    np.testing.assert_array_equal(rollout.obs[1:, ..., 4], rollout.rewards[:-1])


def test_an_environment_without_tasks_tells_nothing_of_one():
    space = spaces.Box(-np.inf, np.inf, (4,), np.float32)
    module = ModuleSpec("gru", space, spaces.Discrete(2), {}, Extras("number"))
    with pytest.raises(InputError, match="without tasks"):
        make_rows(LearnerSpec(module, (MemberSpec(1),), (Phase(1, 1, 1),)), 1, "CartPole-v1")


def test_a_policy_with_memory_solves_what_none_without_can(learner, corridor, run):
    """Before the corridor's end no action counts, and its end always looks the same: -1 and 1 are equally likely."""
    spec = learner(corridor, seeds=(1, 2))
    observations, actions = spec.module.observation_space, spec.module.action_space
    without = learner(corridor, ModuleSpec("mlp", observations, actions, {"hidden": [16]}), seeds=(1, 2))
    own, other = run(spec).iterate(20), run(without).iterate(20)
    assert (own.recent() * 5 > 0.85).all()
    assert (np.abs(other.recent() * 5) < 0.4).all()


def test_fit_counts_the_steps_of_sequences(trial_learner, run):
    own = run(trial_learner())
    rollout, _ = own.player.play(own.module, 12, 0.9)
    batch = build_batch(own.module, rollout, own.spec.ppo)
    fit(own.module, own.optimiser, batch, own.hyper, own.spec.ppo, own.generator)
    assert own.optimiser.env_steps.tolist() == [12 * ENVS] * 2
    assert own.module.observations.count.tolist() == [12.0 * ENVS] * 2
