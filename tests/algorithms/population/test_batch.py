"""Advantages against closed forms; what is bootstrapped and what is not."""

import numpy as np
import pytest
import torch

from roamrl.algorithms.learner_spec import PPOSettings
from roamrl.algorithms.population.batch import build_batch, generalised_advantages
from roamrl.algorithms.population.modules.build import build_module
from roamrl.algorithms.population.rollout import Rollout

LAMBDA = 0.9


def advantages_by_definition(rewards, values, next_values, discounts, terminated, truncated):
    """Sum lambda^l discounted deltas from every step to its episode's end."""
    steps = len(rewards)
    result = np.zeros(steps)
    for start in range(steps):
        weight = 1.0
        for step in range(start, steps):
            follow = 0.0 if terminated[step] else discounts[step] * next_values[step]
            result[start] += weight * (rewards[step] + follow - values[step])
            if terminated[step] or truncated[step]:
                break
            weight *= LAMBDA * discounts[step]
    return result


def test_advantages_are_their_definition():
    rng = np.random.default_rng(1)
    shape = (30, 4)
    rewards, values, next_values = (rng.normal(size=shape) for _ in range(3))
    discounts = rng.choice([0.99, 0.99**3], shape)
    terminated, truncated = (rng.random(shape) < 0.1 for _ in range(2))
    result = generalised_advantages(rewards, values, next_values, discounts, terminated, truncated, LAMBDA)
    for column in range(4):
        own = (rewards, values, next_values, discounts, terminated, truncated)
        expected = advantages_by_definition(*(array[:, column] for array in own))
        np.testing.assert_allclose(result[:, column], expected, atol=1e-12)


def test_constant_reward_without_a_critic_is_a_geometric_sum():
    ones, zeros = np.ones((50, 1)), np.zeros((50, 1))
    none = np.zeros((50, 1), bool)
    result = generalised_advantages(ones, zeros, zeros, 0.8 * ones, none, none, LAMBDA)
    left = np.arange(50, 0, -1)[:, None]
    np.testing.assert_allclose(result, (1 - 0.72**left) / (1 - 0.72), rtol=1e-12)


@pytest.fixture
def module(discrete):
    module = build_module(discrete, [1, 2])
    module.observe_returns(torch.tensor([[3.0, 7.0], [-1.0, 1.0]]), torch.zeros(2, 2, 3))
    return module


def one_step(ended: str | None, members: int = 2) -> tuple[Rollout, np.ndarray]:
    """One step of one cell a member, which ends by termination, by truncation, or not."""
    rng = np.random.default_rng(0)
    shape = (1, members, 1)
    obs, last, final = (rng.normal(size=(members, 1, 3)).astype(np.float32) for _ in range(3))
    at = np.array([[0, member, 0] for member in range(members)] if ended == "truncated" else np.empty((0, 3)), np.int64)
    rollout = Rollout(
        obs=obs[None],
        actions=np.zeros(shape, np.int64),
        logp=np.full(shape, -0.7, np.float32),
        rewards=np.full(shape, 2.0, np.float32),
        terminated=np.full(shape, ended == "terminated"),
        truncated=np.full(shape, ended == "truncated"),
        discounts=np.full(shape, 0.5, np.float32),
        last_obs=last,
        final_at=at,
        final_obs=final[at[:, 1], 0],
    )
    return rollout, {"truncated": final, None: last}.get(ended, last)


def test_truncation_bootstraps_from_the_final_observation_and_termination_not(module):
    for ended in ("terminated", "truncated", None):
        rollout, follows = one_step(ended)
        batch = build_batch(module, rollout, PPOSettings())
        with torch.no_grad():
            bootstrap = 0.0 if ended == "terminated" else 0.5 * module.values(torch.from_numpy(follows))
        torch.testing.assert_close(batch.returns, torch.full((2, 1), 2.0) + bootstrap)
        assert ended == "terminated" or bootstrap.abs().min() > 0.1


def test_finals_of_many_members_find_their_places(module):
    rng = np.random.default_rng(5)
    shape = (12, 2, 4)
    truncated = rng.random(shape) < [[[0.6], [0.1]]]
    at = np.argwhere(truncated)[rng.permutation(truncated.sum())]
    final = rng.normal(size=(len(at), 3)).astype(np.float32)
    rollout = Rollout(
        obs=rng.normal(size=(*shape, 3)).astype(np.float32),
        actions=np.zeros(shape, np.int64),
        logp=np.zeros(shape, np.float32),
        rewards=np.zeros(shape, np.float32),
        terminated=np.zeros(shape, bool),
        truncated=truncated,
        discounts=np.ones(shape, np.float32),
        last_obs=rng.normal(size=(2, 4, 3)).astype(np.float32),
        final_at=at,
        final_obs=final,
    )
    returns = build_batch(module, rollout, PPOSettings(gae_lambda=0.0)).returns.view(2, 12, 4)
    for (step, member, cell), obs in zip(at, final, strict=True):
        stacked = torch.from_numpy(np.broadcast_to(obs, (2, 1, 3)).copy())
        assert returns[member, step, cell].item() == pytest.approx(module.values(stacked)[member, 0].item(), abs=1e-5)


def test_batch_rows_are_member_major_and_advantages_standard_within_a_member(module):
    rng = np.random.default_rng(3)
    shape = (5, 2, 3)
    rewards = (rng.normal(size=shape) * [[[1.0], [100.0]]]).astype(np.float32)
    numbers = np.arange(30).reshape(shape)
    rollout = Rollout(
        obs=np.repeat(numbers[..., None], 3, axis=-1).astype(np.float32),
        actions=numbers,
        logp=numbers.astype(np.float32),
        rewards=rewards,
        terminated=np.zeros(shape, bool),
        truncated=np.zeros(shape, bool),
        discounts=np.ones(shape, np.float32),
        last_obs=np.zeros((2, 3, 3), np.float32),
        final_at=np.empty((0, 3), np.int64),
        final_obs=np.empty((0, 3), np.float32),
    )
    batch = build_batch(module, rollout, PPOSettings())
    expected = numbers.transpose(1, 0, 2).reshape(2, 15)
    np.testing.assert_array_equal(batch.actions.numpy(), expected)
    np.testing.assert_array_equal(batch.obs[..., 1].numpy(), expected)
    torch.testing.assert_close(batch.advantages.mean(dim=1), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(batch.advantages.std(dim=1, correction=0), torch.ones(2))
    assert (batch.returns - batch.values).std(dim=1)[1] > 10 * (batch.returns - batch.values).std(dim=1)[0]
    assert (len(rollout), rollout.members, rollout.env_steps, rollout.agent_steps) == (5, 2, 15, 30)
