"""Exploration of action values: now and then any action, otherwise the best."""

from __future__ import annotations

import torch
from torch import Tensor

from roamrl.algorithms.population.distributions import ActionHead
from roamrl.algorithms.rllib.step_draws import StepDraws
from roamrl.algorithms.teaching import Fade


class EpsilonGreedy(StepDraws):
    """With probability epsilon, which falls over a member's environment steps, an action drawn evenly; else the best.

    It has the face of :class:`~roamrl.algorithms.rllib.guidance.Guidance`.
    """

    def __init__(self, epsilon: Fade, generators: list[torch.Generator]) -> None:
        self._epsilon = epsilon
        super().__init__(generators)
        self._now = 0.0
        self._draws = torch.zeros(0)

    def start(self, steps: int, length: int, envs_per_member: int) -> bool:
        """Begin a rollout of ``length`` steps after ``steps`` environment steps of each member."""
        self._now = self._epsilon.at(steps)
        self._draws = self.draw(length, envs_per_member)
        return True

    def act(self, head: ActionHead, step: int, obs: Tensor, logits: Tensor, noise: Tensor) -> Tensor:
        """Return the actions [P, B] of one step; of action noise [P, B, A] the least number names an even action."""
        return torch.where(self._draws[step] < self._now, noise.argmin(dim=-1), head.greedy(logits))

    def importance(self, logp: Tensor) -> None:
        """Return None: what is replayed needs no correction."""
