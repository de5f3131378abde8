"""Rows sorted by their tasks, so that what belongs to a task meets its rows in one batched product."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class TaskRows:
    """Where each of n rows of p members goes when rows are sorted by K tasks and padded to equal length m.

    Attributes:
        slots: Place of each row among the K * m places, [p, n] int64.
        counts: Rows of each task, [p, K] int64.
        length: m, the most rows that a task of any member has.
    """

    slots: Tensor
    counts: Tensor
    length: int

    @classmethod
    def of(cls, tasks: Tensor, count: int) -> TaskRows:
        """Sort rows.

        Args:
            tasks: Number of each row's task, [p, n] int64 in 0..K-1.
            count: K.
        """
        members, rows = tasks.shape
        counts = torch.zeros(members, count, dtype=torch.int64, device=tasks.device)
        counts.scatter_add_(1, tasks, torch.ones_like(tasks))
        length = int(counts.max())
        order = torch.argsort(tasks, dim=1, stable=True)
        sorted_tasks = tasks.gather(1, order)
        starts = counts.cumsum(1) - counts
        place = torch.arange(rows, device=tasks.device) - starts.gather(1, sorted_tasks)
        slots = torch.empty_like(tasks).scatter_(1, order, sorted_tasks * length + place)
        return cls(slots, counts, length)

    @property
    def tasks(self) -> int:
        """K."""
        return self.counts.shape[1]

    def spread(self, rows: Tensor) -> Tensor:
        """Turn rows [p, n, ..] into [p * K, m, ..], with zeros where a task has fewer rows."""
        members = rows.shape[0]
        wide = rows.new_zeros(members, self.tasks * self.length, *rows.shape[2:])
        spread = wide.scatter(1, _like(self.slots, rows), rows)
        return spread.view(members * self.tasks, self.length, *rows.shape[2:])

    def collect(self, spread: Tensor) -> Tensor:
        """Turn [p * K, m, ..] back into rows [p, n, ..]."""
        members = self.slots.shape[0]
        wide = spread.reshape(members, self.tasks * self.length, *spread.shape[2:])
        index = self.slots.view(*self.slots.shape, *(1,) * (wide.ndim - 2)).expand(-1, -1, *wide.shape[2:])
        return wide.gather(1, index)

    def shares(self) -> Tensor:
        """Return the weight of each place in its task's mean: 1 / count for a row, 0 for padding, [p * K, m]."""
        place = torch.arange(self.length, device=self.counts.device)
        counts = self.counts.reshape(-1, 1)
        return (place < counts) / counts.clamp(min=1)


def _like(slots: Tensor, rows: Tensor) -> Tensor:
    """Return slots [p, n] repeated over what rows [p, n, ..] have behind their first two axes."""
    return slots.view(*slots.shape, *(1,) * (rows.ndim - 2)).expand_as(rows)
