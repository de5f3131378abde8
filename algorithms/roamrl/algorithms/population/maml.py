"""MAML on a population: rollouts to adapt on, rollouts of the adapted policies, one outer update."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from roamrl.algorithms.learner_spec import PPOSettings
from roamrl.algorithms.meta_learning import MAMLSettings
from roamrl.algorithms.population.batch import build_batch
from roamrl.algorithms.population.gradient import LOSS_STATISTICS
from roamrl.algorithms.population.inner_loop import INNER_ROWS, InnerLoss, inner_rates, inner_rows, take_inner_step
from roamrl.algorithms.population.losses import LossWeights, Minibatch
from roamrl.algorithms.population.members import MemberHyper
from roamrl.algorithms.population.meta_gradient import MetaObjective
from roamrl.algorithms.population.modules.stacked import StackedModule
from roamrl.algorithms.population.optimiser import StackedAdam
from roamrl.algorithms.population.rollout import Rollout
from roamrl.algorithms.population.task_members import observe_returns, pooled, send_out, task_hyper

STATISTICS = (*LOSS_STATISTICS, "grad_norm", "skipped", "inner_steps")
"""What every iteration is described by; ``inner_steps`` are those that the policies which played had made."""


class MAML:
    """Learns weights from which K gradient steps on a task go far (Finn et al., ICML 2017).

    A meta-iteration is K + 1 calls of :meth:`learn`. The first K move every task member by one inner step on the rows
    it played; the last one makes PPO's epochs of outer updates on the rows of the adapted policies
    (:class:`~roamrl.algorithms.population.meta_gradient.MetaObjective`), each of which takes the inner steps anew from
    where the weights are by then. Observations are standardised by the members' statistics of when the meta-iteration
    began, so that the inner steps taken anew are those that were taken.

    Attributes:
        outer: The members.
        played: Their task members, who play.
        adapt_on: Rows of the inner steps taken so far in this meta-iteration.
    """

    def __init__(
        self,
        outer: StackedModule,
        played: StackedModule,
        optimiser: StackedAdam,
        members: MemberHyper,
        settings: MAMLSettings,
        ppo: PPOSettings,
    ) -> None:
        self.outer, self.played = outer, played
        self._optimiser, self._members, self._settings, self._ppo = optimiser, members, settings, ppo
        self._objective = MetaObjective(InnerLoss.of(outer), settings, ppo)
        self.adapt_on: list[Minibatch] = []
        send_out(outer, played)

    def learn(self, rollout: Rollout, generator: torch.Generator) -> dict[str, NDArray[Any]]:
        """Learn from a rollout of the task members.

        Args:
            rollout: [T, P * M, B].
            generator: A CPU generator of the minibatch permutations, which all members share.

        Returns:
            ``STATISTICS`` of each member, [P]; NaN for what an inner step has not.
        """
        rows = self._rows(rollout)
        made = len(self.adapt_on)
        if made < self._settings.steps:
            found = take_inner_step(self.played, rows, self._settings.inner_lr)
            self.adapt_on.append(rows)
        else:
            found = self._outer_update(rows, generator)
            self.adapt_on = []
            send_out(self.outer, self.played)
        self._optimiser.advance(rollout.env_steps * self._settings.tasks)
        return self._described(found, made)

    def _rows(self, rollout: Rollout) -> Minibatch:
        batch = build_batch(self.played, rollout, self._ppo)
        if self._ppo.normalise_values:
            observe_returns(self.outer, self.played, batch)
        rows = inner_rows(self.played, batch)
        self.outer.observe(pooled(batch.obs, self.outer.members))
        return rows

    def _outer_update(self, learn_from: Minibatch, generator: torch.Generator) -> dict[str, Tensor]:
        outer, members = self.outer, self._members
        skipped = self._optimiser.skipped.clone()
        rows = learn_from.logp.shape[1]
        count = min(self._ppo.minibatches, rows)
        sums = torch.zeros(len(LOSS_STATISTICS) + 1, outer.members, device=outer.weights.device)
        for _ in range(self._ppo.epochs):
            order = torch.randperm(rows, generator=generator).to(outer.weights.device)
            for piece in order.tensor_split(count):
                gradient, described = self._gradient(learn_from.take(piece))
                described[-1] = self._optimiser.step(gradient, described[0], members.lr, members.max_grad_norm)
                sums += described
        means = sums / (self._ppo.epochs * count)
        found = dict(zip((*LOSS_STATISTICS, "grad_norm"), means, strict=True))
        return found | {"skipped": self._optimiser.skipped - skipped}

    def _gradient(self, learn_from: Minibatch) -> tuple[Tensor, Tensor]:
        """Return the meta-gradient [P, D] and the statistics [S + 1, P], the last row empty."""
        outer, tasks = self.outer, self._settings.tasks
        by = _loss_weights(task_hyper(self._members, tasks))
        gradient = torch.empty_like(outer.weights, requires_grad=False)
        described = torch.zeros(len(LOSS_STATISTICS) + 1, outer.members, device=gradient.device)
        width = max(1, INNER_ROWS // (tasks * sum(rows.logp.shape[1] for rows in (*self.adapt_on, learn_from))))
        for first in range(0, outer.members, width):
            block = slice(first, first + width)
            theirs = slice(first * tasks, (first + width) * tasks)
            weights = outer.weights[block].detach().requires_grad_()
            loss, parts = self._objective(
                weights,
                inner_rates(outer, weights, self._settings.inner_lr),
                [rows.block(theirs, slice(None)) for rows in self.adapt_on],
                learn_from.block(theirs, slice(None)),
                by.block(theirs),
            )
            (gradient[block],) = torch.autograd.grad(loss.sum(), weights)
            described[0, block] = loss.detach()
            for number, name in enumerate(LOSS_STATISTICS[1:], 1):
                described[number, block] = parts[name].view(-1, tasks).mean(dim=1)
        return gradient, described

    def _described(self, found: Mapping[str, Tensor], made: int) -> dict[str, NDArray[Any]]:
        members = self.outer.members
        whole = {"inner_steps": np.full(members, float(made))}
        for name, column in found.items():
            own = column.cpu().numpy()
            each = own.reshape(members, -1)
            whole[name] = each.sum(axis=1) if name == "skipped" else each.mean(axis=1)
        return {name: whole.get(name, np.full(members, np.nan)) for name in STATISTICS}

    def state(self) -> dict[str, Any]:
        """Return what the next call depends on besides modules and optimiser."""
        return {"adapt_on": [[column.cpu().numpy() for column in rows.columns] for rows in self.adapt_on]}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from :meth:`state`'s result."""
        device = self.outer.weights.device
        self.adapt_on = [Minibatch(*_tensors(columns, device)) for columns in state["adapt_on"]]


def _tensors(columns: Sequence[NDArray[Any]], device: torch.device) -> list[Tensor]:
    return [torch.from_numpy(np.require(column, requirements="W")).to(device) for column in columns]


def _loss_weights(members: MemberHyper) -> LossWeights:
    ones = torch.ones_like(members.clip)
    return LossWeights(members.clip, members.entropy_coeff, ones, torch.zeros_like(ones))
