"""Finished policies with memory: they act like the players they come from, and only when told when they begin."""

import numpy as np
import pytest
import torch

from roamrl.algorithms.bundle import ModuleSpec
from roamrl.algorithms.feedback import with_feedback
from roamrl.algorithms.population.acting import StackedPolicy
from roamrl.algorithms.population.modules.build import build_module, to_bundle
from roamrl.envs import family as families
from roamrl.envs.errors import InputError

EPISODES, PULLS, ROWS = 3, 2, 3


@pytest.fixture(params=["gru", "latent", "mlp"])
def policy(request, bandits):
    """Two policies that read feedback; the first ones also have memory."""
    observations, actions = families.family_of(bandits).spaces({})
    spec = ModuleSpec(request.param, observations, actions, {"hidden": [8]})
    noise = 5 if request.param == "latent" else 0
    module = build_module(with_feedback(spec, noise=noise, trial_episodes=EPISODES), [1, 2])
    with torch.no_grad():
        module.weights.add_(torch.randn(module.weights.shape, generator=torch.Generator().manual_seed(1)))
    return StackedPolicy([to_bundle(module, member) for member in range(2)])


def play(policy, env, episodes, obs=None, rng=None):
    """Play whole episodes of a trial; returns observations, actions and rewards by step."""
    seen, done, earned = [], [], []
    for _ in range(episodes):
        obs, _ = env.reset() if obs is None else (obs, {})
        for step in range(PULLS):
            actions = policy.act(obs.reshape(2, ROWS, -1), greedy=rng is None, rng=rng)
            seen.append(obs.reshape(2, ROWS, -1)), done.append(actions)
            obs, rewards, *_ = env.step(actions.reshape(-1))
            earned.append(rewards.reshape(2, ROWS))
            policy.after(earned[-1], np.full((2, ROWS), step == PULLS - 1))
        policy.next_episode()
        obs = None
    return np.array(seen), np.array(done), np.array(earned)


@pytest.fixture
def env(bandits):
    return families.family_of(bandits).make_vec([bandits[0]] * ROWS + [bandits[1]] * ROWS, autoreset_mode="Disabled")


def test_policies_read_what_a_player_would_give_them(policy, env):
    policy.begin(ROWS)
    seen, actions, rewards = play(policy, env, EPISODES)
    module, memory = policy.module, policy.module.start_memory(ROWS)
    noise = np.zeros((2, ROWS, module.spec.extras.noise))
    fed_back = np.zeros((2, ROWS, 4))
    for step in range(EPISODES * PULLS):
        inputs = torch.from_numpy(np.concatenate([seen[step], fed_back, noise], axis=-1)).float()
        with torch.no_grad():
            logits, memory = module.step(inputs, memory)
        np.testing.assert_array_equal(actions[step], module.head.greedy(logits))
        ended = np.full((2, ROWS, 1), float(step % PULLS == PULLS - 1))
        fed_back = np.concatenate([np.eye(2)[actions[step]], rewards[step][..., None], ended], axis=-1)


def test_what_is_carried_can_be_gone_back_to(policy, env):
    policy.begin(ROWS)
    play(policy, env, 1)
    kept, before = policy.carried(), env.get_state()
    first = play(policy, env, 2, rng=np.random.default_rng(3))
    policy.go_back(kept)
    env.set_state(before)
    again = play(policy, env, 2, rng=np.random.default_rng(3))
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)


def test_forgotten_rows_begin_anew_and_the_others_go_on(policy, env):
    policy.begin(ROWS)
    play(policy, env, 2)
    rows = np.zeros((2, ROWS), bool)
    rows[1] = True
    policy.forget(rows)
    obs = np.zeros((2, ROWS, 1), np.float32)
    with torch.inference_mode():
        carried = policy.carried()
        read = torch.from_numpy(np.concatenate([obs, carried.columns(True, None)], axis=-1))
        logits = carried.logits(read)
        fresh = StackedPolicy([to_bundle(policy.module, member) for member in range(2)])
        fresh.begin(ROWS)
        blank = fresh.carried()
        new = blank.logits(torch.from_numpy(np.concatenate([obs, blank.columns(True, None)], axis=-1)))
    torch.testing.assert_close(logits[1], new[1])
    assert not torch.allclose(logits[0], new[0])


def test_a_row_that_waits_keeps_what_it_carries(policy, env):
    policy.begin(ROWS)
    obs, _ = env.reset()
    rng = np.random.default_rng(0)
    rows = np.zeros((2, ROWS), bool)
    rows[0, 0] = True
    policy.act(obs.reshape(2, ROWS, -1))
    policy.after(np.ones((2, ROWS)), rows)
    kept = policy.carried()
    for _ in range(3):
        policy.act(rng.normal(size=(2, ROWS, 1)).astype(np.float32))
        policy.after(rng.normal(size=(2, ROWS)), rows)
    later = policy.carried()
    probe = np.zeros((2, ROWS, 1), np.float32)
    for carried in (kept, later):
        carried.next_episode()
    with torch.inference_mode():
        one, other = (
            carried.logits(torch.from_numpy(np.concatenate([probe, carried.columns(True, None)], axis=-1)))
            for carried in (kept, later)
        )
    torch.testing.assert_close(one[0, 0], other[0, 0], rtol=0, atol=0)
    assert not torch.allclose(one[1], other[1])


def test_they_must_be_told_when_they_begin(policy):
    obs = np.zeros((2, ROWS, 1), np.float32)
    with pytest.raises(InputError, match=r"call begin\(3\)"):
        policy.act(obs)
    policy.begin(2)
    with pytest.raises(InputError, match=r"call begin\(3\)"):
        policy.act(obs)
    policy.begin(ROWS)
    with pytest.raises(InputError, match="act first"):
        policy.after(np.zeros((2, ROWS)), np.zeros((2, ROWS), bool))


def test_policies_that_carry_nothing_need_not_be_told(bandits):
    observations, actions = families.family_of(bandits).spaces({})
    policy = StackedPolicy([to_bundle(build_module(ModuleSpec("mlp", observations, actions), [1]), 0)])
    assert not policy.carries
    before = policy.act(np.ones((1, 4, 1), np.float32))
    policy.begin(4)
    policy.after(np.ones((1, 4)), np.ones((1, 4), bool))
    assert policy.carried() is None
    np.testing.assert_array_equal(policy.act(np.ones((1, 4, 1), np.float32)), before)
