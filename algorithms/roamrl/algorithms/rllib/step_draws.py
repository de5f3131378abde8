"""Draws: one even number a step and sub-environment, by which somebody acts in a policy's place."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor


class StepDraws:
    """Numbers from 0..1 out of a generator a member, so that a member's draws do not depend on P."""

    def __init__(self, generators: list[torch.Generator]) -> None:
        self._generators = generators

    def draw(self, length: int, envs_per_member: int) -> Tensor:
        """Return a rollout's draws, [T, P, B]."""
        draws = torch.empty(len(self._generators), length, envs_per_member)
        for own, generator in zip(draws, self._generators, strict=True):
            own.uniform_(generator=generator)
        return draws.transpose(0, 1)

    def state(self) -> list[NDArray[Any]]:
        """Return the generators' states."""
        return [generator.get_state().numpy() for generator in self._generators]

    def restore(self, state: list[NDArray[Any]]) -> None:
        """Go on from :meth:`state`'s result."""
        for generator, saved in zip(self._generators, state, strict=True):
            generator.set_state(torch.from_numpy(saved))
