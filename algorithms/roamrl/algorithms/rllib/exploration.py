"""Exploration of action values: now and then any action, otherwise the best."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from roamrl.algorithms.population.distributions import ActionHead
from roamrl.algorithms.teaching import Fade


class EpsilonGreedy:
    """With probability epsilon, which falls over a member's environment steps, an action drawn evenly; else the best.

    It has the face of :class:`~roamrl.algorithms.rllib.guidance.Guidance`.
    """

    def __init__(self, epsilon: Fade, generators: list[torch.Generator]) -> None:
        self._epsilon = epsilon
        self._generators = generators
        self._now = 0.0
        self._draws = torch.zeros(0)

    def start(self, steps: int, length: int, envs_per_member: int) -> bool:
        """Begin a rollout of ``length`` steps after ``steps`` environment steps of each member."""
        self._now = self._epsilon.at(steps)
        draws = torch.empty(len(self._generators), length, envs_per_member)
        for own, generator in zip(draws, self._generators, strict=True):
            own.uniform_(generator=generator)
        self._draws = draws.transpose(0, 1)
        return True

    def act(self, head: ActionHead, step: int, obs: Tensor, logits: Tensor, noise: Tensor) -> Tensor:
        """Return the actions [P, B] of one step; of action noise [P, B, A] the least number names an even action."""
        return torch.where(self._draws[step] < self._now, noise.argmin(dim=-1), head.greedy(logits))

    def importance(self, logp: Tensor) -> None:
        """Return None: what is replayed needs no correction."""

    def state(self) -> list[NDArray[Any]]:
        """Return the generators' states."""
        return [generator.get_state().numpy() for generator in self._generators]

    def restore(self, state: list[NDArray[Any]]) -> None:
        """Go on from :meth:`state`'s result."""
        for generator, saved in zip(self._generators, state, strict=True):
            generator.set_state(torch.from_numpy(saved))
