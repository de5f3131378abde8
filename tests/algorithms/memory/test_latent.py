"""The belief about a task: its closed form, its indifference to order, its gradient, in steps and over sequences."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from gymnasium import spaces

from roamrl.algorithms.bundle import ModuleSpec
from roamrl.algorithms.feedback import with_feedback
from roamrl.algorithms.population.modules.build import build_module
from roamrl.algorithms.population.modules.latent import Belief
from roamrl.algorithms.population.modules.memory import Sequences
from roamrl.envs.errors import InputError

SEEN, LATENT, MEMBERS, COUNT, LENGTH = 3, 2, 2, 4, 9
FED_BACK = 3 + 2


def make_spec(trial_episodes=4, noise=LATENT, **model):
    model = {"hidden": [8], "encoder": [6], "latent": LATENT, **model}
    spec = ModuleSpec("latent", spaces.Box(-np.inf, np.inf, (SEEN,)), spaces.Discrete(3), model)
    return with_feedback(spec, noise=noise, trial_episodes=trial_episodes)


def randomised(**model):
    module = build_module(make_spec(normalise=False, **model), list(range(MEMBERS)))
    with torch.no_grad():
        module.weights.add_(torch.randn(module.weights.shape, generator=torch.Generator().manual_seed(0)) * 0.3)
    return module


@pytest.fixture
def sequences():
    generator = torch.Generator().manual_seed(3)
    inputs = torch.randn(MEMBERS, COUNT, LENGTH, SEEN + FED_BACK + LATENT, generator=generator)
    inputs[..., SEEN + FED_BACK - 1] = (inputs[..., SEEN + FED_BACK - 1] > 0.5).float()
    memory = torch.rand(MEMBERS, COUNT, 2 * LATENT + SEEN + 1, generator=generator)
    memory[..., -1] = 1.0
    memory[:, 0] = 0.0
    starts = torch.rand(MEMBERS, COUNT, LENGTH, generator=generator) < 0.2
    starts[0, 1] = False
    starts[0, 2, 0] = True
    return Sequences(inputs, memory, starts)


def test_beliefs_are_products_of_gaussians():
    generator = torch.Generator().manual_seed(0)
    precisions, means = torch.rand(7, generator=generator) * 3, torch.randn(7, generator=generator)
    belief = Belief.of(torch.stack([precisions.sum(), (precisions * means).sum()])[None, None])
    at = torch.linspace(-20, 20, 40_001, dtype=torch.float64)
    density = torch.distributions.Normal(0.0, 1.0).log_prob(at)
    for precision, mean in zip(precisions.double(), means.double(), strict=True):
        density = density + torch.distributions.Normal(mean, precision.rsqrt()).log_prob(at)
    weight = torch.softmax(density, dim=0)
    middle = (weight * at).sum()
    assert belief.mean.item() == pytest.approx(middle.item(), abs=1e-5)
    assert 1.0 / belief.precision.item() == pytest.approx((weight * (at - middle).square()).sum().item(), rel=1e-5)
    own = torch.distributions.Normal(belief.mean, belief.precision.rsqrt())
    other = torch.distributions.Normal(0.0, 1.0)
    torch.testing.assert_close(belief.divergence(), torch.distributions.kl_divergence(own, other).sum(dim=-1))
    torch.testing.assert_close(belief.draw(torch.full((1, 1, 1), 2.0)), own.mean + 2.0 * own.stddev)


def test_an_empty_trial_is_the_prior_and_transitions_narrow_it():
    module = randomised()
    memory = module.start_memory(5)
    widths = []
    generator = torch.Generator().manual_seed(1)
    for _ in range(6):
        obs = torch.randn(MEMBERS, 5, SEEN + FED_BACK + LATENT, generator=generator)
        with torch.no_grad():
            _, memory = module.step(obs, memory)
        belief = module.belief(memory)
        widths.append(belief.precision.rsqrt())
    torch.testing.assert_close(widths[0], torch.ones_like(widths[0]), rtol=0, atol=0)
    assert all(bool((later < earlier).all()) for earlier, later in pairwise(widths))


def test_the_order_of_transitions_does_not_matter():
    """Transitions are tied by the observation between them; with it held, they may trade places."""
    module = randomised()
    generator = torch.Generator().manual_seed(2)
    obs = torch.randn(MEMBERS, 1, 8, SEEN + FED_BACK + LATENT, generator=generator)
    obs[..., :SEEN] = 0.7
    believed = []
    for order in (torch.arange(8), torch.cat([torch.zeros(1, dtype=torch.int64), torch.randperm(7) + 1])):
        memory = module.start_memory(1)
        for step in order:
            with torch.no_grad():
                _, memory = module.step(obs[:, :, step], memory)
        believed.append(module.belief(memory))
    torch.testing.assert_close(believed[0].mean, believed[1].mean)
    torch.testing.assert_close(believed[0].precision, believed[1].precision)


def test_steps_are_what_sequences_are(sequences):
    module = randomised()
    module.observe_returns(torch.tensor([[3.0, 7.0]] * MEMBERS), torch.zeros(MEMBERS, 2, 1))
    with torch.no_grad():
        logits, values = module.evaluate(sequences, module.weights)
        own_values, memories = module.unroll(sequences)
    torch.testing.assert_close(own_values, values)
    memory = sequences.memory
    for step in range(LENGTH):
        memory = memory.masked_fill(sequences.starts[:, :, step, None], 0.0)
        obs = sequences.inputs[:, :, step]
        with torch.no_grad():
            found = module.step_values(obs, memory)
            out, memory = module.step(obs, memory)
        torch.testing.assert_close(out, logits.unflatten(1, (COUNT, LENGTH))[:, :, step], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(memory, memories[:, :, step], rtol=1e-4, atol=1e-5)
        wanted = values.unflatten(1, (COUNT, LENGTH))[:, :, step] * 2.0 + 5.0
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_what_follows_an_episodes_end_is_not_taken_for_its_outcome():
    module = randomised()
    obs = torch.randn(MEMBERS, 1, SEEN + FED_BACK + LATENT)
    memory = module.step(obs, module.start_memory(1))[1].detach()
    for ended, alike in ((1.0, True), (0.0, False)):
        believed = []
        for shown in (0.0, 3.0):
            after = obs.clone()
            after[..., :SEEN], after[..., SEEN + FED_BACK - 1] = shown, ended
            with torch.no_grad():
                believed.append(module.belief(module.step(after, memory)[1]).mean)
        assert torch.allclose(*believed) == alike


@pytest.mark.parametrize("kl_weight", [0.0, 0.7])
def test_the_gradient_has_the_divergence_in_it(sequences, kl_weight):
    with_penalty, without = randomised(kl_weight=kl_weight), randomised(kl_weight=0.0)
    logits, values = with_penalty.evaluate(sequences, with_penalty.weights)
    (found,) = torch.autograd.grad(logits.sin().mean() + values.square().mean(), with_penalty.weights)
    logits, values = without.evaluate(sequences, without.weights)
    sums = without._sums(sequences, without.weights).flatten(1, 2)
    divergence = Belief.of(sums).divergence().mean(dim=1).sum()
    loss = logits.sin().mean() + values.square().mean() + kl_weight * divergence
    (wanted,) = torch.autograd.grad(loss, without.weights)
    torch.testing.assert_close(found, wanted)
    encoder = without.layout.views(wanted)["encoder.0.weight"]
    assert encoder.abs().max() > 0


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (make_spec(noise=3), r"with_feedback\(spec, noise=2"),
        (make_spec(latent=0), "1 to 64 numbers"),
        (make_spec(kl_weight=-1.0), "kl_weight"),
        (make_spec(encoder=[]), "hidden layers"),
        (make_spec(latnt=2), "did you mean 'latent'"),
    ],
)
def test_what_cannot_be_built_is_refused(spec, message):
    with pytest.raises(InputError, match=message):
        build_module(spec, [1])
