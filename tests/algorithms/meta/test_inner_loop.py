"""Inner steps and the meta-gradient against closed forms."""

import pytest
import torch

from roamrl.algorithms.population.meta_gradient import meta_loss

MEMBERS, TASKS, WIDTH = 2, 3, 4
RATE = 0.2


class Quadratics:
    """L(w) = (w - c)' A (w - c) / 2 for each of p * M rows, with A symmetric and c the row's own."""

    def __init__(self, seed):
        generator = torch.Generator().manual_seed(seed)
        root = torch.randn(MEMBERS * TASKS, WIDTH, WIDTH, generator=generator, dtype=torch.float64)
        self.curvature = root @ root.mT / WIDTH + 0.1 * torch.eye(WIDTH)
        self.centre = torch.randn(MEMBERS * TASKS, WIDTH, generator=generator, dtype=torch.float64)

    def __call__(self, weights):
        off = weights - self.centre
        return 0.5 * torch.einsum("pi,pij,pj->p", off, self.curvature, off)

    def gradient(self, weights):
        return torch.einsum("pij,pj->pi", self.curvature, weights - self.centre)


@pytest.fixture
def weights():
    drawn = torch.randn(MEMBERS, WIDTH, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return drawn.requires_grad_()


def rates(value=RATE):
    return torch.full((MEMBERS, 1), value, dtype=torch.float64)


@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize("order", [1, 2])
def test_the_meta_gradient_of_quadratics_is_the_closed_form(weights, steps, order):
    inner, outer = [Quadratics(1 + step) for step in range(steps)], Quadratics(9)
    value = meta_loss(weights, rates(), TASKS, inner, outer, order)
    (gradient,) = torch.autograd.grad(value.sum(), weights)
    own = weights.detach().repeat_interleave(TASKS, dim=0)
    through = torch.eye(WIDTH, dtype=torch.float64).expand(MEMBERS * TASKS, -1, -1)
    for loss in inner:
        own = own - RATE * loss.gradient(own)
        through = (torch.eye(WIDTH) - RATE * loss.curvature) @ through
    torch.testing.assert_close(value.detach(), outer(own).view(MEMBERS, TASKS).mean(dim=1))
    expected = outer.gradient(own)
    if order == 2:
        expected = torch.einsum("pij,pi->pj", through, expected)
    torch.testing.assert_close(gradient, expected.view(MEMBERS, TASKS, WIDTH).mean(dim=1))


def test_the_orders_differ_by_the_second_order_term_alone(weights):
    inner, outer = Quadratics(1), Quadratics(9)
    first, second = (
        torch.autograd.grad(meta_loss(weights, rates(), TASKS, [inner], outer, order).sum(), weights)[0]
        for order in (1, 2)
    )
    start = weights.detach().repeat_interleave(TASKS, dim=0)
    after = outer.gradient(start - RATE * inner.gradient(start))
    dropped = torch.einsum("pij,pi->pj", RATE * inner.curvature, after).view(MEMBERS, TASKS, WIDTH).mean(dim=1)
    assert dropped.abs().max() > 0.05
    torch.testing.assert_close(first - second, dropped)


@pytest.mark.parametrize("order", [1, 2])
def test_learned_rates_get_their_gradient(weights, order):
    inner, outer = Quadratics(1), Quadratics(9)
    each = torch.full((MEMBERS, WIDTH), RATE, dtype=torch.float64).requires_grad_()
    (gradient,) = torch.autograd.grad(meta_loss(weights, each, TASKS, [inner], outer, order).sum(), each)
    start = weights.detach().repeat_interleave(TASKS, dim=0)
    slope = inner.gradient(start)
    expected = -slope * outer.gradient(start - RATE * slope)
    torch.testing.assert_close(gradient, expected.view(MEMBERS, TASKS, WIDTH).mean(dim=1))
