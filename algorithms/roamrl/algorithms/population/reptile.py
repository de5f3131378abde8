"""Reptile on a population: PPO on each of a few tasks, then a step towards where that led."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from roamrl.algorithms.learner_spec import PPOSettings
from roamrl.algorithms.meta_learning import ReptileSettings
from roamrl.algorithms.population.batch import build_batch
from roamrl.algorithms.population.fit import fit
from roamrl.algorithms.population.members import MemberHyper
from roamrl.algorithms.population.modules.stacked import StackedModule
from roamrl.algorithms.population.optimiser import StackedAdam
from roamrl.algorithms.population.rollout import Rollout
from roamrl.algorithms.population.task_members import observe_returns, pooled, send_out, send_statistics, task_hyper


@torch.no_grad()
def towards(weights: Tensor, adapted: Tensor, rate: float) -> Tensor:
    """Move weights [P, D] part of the way to the mean of their adapted versions [P * M, D], in place.

    theta <- theta + epsilon ((1 / M) sum_m theta'_m - theta)
    (Nichol, Achiam and Schulman, "On first-order meta-learning algorithms", 2018, the
    batched version).
    A member whose step is not finite stays as it is.

    Returns:
        Whether each member moved, [P] bool.
    """
    step = adapted.view(len(weights), -1, weights.shape[1]).mean(dim=1) - weights
    moved = torch.isfinite(step).all(dim=1)
    weights.add_(torch.where(moved[:, None], step, torch.zeros_like(step)), alpha=rate)
    return moved


class Reptile:
    """Learns weights near good ones for every task (Nichol et al., 2018).

    A meta-iteration is K calls of :meth:`learn`: each is one rollout and one PPO update (all its epochs) of every task
    member, with moments that start anew with the meta-iteration; the last one then moves the members. The rate falls
    linearly over the plan's meta-iterations.

    Attributes:
        outer: The members.
        played: Their task members, who play and learn.
        made: Updates made in this meta-iteration.
        meta_iteration: Meta-iterations done.
    """

    def __init__(
        self,
        outer: StackedModule,
        played: StackedModule,
        members: MemberHyper,
        settings: ReptileSettings,
        ppo: PPOSettings,
        iterations: int,
    ) -> None:
        self.outer, self.played = outer, played
        self._settings, self._ppo = settings, ppo
        self._members = task_hyper(members, settings.tasks)
        self._last = max(1, iterations // settings.steps - 1)
        self.made = self.meta_iteration = 0
        send_out(outer, played)
        self._optimiser = StackedAdam(played.weights)

    @property
    def rate(self) -> float:
        """Rate of this meta-iteration, epsilon."""
        first, last = self._settings.rate, self._settings.final_rate
        return first + (last - first) * min(1.0, self.meta_iteration / self._last)

    def learn(self, rollout: Rollout, generator: torch.Generator) -> dict[str, NDArray[Any]]:
        """Learn from a rollout of the task members.

        Args:
            rollout: [T, P * M, B].
            generator: A CPU generator of the minibatch permutations, which all members share.

        Returns:
            What ``fit`` returns, means over the tasks (``skipped``: sums), and ``inner_steps``, the updates that the
            policies which played had made, [P] each.
        """
        batch = build_batch(self.played, rollout, self._ppo)
        if self._ppo.normalise_values:
            observe_returns(self.outer, self.played, batch)
        without_statistics = replace(self._ppo, normalise_values=False)  # they are the members', not the task members'
        found = fit(self.played, self._optimiser, batch, self._members, without_statistics, generator)
        self.outer.observe(pooled(batch.obs, self.outer.members))
        send_statistics(self.outer, self.played)
        described = self._described(found)
        self.made += 1
        if self.made == self._settings.steps:
            moved = towards(self.outer.weights.detach(), self.played.weights.detach(), self.rate)
            described["skipped"] += (~moved).cpu().numpy()
            send_out(self.outer, self.played)
            self._optimiser = StackedAdam(self.played.weights)
            self.made, self.meta_iteration = 0, self.meta_iteration + 1
        return described

    def _described(self, found: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        members = self.outer.members
        whole = {"inner_steps": np.full(members, float(self.made))}
        for name, column in found.items():
            each = column.reshape(members, -1)
            whole[name] = each.sum(axis=1) if name == "skipped" else each.mean(axis=1)
        return whole

    def state(self) -> dict[str, Any]:
        """Return what the next call depends on besides the modules."""
        moments = {name: tensor.cpu().numpy() for name, tensor in self._optimiser.state_dict().items()}
        return {"made": self.made, "meta_iteration": self.meta_iteration, "optimiser": moments}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from :meth:`state`'s result."""
        self.made, self.meta_iteration = state["made"], state["meta_iteration"]
        device = self.played.weights.device
        tensors = {name: torch.from_numpy(np.array(array)).to(device) for name, array in state["optimiser"].items()}
        self._optimiser.load_state_dict(tensors)
