"""Uniform replay in dense arrays: a ring of transitions for each member, filled and drawn from side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

import numpy as np
import torch
from torch import Tensor

from roamrl.algorithms.population.transitions import Transitions
from roamrl.envs.errors import InputError

_COLUMNS = tuple(field.name for field in fields(Transitions))


class Replay:
    """The last C transitions of each of P members.

    Attributes:
        capacity: C.
        filled: Transitions a member has in it.
    """

    def __init__(self, capacity: int, device: torch.device | str = "cpu") -> None:
        self.capacity = capacity
        self.filled = 0
        self._next = 0
        self._device = device
        self._columns: dict[str, Tensor] = {}

    def add(self, transitions: Transitions) -> None:
        """Take in R transitions of each member; the oldest make room."""
        count = transitions.actions.shape[1]
        for name in _COLUMNS:
            fresh = torch.from_numpy(getattr(transitions, name)).to(self._device)
            if name not in self._columns:
                self._columns[name] = fresh.new_zeros(fresh.shape[0], self.capacity, *fresh.shape[2:])
            kept = fresh[:, -self.capacity :]
            places = (self._next + torch.arange(count - kept.shape[1], count)) % self.capacity
            self._columns[name].index_copy_(1, places.to(self._device), kept)
        self._next = (self._next + count) % self.capacity
        self.filled = min(self.capacity, self.filled + count)

    def draw(self, rows: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Return ``rows`` transitions of each member, [P, rows, ..] by column; the same places for all members.

        Raises:
            InputError: If nothing has been added.
        """
        if not self.filled:
            raise InputError("nothing to replay; add transitions first")
        places = torch.randint(self.filled, (rows,), generator=generator).to(self._device)
        return {name: column.index_select(1, places) for name, column in self._columns.items()}

    def state(self) -> dict[str, np.ndarray]:
        """Return what the ring holds as arrays."""
        kept = {name: column[:, : self.filled].cpu().numpy() for name, column in self._columns.items()}
        return {**kept, "position": np.array([self.filled, self._next], np.int64)}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from :meth:`state`'s result."""
        self.filled, self._next = (int(number) for number in state["position"])
        self._columns = {}
        for name in _COLUMNS:
            if name in state:
                kept = torch.from_numpy(np.array(state[name])).to(self._device)
                column = kept.new_zeros(kept.shape[0], self.capacity, *kept.shape[2:])
                column[:, : self.filled] = kept
                self._columns[name] = column
