"""Distributions against torch.distributions, and samples against probabilities."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from roamrl.algorithms.population.distributions import action_head
from roamrl.envs.errors import InputError


def case(kind):
    generator = torch.Generator().manual_seed(0)
    if kind == "discrete":
        logits = torch.randn(3, 50, 6, generator=generator) * 3
        actions = torch.randint(6, (3, 50), generator=generator)
        return action_head(spaces.Discrete(6)), logits, actions
    head = action_head(spaces.Box(-1.0, 1.0, (4,)))
    return head, torch.randn(3, 50, 8, generator=generator) * 0.4, torch.randn(3, 50, 4, generator=generator)


def reference(kind, logits):
    if kind == "discrete":
        return torch.distributions.Categorical(logits=logits)
    return torch.distributions.Independent(torch.distributions.Normal(logits[..., :4], logits[..., 4:].exp()), 1)


@pytest.mark.parametrize("kind", ["discrete", "continuous"])
@pytest.mark.parametrize("transposed", [False, True])
def test_log_prob_entropy_and_gradients_are_torchs(kind, transposed):
    head, logits, actions = case(kind)
    logits = (logits.mT.contiguous().mT if transposed else logits).requires_grad_()
    theirs = reference(kind, logits)
    weights = torch.randn(2, 3, 50, generator=torch.Generator().manual_seed(1))
    expected = theirs.log_prob(actions), theirs.entropy()
    result = head.log_prob_and_entropy(logits, actions)
    for own, other in zip(result, expected, strict=True):
        torch.testing.assert_close(own, other)
    torch.testing.assert_close(head.log_prob(logits, actions), expected[0])
    torch.testing.assert_close(head.entropy(logits), expected[1])
    gradients = [
        torch.autograd.grad((log_prob * weights[0] + entropy * weights[1]).sum(), logits)[0]
        for log_prob, entropy in (result, expected)
    ]
    torch.testing.assert_close(*gradients)


def test_the_exponential_race_draws_softmax():
    head = action_head(spaces.Discrete(4))
    logits = torch.tensor([0.5, -1.0, 2.0, 0.0]).expand(1, 200_000, 4)
    noise = torch.empty(1, 200_000, 4)
    head.draw_noise(noise, torch.Generator().manual_seed(3))
    drawn = torch.bincount(head.sample(logits, noise).flatten(), minlength=4) / 200_000
    torch.testing.assert_close(drawn, logits[0, 0].softmax(0), atol=5e-3, rtol=0)
    assert (head.greedy(logits) == 2).all()


def test_continuous_samples_have_the_logits_moments():
    head = action_head(spaces.Box(-1.0, 1.0, (1,)))
    logits = torch.tensor([0.7, np.log(0.5)], dtype=torch.float32).expand(1, 200_000, 2)
    noise = torch.empty(1, 200_000, 1)
    head.draw_noise(noise, torch.Generator().manual_seed(3))
    samples = head.sample(logits, noise)
    assert samples.mean().item() == pytest.approx(0.7, abs=5e-3)
    assert samples.std().item() == pytest.approx(0.5, abs=5e-3)
    assert (head.greedy(logits) == logits[..., :1]).all()


def test_environments_get_their_own_numbers():
    discrete = action_head(spaces.Discrete(3, start=5))
    assert discrete.to_env(np.array([[0, 2]])).tolist() == [[5, 7]]
    box = spaces.Box(np.array([-1.0, 0.0]), np.array([1.0, 3.0]), dtype=np.float64)
    clipped = action_head(box).to_env(np.array([[[-4.0, -4.0], [0.5, 4.0]]], np.float32))
    assert clipped.tolist() == [[[-1.0, 0.0], [0.5, 3.0]]]
    assert clipped.dtype == np.float64


@pytest.mark.parametrize("space", [spaces.MultiDiscrete([2, 3]), spaces.Box(0, 5, (2,), np.int64)])
def test_spaces_without_a_distribution_are_refused(space):
    with pytest.raises(InputError, match="no action distribution"):
        action_head(space)
