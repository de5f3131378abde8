"""MAML's meta-gradient on networks and rollouts against finite differences, in float64."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from gymnasium import spaces

from roamrl.algorithms.learner_spec import PPOSettings
from roamrl.algorithms.meta_learning import MAMLSettings
from roamrl.algorithms.population.batch import build_batch
from roamrl.algorithms.population.inner_loop import InnerLoss, inner_rates
from roamrl.algorithms.population.losses import LossWeights, Minibatch
from roamrl.algorithms.population.members import start_population
from roamrl.algorithms.population.meta_gradient import MetaObjective
from roamrl.algorithms.population.modules.build import build_module
from roamrl.algorithms.population.modules.inner_rates import KIND, LOG_FACTORS
from roamrl.algorithms.population.task_members import send_out, task_seeds

PPO = PPOSettings(value_coeff=0.5)
BOX = spaces.Box(-1.0, 1.0, (2,), np.float32)


class Problem:
    """A meta-objective of two members and two tasks with everything in float64."""

    def __init__(self, spec, world):
        outer, _ = start_population(spec)
        with torch.no_grad():
            outer.weights.add_(0.3 * torch.randn(outer.weights.shape, generator=torch.Generator().manual_seed(5)))
        played = build_module(spec.module, task_seeds(spec))
        send_out(outer, played)
        settings = spec.members[0].meta
        self.rows = [self._rows(played, world.rollout(played, number)) for number in range(settings.rollouts)]
        self.objective = MetaObjective(InnerLoss.of(outer), settings, PPO)
        self.module, self.settings = outer, settings
        self.start = outer.weights.detach().double()
        ones = torch.ones(played.members, dtype=torch.float64)
        self.by = LossWeights(0.2 * ones, 0.05 * ones, ones, 0 * ones)

    @staticmethod
    def _rows(module, rollout):
        batch = build_batch(module, rollout, PPO)
        columns = (module.prepare(batch.obs), batch.actions, batch.logp, batch.advantages, batch.returns)
        return Minibatch(*(column.double() if column.is_floating_point() else column for column in columns))

    def value(self, weights):
        rates = inner_rates(self.module, weights, self.settings.inner_lr)
        return self.objective(weights, rates, self.rows[:-1], self.rows[-1], self.by)[0]

    def gradient(self):
        weights = self.start.clone().requires_grad_()
        return torch.autograd.grad(self.value(weights).sum(), weights)[0]

    def finite_difference(self, member, place, size=1e-6):
        values = []
        for step in (size, -size):
            moved = self.start.clone()
            moved[member, place] += step
            values.append(float(self.value(moved.requires_grad_())[member].detach()))
        return (values[0] - values[1]) / (2 * size)


@pytest.fixture
def problem(specification, sign_world):
    def make(settings, **kwargs):
        spec = specification(settings, **kwargs)
        return Problem(spec, sign_world(spec))

    return make


def places(problem, member, count=12):
    """Some parameters of every kind: the largest gradients and some at random."""
    size = problem.gradient()[member].abs()
    drawn = torch.randperm(len(size), generator=torch.Generator().manual_seed(member))[:count]
    return {*size.topk(count).indices.tolist(), *drawn.tolist()}


@pytest.mark.parametrize("action", [None, BOX], ids=["discrete", "continuous"])
@pytest.mark.parametrize("steps", [1, 2])
def test_the_meta_gradient_equals_finite_differences(problem, action, steps):
    problem = problem(MAMLSettings(tasks=2, steps=steps, inner_lr=0.5, kl_coeff=0.1), action=action)
    gradient = problem.gradient()
    for member in range(2):
        for place in places(problem, member):
            expected = problem.finite_difference(member, place)
            assert float(gradient[member, place]) == pytest.approx(expected, abs=2e-7, rel=1e-5), place


def test_learned_rates_get_the_gradient_of_finite_differences(problem):
    problem = problem(MAMLSettings(tasks=2, steps=2, inner_lr=0.5), kind=KIND)
    layout = problem.module.layout
    first = sum(slot.size for slot in layout.slots if slot.name != LOG_FACTORS)
    gradient = problem.gradient()
    assert gradient[:, first:].abs().max() > 1e-3
    for member in range(2):
        for place in range(first, layout.width):
            expected = problem.finite_difference(member, place)
            assert float(gradient[member, place]) == pytest.approx(expected, abs=2e-7, rel=1e-5), place


def test_first_order_leaves_out_what_is_second_order(problem):
    both = [problem(MAMLSettings(tasks=2, inner_lr=0.5, order=order, kl_coeff=0.0)) for order in (1, 2)]
    first, second = (one.gradient() for one in both)
    adapted = both[0]
    weights = adapted.start.repeat_interleave(2, dim=0).requires_grad_()
    terms = adapted.objective.inner(weights, adapted.rows[0])
    (slope,) = torch.autograd.grad(terms.loss.sum(), weights)
    after = (weights - 0.5 * slope).detach().requires_grad_()
    plain = MetaObjective(adapted.objective.inner, replace(adapted.settings, tasks=1), PPO)
    no_step = torch.zeros(4, 1, dtype=torch.float64)
    value, _ = plain(after, no_step, adapted.rows[:1], adapted.rows[1], adapted.by)
    (expected,) = torch.autograd.grad(value.sum(), after)
    torch.testing.assert_close(first, expected.view(2, 2, -1).mean(dim=1))
    assert (second - first).norm() > 0.05 * first.norm()


def test_the_inner_gradient_is_the_policy_gradient(problem):
    problem = problem(MAMLSettings(tasks=2))
    rows, inner = problem.rows[0], problem.objective.inner
    weights = problem.start.repeat_interleave(2, dim=0).requires_grad_()
    terms = inner(weights, rows)
    torch.testing.assert_close(terms.divergence, torch.zeros_like(terms.loss), atol=1e-7, rtol=0)
    (own,) = torch.autograd.grad(terms.loss.sum(), weights)
    logits, _ = inner.evaluate(rows.prepared, weights)
    logp = torch.log_softmax(logits, dim=-1).gather(-1, rows.actions[..., None].long())[..., 0]
    plain = -(logp * rows.advantages).mean(1)
    torch.testing.assert_close(own, torch.autograd.grad(plain.sum(), weights)[0], atol=1e-6, rtol=1e-5)
