"""The loss of proximal policy optimisation, one number a member."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

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
        logp: Log-probabilities under the acting policy, [P, n].
        advantages: [P, n].
        targets: Standardised returns, [P, n].
    """

    prepared: Tensor
    actions: Tensor
    logp: Tensor
    advantages: Tensor
    targets: Tensor

    def take(self, rows: Tensor) -> Minibatch:
        """Return the given rows ([n] int64) of every member."""
        return self._each(lambda column: column.index_select(1, rows))

    def block(self, members: slice, rows: slice) -> Minibatch:
        """Return a view on some rows of some members."""
        return self._each(lambda column: column[members, rows])

    @property
    def columns(self) -> tuple[Tensor, ...]:
        """All tensors, in the order of the attributes."""
        return self.prepared, self.actions, self.logp, self.advantages, self.targets

    def _each(self, change: Callable[[Tensor], Tensor]) -> Minibatch:
        return Minibatch(*(change(column) for column in self.columns))


def ppo_loss(
    module: StackedModule,
    weights: Tensor,
    batch: Minibatch,
    clip: Tensor,
    entropy_coeff: Tensor,
    ppo: PPOSettings,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return each member's loss [P] and, detached, its parts [P] by name.

    With rho = pi(a|s) / pi_old(a|s) and means over the member's rows,

        loss = -mean min(rho A, clip(rho, 1 - c, 1 + c) A) + value_coeff mean (V - R)^2 - entropy_coeff mean H

    (Schulman et al., "Proximal policy optimization algorithms", 2017, eq. 7 and 9). The parts are ``policy_loss``,
    ``value_loss``, ``entropy``, ``kl`` (mean rho - 1 - log rho) and ``clip_fraction``.

    Args:
        module: The population.
        weights: Weights of P of its members, [P, D].
        batch: Rows of these members.
        clip: c, [P].
        entropy_coeff: [P].
        ppo: Shared settings.
    """
    logits, values = module.evaluate(batch.prepared, weights)
    logp, entropies = module.head.log_prob_and_entropy(logits, batch.actions)
    return surrogate_loss(logp, entropies, values, batch, clip, entropy_coeff, ppo.value_coeff)


def surrogate_loss(
    logp: Tensor,
    entropies: Tensor,
    values: Tensor,
    batch: Minibatch,
    clip: Tensor,
    entropy_coeff: Tensor,
    value_coeff: float,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return what :func:`ppo_loss` returns, from what the networks said of the rows.

    Args:
        logp: log pi(a|s), [P, n].
        entropies: H, [P, n].
        values: V, [P, n].
        batch: The rows.
        clip: c, [P].
        entropy_coeff: [P].
        value_coeff: Weight of the value loss.
    """
    log_ratio = logp - batch.logp
    ratio = log_ratio.exp()
    with torch.no_grad():
        bound = clip[:, None]
        clipped = ratio.clamp(1.0 - bound, 1.0 + bound)
        ceiling = clipped * batch.advantages
    gain = ratio * batch.advantages
    policy_loss = -torch.where(gain.detach() <= ceiling, gain, ceiling).mean(dim=1)
    value_loss = (values - batch.targets).square().mean(dim=1)
    entropy = entropies.mean(dim=1)
    loss = policy_loss + value_coeff * value_loss - entropy_coeff * entropy
    with torch.no_grad():
        parts = {
            "policy_loss": policy_loss.detach(),
            "value_loss": value_loss.detach(),
            "entropy": entropy.detach(),
            "kl": (ratio - log_ratio).mean(dim=1) - 1.0,
            "clip_fraction": (clipped != ratio).mean(dim=1, dtype=ratio.dtype),
        }
    return loss, parts
