"""The meta-gradient: how the adapted policies' loss depends on the weights they were adapted from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from roamrl.algorithms.learner_spec import PPOSettings
from roamrl.algorithms.meta_learning import MAMLSettings, Order
from roamrl.algorithms.population.inner_loop import InnerLoss, Loss, adapted_weights
from roamrl.algorithms.population.losses import LossWeights, Minibatch, surrogate_loss


def meta_loss(weights: Tensor, rates: Tensor, tasks: int, inner: Sequence[Loss], outer: Loss, order: Order) -> Tensor:
    """Return each member's mean over its tasks of the adapted weights' loss, [p].

    F(w) = (1 / M) sum_m L^outer_m(U_m(w)), with U_m the inner steps on task m
    (Finn, Abbeel and Levine, ICML 2017, sec. 2.2 and algorithm 3).

    Args:
        weights: [p, D].
        rates: Inner step sizes, [p, D] or [p, 1].
        tasks: M.
        inner: A loss for each inner step, of weights [p * M, D].
        outer: The loss of the adapted weights [p * M, D].
        order: 1 or 2.
    """
    start, own_rates = (column.repeat_interleave(tasks, dim=0) for column in (weights, rates))
    return outer(adapted_weights(start, inner, own_rates, order)).view(-1, tasks).mean(dim=1)


@dataclass(frozen=True)
class MetaObjective:
    """What MAML's outer update descends.

    With theta the weights, theta_old those that played, pi'_m the policy adapted to task m, and means over tasks m and
    inner steps k,

        F(theta) = mean_m L_PPO(pi'_m, on the rollout of the adapted policy)
                 + mean_m,k [kl_coeff KL(pi_old || pi) + value_coeff mean (V - R)^2, on the rollouts adapted on]

    L_PPO is :func:`~roamrl.algorithms.population.losses.surrogate_loss`, clipped around the adapted policy that played
    (Rothfuss et al., "ProMP: Proximal meta-policy search", ICLR 2019): several outer updates on the same rollouts,
    where the trust region that MAML was published with allows one, by the Adam that the population has.

    Attributes:
        inner: The loss adapted on.
        settings: MAML's settings.
        ppo: Shared settings of PPO's loss.
    """

    inner: InnerLoss
    settings: MAMLSettings
    ppo: PPOSettings

    def __call__(
        self, weights: Tensor, rates: Tensor, adapt_on: Sequence[Minibatch], learn_from: Minibatch, by: LossWeights
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return F [p] and the adapted policies' parts of the loss, [p * M] by name, detached.

        Args:
            weights: theta, [p, D].
            rates: Inner step sizes, [p, D] or [p, 1].
            adapt_on: Rows of the p * M task members for each inner step.
            learn_from: Rows of the adapted policies.
            by: Weights of the loss's parts, [p * M].
        """
        beside: list[Tensor] = []
        described: dict[str, Tensor] = {}

        def adapting(rows: Minibatch) -> Loss:
            def loss(own: Tensor) -> Tensor:
                terms = self.inner(own, rows)
                beside.append(self.settings.kl_coeff * terms.divergence + self.ppo.value_coeff * terms.value_loss)
                return terms.loss

            return loss

        def adapted(own: Tensor) -> Tensor:
            logits, values = self.inner.evaluate(learn_from.prepared, own)
            logp, entropies = self.inner.head.differentiable_log_prob_and_entropy(logits, learn_from.actions)
            value, parts = surrogate_loss(logp, entropies, values, None, learn_from, by, self.ppo.value_coeff)
            described.update(parts)
            return value

        tasks = self.settings.tasks
        total = meta_loss(weights, rates, tasks, [adapting(rows) for rows in adapt_on], adapted, self.settings.order)
        return total + torch.stack(beside).mean(dim=0).view(-1, tasks).mean(dim=1), described
