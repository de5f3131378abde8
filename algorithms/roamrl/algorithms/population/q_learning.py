"""Double Q-learning of a population: minibatches out of the replay, a target network that lags behind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from roamrl.algorithms.learner_spec import DQNSettings
from roamrl.algorithms.population.members import MemberHyper
from roamrl.algorithms.population.modules.action_values import StackedActionValues
from roamrl.algorithms.population.optimiser import StackedAdam
from roamrl.algorithms.population.replay import Replay
from roamrl.envs.errors import InputError

STATISTICS = ("loss", "td_error", "value", "grad_norm")
"""What every update is described by."""


class QLearning:
    """Learns action values, or successor features, from a replay.

    With Q_i the values of the member's own network and of its experts, and y the target of transition (s, a, r, d, s'):

        a* = argmax_a max_i Q_i(s', a);   y = (1 - gamma) r + d Q_target(s', a*);   loss = mean huber(Q(s, a) - y)

    (van Hasselt et al., AAAI 2016: the action is chosen by one network and valued by another; without experts Q_i is Q
    alone). With a reward of K parts, r and Q are vectors psi and Q_i = w . psi_i (successor features, Barreto et al.,
    NIPS 2017). Values are in units of (1 - gamma) times return.

    Without ``gammas``, the discount of each member, all have that of the settings.

    Attributes:
        target: Weights of the target networks, [P, D].
        updates: Updates made.
    """

    def __init__(
        self,
        module: StackedActionValues,
        optimiser: StackedAdam,
        settings: DQNSettings,
        gammas: Sequence[float] | None = None,
    ) -> None:
        self._module, self._optimiser, self._settings = module, optimiser, settings
        own = [settings.gamma] * module.members if gammas is None else gammas
        self._reward_weight = torch.tensor([1.0 - gamma for gamma in own], device=module.weights.device)[:, None, None]
        self.target = module.weights.detach().clone()
        self.updates = 0
        self._owed = 0.0

    def learn(
        self, replay: Replay, fresh: int, members: MemberHyper, generator: torch.Generator
    ) -> dict[str, NDArray[Any]]:
        """Make the updates that ``fresh`` new transitions a member are worth.

        Args:
            replay: The members' transitions.
            fresh: Transitions added since the last call.
            members: Per-member settings.
            generator: A CPU generator of the places replayed, which all members share.

        Returns:
            Per member, [P]: means over the updates of ``loss``, ``td_error`` (mean absolute), ``value`` and
            ``grad_norm`` (NaN without an update), and ``skipped``, the updates left out as not finite.
        """
        settings, module = self._settings, self._module
        skipped = self._optimiser.skipped.clone()
        sums = torch.zeros(len(STATISTICS), module.members, device=module.weights.device)
        made = 0
        if replay.filled >= min(settings.learning_starts, settings.buffer_rows):
            self._owed += fresh * settings.replay_ratio / settings.batch_rows
            while self._owed >= 1.0:
                self._owed -= 1.0
                sums += self._update(replay.draw(settings.batch_rows, generator), members)
                made += 1
        self._optimiser.advance(fresh)
        means = sums / made if made else torch.full_like(sums, float("nan"))
        stats = dict(zip(STATISTICS, means.cpu().numpy(), strict=True))
        return stats | {"skipped": (self._optimiser.skipped - skipped).cpu().numpy()}

    def _update(self, rows: dict[str, Tensor], members: MemberHyper) -> Tensor:
        module = self._module
        with torch.no_grad():
            prepared, target = module.prepare(rows["obs"]), self._targets(rows)
        weights = module.weights.detach().requires_grad_()
        parts = module.own_parts(prepared, weights)
        chosen = _of_action(parts, rows["actions"])
        error = chosen - target
        losses = torch.nn.functional.huber_loss(chosen, target, reduction="none").sum(dim=1).mean(dim=1)
        (gradient,) = torch.autograd.grad(losses.sum(), weights)
        norm = self._optimiser.step(gradient, losses.detach(), members.lr, members.max_grad_norm)
        self.updates += 1
        if self.updates % self._settings.target_every == 0:
            self.target.copy_(module.weights.detach())
        absolute = error.detach().abs().sum(dim=1).mean(dim=1)
        return torch.stack([losses.detach(), absolute, chosen.detach().sum(dim=1).mean(dim=1), norm])

    def _targets(self, rows: dict[str, Tensor]) -> Tensor:
        """Return y by part of the reward, [P, K, n]."""
        module = self._module
        following = module.prepare(rows["next_obs"])
        best = module.best_values(following, module.weights).argmax(dim=1)
        valued = _of_action(module.own_parts(following, self.target), best)
        return self._reward_weight * rows["rewards"].mT + rows["discounts"][:, None] * valued

    def state(self) -> dict[str, Any]:
        """Return what the next update depends on besides module, optimiser and replay."""
        return {"target": self.target.cpu().numpy(), "updates": self.updates, "owed": self._owed}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from :meth:`state`'s result.

        Raises:
            InputError: If the target networks are of another shape.
        """
        target = torch.from_numpy(state["target"])
        if target.shape != self.target.shape:
            raise InputError(f"target networks are {list(target.shape)}, expected {list(self.target.shape)}")
        self.target.copy_(target)
        self.updates, self._owed = state["updates"], state["owed"]


def _of_action(parts: Tensor, actions: Tensor) -> Tensor:
    """Return psi of the actions [P, n], [P, K, n], from psi [P, A, K, n]."""
    place = actions[:, None, None].expand(-1, 1, parts.shape[2], -1)
    return parts.gather(1, place)[:, 0]
