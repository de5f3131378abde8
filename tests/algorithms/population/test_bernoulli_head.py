"""Choices of all entities of a cell: against torch.distributions, at the edges of float32, and where nobody is."""

import itertools

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch.distributions import Bernoulli, Independent

from roamrl.algorithms.population.distributions import NEVER, action_head


def draw(seed=0, scale=3.0):
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(3, 50, 6, generator=generator)
    return logits, torch.randint(2, (3, 50, 6), generator=generator, dtype=torch.int8)


@pytest.fixture
def head():
    return action_head(spaces.MultiBinary(6))


@pytest.mark.parametrize("path", ["log_prob_and_entropy", "differentiable_log_prob_and_entropy"])
def test_log_prob_entropy_and_gradients_are_torchs(head, path):
    logits, actions = draw()
    logits[0, 0] = 0.0
    logits.requires_grad_()
    theirs = Independent(Bernoulli(logits=logits), 1)
    expected = theirs.log_prob(actions.float()), theirs.entropy()
    result = getattr(head, path)(logits, actions)
    for own, other in zip(result, expected, strict=True):
        torch.testing.assert_close(own, other)
    torch.testing.assert_close(head.log_prob(logits, actions), expected[0])
    torch.testing.assert_close(head.entropy(logits), expected[1])
    weights = torch.randn(2, 3, 50, generator=torch.Generator().manual_seed(1))
    gradients = [
        torch.autograd.grad((log_prob * weights[0] + entropy * weights[1]).sum(), logits)[0]
        for log_prob, entropy in (result, expected)
    ]
    torch.testing.assert_close(*gradients)


def test_the_differentiable_path_has_second_derivatives(head):
    logits, actions = draw()
    logits = logits[:1, :2].double()
    logits[0, 0, :2] = 0.0
    logits.requires_grad_()
    assert torch.autograd.gradgradcheck(
        lambda z: head.differentiable_log_prob_and_entropy(z, actions[:1, :2]), [logits], atol=1e-4
    )


@pytest.mark.parametrize("path", ["log_prob_and_entropy", "differentiable_log_prob_and_entropy"])
@pytest.mark.parametrize("size", [15.0, 30.0, 80.0, 1e4])
def test_large_logits_lose_no_digits(path, size):
    head = action_head(spaces.MultiBinary(1))
    logits = torch.tensor([[[size], [size], [-size], [-size]]], requires_grad=True)
    actions = torch.tensor([[[1], [0], [1], [0]]], dtype=torch.int8)
    log_prob, entropy = getattr(head, path)(logits, actions)
    rare = np.exp(-size) if size < 700 else 0.0  # sigma(-size), as far as float64 tells it from its own logarithm
    torch.testing.assert_close(log_prob, torch.tensor([[-rare, -size, -size, -rare]], dtype=torch.float32))
    expected = torch.full((1, 4), (1.0 + size) * rare)
    torch.testing.assert_close(entropy, expected, rtol=1e-5, atol=0.0)
    gradient = torch.autograd.grad(log_prob.sum() + entropy.sum(), logits)[0]
    torch.testing.assert_close(gradient[0, :, 0], torch.tensor([0.0, -1.0, 1.0, 0.0]), atol=2e-5, rtol=0.0)


@pytest.mark.parametrize("path", ["log_prob_and_entropy", "differentiable_log_prob_and_entropy"])
def test_entities_that_are_absent_add_exactly_nothing(head, path):
    logits, actions = draw(scale=1.0)
    absent = torch.tensor([False, False, True, False, True, True])
    alone = action_head(spaces.MultiBinary(3))
    logits = logits.masked_fill(absent, NEVER).requires_grad_()
    actions = actions.masked_fill(absent, 0)
    few, did = logits[..., ~absent], actions[..., ~absent]
    for whole, part in zip(getattr(head, path)(logits, actions), getattr(alone, path)(few, did), strict=True):
        torch.testing.assert_close(whole, part, rtol=1e-6, atol=1e-6)
    log_prob, entropy = getattr(head, path)(logits, actions)
    assert all(nothing == 0 for nothing in getattr(head, path)(torch.full((1, 1, 6), NEVER), torch.zeros(1, 1, 6)))
    gradient = torch.autograd.grad((log_prob + entropy).sum(), logits)[0]
    assert (gradient[..., absent] == 0).all()
    assert (gradient[..., ~absent] != 0).any()
    target = head.imitation_target(logits.detach()[:, None])
    assert (target[..., absent] == 0).all()
    torch.testing.assert_close(head.cross_entropy(target, logits), alone.cross_entropy(target[..., ~absent], few))


def test_entities_that_are_absent_never_act(head):
    nobody = torch.full((1, 1000, 6), NEVER)
    noise = torch.empty_like(nobody)
    head.draw_noise(noise, torch.Generator().manual_seed(0))
    assert (noise >= 0).all()
    assert head.sample(nobody, noise).sum() == head.sample(nobody, torch.zeros_like(noise)).sum() == 0
    assert head.greedy(nobody).sum() == 0


def test_each_choice_is_made_as_often_as_it_should():
    head = action_head(spaces.MultiBinary(4))
    logits = torch.tensor([0.5, -1.0, 6.0, 0.0]).expand(1, 200_000, 4)
    noise = torch.empty(1, 200_000, 4)
    head.draw_noise(noise, torch.Generator().manual_seed(3))
    drawn = head.sample(logits, noise)
    torch.testing.assert_close(drawn[0].double().mean(dim=0), logits[0, 0].double().sigmoid(), atol=5e-3, rtol=0)
    covariance = torch.cov(drawn[0].T.double())
    assert (covariance - covariance.diag().diag()).abs().max() < 3e-3
    assert head.greedy(logits)[0, 0].tolist() == [1, 0, 1, 0]


def test_imitation_aims_at_the_even_mixture_of_whole_policies(head):
    """-sum_a p(a) log pi(a) over all actions a, where p is the mixture, whose choices are not independent."""
    generator = torch.Generator().manual_seed(2)
    teachers, own = 2 * torch.randn(1, 3, 1, 6, generator=generator), torch.randn(1, 1, 6, generator=generator)
    actions = torch.tensor(list(itertools.product([0.0, 1.0], repeat=6)))
    mixture = Independent(Bernoulli(logits=teachers[0, :, 0, None]), 1).log_prob(actions).exp().mean(dim=0)
    expected = -(mixture * Independent(Bernoulli(logits=own[0, 0]), 1).log_prob(actions)).sum()
    torch.testing.assert_close(head.cross_entropy(head.imitation_target(teachers), own)[0, 0], expected)
    itself = head.cross_entropy(head.imitation_target(own[:, None]), own)
    torch.testing.assert_close(itself, head.entropy(own))


@pytest.mark.parametrize("shape", [(3,), (2, 3)])
def test_environments_get_actions_of_their_space(shape):
    space = spaces.MultiBinary(shape if len(shape) > 1 else shape[0])
    head = action_head(space)
    logits = torch.randn(2, 5, head.outputs, generator=torch.Generator().manual_seed(0))
    actions = head.sample(logits, torch.rand(2, 5, head.noise_size, generator=torch.Generator().manual_seed(1)))
    assert actions.shape == (2, 5, *shape)
    given = head.to_env(actions.numpy())
    assert all(space.contains(action) for member in given for action in member)
    joint = head.log_prob(logits, actions)
    torch.testing.assert_close(joint, Bernoulli(logits=logits).log_prob(actions.float().flatten(2)).sum(dim=-1))
