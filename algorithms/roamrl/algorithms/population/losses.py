"""The loss of proximal policy optimisation and of imitation, one number a member."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from roamrl.algorithms.learner_spec import PPOSettings
from roamrl.algorithms.population.modules.stacked import StackedModule


@dataclass(frozen=True)
class Minibatch:
    """The same n rows of each of P members.

    Attributes:
        prepared: Observations as the module's networks read them, [P, n, ..].
        actions: [P, n, *A].
        logp: Log-probabilities under the policies before learning, [P, n].
        advantages: [P, n].
        targets: Standardised returns, [P, n].
        imitation: What to imitate, [P, n, K]; None for nothing.
        weight: Weight of each row in the means over rows, adding up to 1, [P, n]; None for equal ones.
    """

    prepared: Tensor
    actions: Tensor
    logp: Tensor
    advantages: Tensor
    targets: Tensor
    imitation: Tensor | None = None
    weight: Tensor | None = None

    def take(self, rows: Tensor) -> Minibatch:
        """Return the given rows ([n] int64) of every member."""
        return self._each(lambda column: column.index_select(1, rows))

    def block(self, members: slice, rows: slice) -> Minibatch:
        """Return a view on some rows of some members."""
        return self._each(lambda column: column[members, rows])

    def of_members(self, members: Tensor) -> Minibatch:
        """Return the rows of the given members ([p] int64), with their weights."""
        weight = None if self.weight is None else self.weight.index_select(0, members)
        return replace(self._each(lambda column: column.index_select(0, members)), weight=weight)

    def mean(self, values: Tensor) -> Tensor:
        """Return each member's mean over its rows, [P], of values [P, n]."""
        return values.mean(dim=1) if self.weight is None else (values * self.weight).sum(dim=1)

    @property
    def columns(self) -> tuple[Tensor, ...]:
        """All tensors but the weights, in the order of the attributes."""
        always = (self.prepared, self.actions, self.logp, self.advantages, self.targets)
        return always if self.imitation is None else (*always, self.imitation)

    def _each(self, change: Callable[[Tensor], Tensor]) -> Minibatch:
        return Minibatch(*(change(column) for column in self.columns))


class LossWeights(NamedTuple):
    """What a member's loss is weighted by, all [P] float32.

    Attributes:
        clip: PPO's clip range c.
        entropy: Weight of the entropy bonus.
        reinforce: Weight of the policy's part of PPO and of the entropy bonus.
        imitate: Weight of the cross-entropy to the teachers.
    """

    clip: Tensor
    entropy: Tensor
    reinforce: Tensor
    imitate: Tensor

    def block(self, members: slice) -> LossWeights:
        """Return the weights of some members."""
        return LossWeights(*(column[members] for column in self))


def ppo_loss(
    module: StackedModule,
    weights: Tensor,
    batch: Minibatch,
    by: LossWeights,
    ppo: PPOSettings,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return each member's loss [P] and, detached, its parts [P] by name.

    With rho = pi(a|s) / pi_old(a|s) and means over the member's rows,

        loss = reinforce (-mean min(rho A, clip(rho, 1 - c, 1 + c) A) - entropy mean H)
             + value_coeff mean (V - R)^2 + imitate mean H(pi_E || pi)

    (Schulman et al., "Proximal policy optimization algorithms", 2017, eq. 7 and 9; the last term, the cross-entropy to
    teachers, only where the rows say what to imitate). The parts are ``policy_loss``, ``value_loss``, ``entropy``,
    ``kl`` (mean rho - 1 - log rho), ``clip_fraction`` and ``imitation`` (the cross-entropy).

    Args:
        module: The population.
        weights: Weights of P of its members, [P, D].
        batch: Rows of these members.
        by: Weights of the parts.
        ppo: Shared settings.
    """
    logits, values = module.evaluate(batch.prepared, weights)
    logp, entropies = module.head.log_prob_and_entropy(logits, batch.actions)
    imitation = None if batch.imitation is None else module.head.cross_entropy(batch.imitation, logits)
    return surrogate_loss(logp, entropies, values, imitation, batch, by, ppo.value_coeff)


def surrogate_loss(
    logp: Tensor,
    entropies: Tensor,
    values: Tensor,
    imitation: Tensor | None,
    batch: Minibatch,
    by: LossWeights,
    value_coeff: float,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return what :func:`ppo_loss` returns, from what the networks said of the rows.

    Args:
        logp: log pi(a|s), [P, n].
        entropies: H, [P, n].
        values: V, [P, n].
        imitation: H(pi_E || pi), [P, n]; None without teachers.
        batch: The rows.
        by: Weights of the parts.
        value_coeff: Weight of the value loss.
    """
    log_ratio = logp - batch.logp
    ratio = log_ratio.exp()
    with torch.no_grad():
        bound = by.clip[:, None]
        clipped = ratio.clamp(1.0 - bound, 1.0 + bound)
        ceiling = clipped * batch.advantages
    gain = ratio * batch.advantages
    gained = torch.where(gain.detach() <= ceiling, gain, ceiling)
    policy_loss = -batch.mean(gained)
    value_loss = batch.mean((values - batch.targets).square())
    entropy = batch.mean(entropies)
    cross_entropy = torch.zeros_like(entropy) if imitation is None else batch.mean(imitation)
    if imitation is None:
        loss = policy_loss + value_coeff * value_loss - by.entropy * entropy
    else:
        own = by.reinforce * (policy_loss - by.entropy * entropy)
        loss = own + value_coeff * value_loss + by.imitate * cross_entropy
    with torch.no_grad():
        parts = {
            "policy_loss": policy_loss.detach(),
            "value_loss": value_loss.detach(),
            "entropy": entropy.detach(),
            "kl": batch.mean(ratio - log_ratio) - 1.0,
            "clip_fraction": batch.mean((clipped != ratio).to(ratio.dtype)),
            "imitation": cross_entropy.detach(),
        }
    return loss, parts
