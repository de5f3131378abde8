"""The inner loop of meta-learning: gradient steps on a task that can themselves be differentiated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from roamrl.algorithms.meta_learning import Order
from roamrl.algorithms.population.batch import Batch
from roamrl.algorithms.population.distributions import ActionHead
from roamrl.algorithms.population.losses import Minibatch
from roamrl.algorithms.population.modules.inner_rates import StackedMLPWithRates
from roamrl.algorithms.population.modules.stacked import Evaluate, StackedModule

Loss = Callable[[Tensor], Tensor]
"""From weights [p, D] to each member's own loss, [p]; twice differentiable."""

INNER_ROWS = 4096
"""Rows of all members whose inner gradient is taken at once."""


def adapted_weights(weights: Tensor, losses: Sequence[Loss], rates: Tensor, order: Order) -> Tensor:
    """Return the weights [p, D] after one gradient step on each loss in turn.

    w_0 = w;   w_k+1 = w_k - alpha * grad L_k(w_k)   (Finn, Abbeel and Levine, ICML 2017, sec. 2.2)

    With order 2 the result is a function of ``weights`` in autograd's eyes, d w_k+1 / d w_k = I - alpha * Hessian; with
    order 1 the gradients count as constants and d w_k+1 / d w_k = I. Rates get a gradient under both.

    Args:
        weights: [p, D], with a gradient to come.
        losses: L_0 .. L_K-1.
        rates: alpha, broadcast to [p, D] (Li et al., "Meta-SGD", 2017, for rates of each parameter's own).
        order: 1 or 2.
    """
    for loss in losses:
        total = loss(weights).sum()
        (gradient,) = torch.autograd.grad(total, weights, retain_graph=True, create_graph=order == 2)
        weights = weights - rates * gradient
    return weights


class InnerTerms(NamedTuple):
    """What a rollout says of weights that policies adapt from, [p] each.

    Attributes:
        loss: What is adapted on.
        divergence: KL(pi_old || pi), estimated.
        value_loss: The critic's loss.
    """

    loss: Tensor
    divergence: Tensor
    value_loss: Tensor


@dataclass(frozen=True)
class InnerLoss:
    """The loss that policies adapt on, and how far they are from those that played.

    With rho = pi_w(a|s) / pi_old(a|s) and means over a member's rows,

        L(w) = -mean rho A,   kl(w) = mean rho - 1 - log rho,   mean (V_w - R)^2

    At the weights that played rho is 1 and L's gradient is the policy gradient with advantages A. The ratio instead of
    the log-probability makes L's second derivative the right one as well, that of the return to be expected (the
    low-variance curvature estimator of Rothfuss et al., "ProMP: Proximal meta-policy search", ICLR 2019), and keeps the
    step right while the outer updates move the weights away from those that played. The critic is no part of L: it is
    learned by the outer updates alone (one inner step large enough for the policy makes it worse than none, and the
    advantages of the adapted policies with it).

    Attributes:
        evaluate: The networks, by operations with derivatives of any order.
        head: How logits become actions.
    """

    evaluate: Evaluate
    head: ActionHead

    @classmethod
    def of(cls, module: StackedModule) -> InnerLoss:
        """Return the loss of a module's members."""
        return cls(module.differentiable(), module.head)

    def __call__(self, weights: Tensor, rows: Minibatch) -> InnerTerms:
        """Return the terms, [p] each, of weights [p, D] on rows of these members."""
        logits, values = self.evaluate(rows.prepared, weights)
        logp, _ = self.head.differentiable_log_prob_and_entropy(logits, rows.actions)
        log_ratio = logp - rows.logp
        ratio = log_ratio.exp()
        return InnerTerms(
            -(ratio * rows.advantages).mean(dim=1),
            (ratio - 1.0 - log_ratio).mean(dim=1),
            (values - rows.targets).square().mean(dim=1),
        )


def inner_rates(module: StackedModule, weights: Tensor, lr: float) -> Tensor:
    """Return the inner step sizes alpha, [p, D] or [p, 1], that go with weights [p, D]."""
    if isinstance(module, StackedMLPWithRates):
        return lr * module.rate_factors(weights)
    return weights.new_full((weights.shape[0], 1), lr)


@torch.no_grad()
def inner_rows(module: StackedModule, batch: Batch) -> Minibatch:
    """Return a batch's rows as the inner loss takes them, under the module's statistics as they are."""
    targets = module.standardise_returns(batch.returns, batch.obs)
    return Minibatch(module.prepare(batch.obs), batch.actions, batch.logp, batch.advantages, targets)


@torch.no_grad()
def take_inner_step(module: StackedModule, rows: Minibatch, lr: float) -> dict[str, Tensor]:
    """Move every member by one inner step on its rows; one whose loss or gradient is not finite stays as it is.

    Returns:
        ``policy_loss`` and ``value_loss`` before the step, ``grad_norm`` and ``skipped`` (0 or 1), [P] each.
    """
    of_rows = InnerLoss.of(module)
    loss, value_loss = module.weights.new_empty(2, module.members)
    gradient = torch.empty_like(module.weights, requires_grad=False)
    width = max(1, INNER_ROWS // rows.logp.shape[1])
    for first in range(0, module.members, width):
        block = slice(first, first + width)
        own = rows.block(block, slice(None))
        with torch.enable_grad():
            weights = module.weights[block].detach().requires_grad_()
            terms = of_rows(weights, own)
            (gradient[block],) = torch.autograd.grad(terms.loss.sum(), weights)
        loss[block], value_loss[block] = terms.loss.detach(), terms.value_loss.detach()
    norm = torch.linalg.vector_norm(gradient, dim=1)
    taken = torch.isfinite(norm + loss)
    step = inner_rates(module, module.weights, lr) * gradient
    module.weights.sub_(torch.where(taken[:, None], step, torch.zeros_like(step)))
    found = {"policy_loss": loss, "value_loss": value_loss, "grad_norm": norm}
    return found | {"skipped": (~taken).to(torch.int64)}
