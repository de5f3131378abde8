"""The gradient of the loss on some rows of some members, by torch's autograd as it is."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from roamrl.algorithms.learner_spec import PPOSettings
from roamrl.algorithms.population.losses import LossWeights, Minibatch, ppo_loss
from roamrl.algorithms.population.modules.stacked import StackedModule

LOSS_STATISTICS = ("loss", "policy_loss", "value_loss", "entropy", "kl", "clip_fraction", "imitation")
"""What the loss on some rows is described by, S numbers a member."""

BlockGradient = Callable[[Tensor, Minibatch, LossWeights], tuple[Tensor, Tensor]]
"""From weights [p, D], rows of these members and the weights of their losses to the gradient [p, D] of each member's
own loss and its statistics [S, p]."""


def plain_gradient(module: StackedModule, ppo: PPOSettings) -> BlockGradient:
    """Return the gradient of :func:`~roamrl.algorithms.population.losses.ppo_loss`, operation by operation."""

    def gradient(weights: Tensor, rows: Minibatch, by: LossWeights) -> tuple[Tensor, Tensor]:
        weights = weights.detach().requires_grad_()
        loss, parts = ppo_loss(module, weights, rows, by, ppo)
        (own,) = torch.autograd.grad(loss.sum(), weights)
        return own, torch.stack([loss.detach(), *(parts[name] for name in LOSS_STATISTICS[1:])])

    return gradient


def even_length(count: int, most: int) -> int:
    """Return a length of at most ``most`` in which ``count`` is cut without a rest, or ``most`` if all are short.

    A length is short below half of ``most``: a rest of another length costs less than that.
    """
    fewest = -(-count // most)
    return next((count // pieces for pieces in range(fewest, 2 * fewest) if count % pieces == 0), min(count, most))
