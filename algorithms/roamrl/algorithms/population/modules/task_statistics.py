"""Running mean and variance of one number for each task of each member."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class TaskStatistics(nn.Module):
    """Mean, population variance and count per member and task, updated batch by batch (Chan et al., 1983).

    A member whose batch is not finite keeps its statistics; so does a task without rows.

    Attributes:
        mean: [P, K] float64.
        var: [P, K] float64.
        count: Rows seen, [P, K] float64.
    """

    mean: Tensor
    var: Tensor
    count: Tensor

    def __init__(self, members: int, tasks: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(members, tasks, dtype=torch.float64))
        self.register_buffer("var", torch.ones(members, tasks, dtype=torch.float64))
        self.register_buffer("count", torch.zeros(members, tasks, dtype=torch.float64))

    @torch.no_grad()
    def update(self, numbers: Tensor, tasks: Tensor, held: Tensor | None = None) -> None:
        """Take in numbers [P, N] of tasks [P, N] (int64; those outside 0..K-1 are left out).

        Args:
            numbers: What is measured.
            tasks: Task of each.
            held: Members that keep their statistics, [P] bool.
        """
        members, count = self.mean.shape
        known = (tasks >= 0) & (tasks < count)
        place = torch.where(known, tasks, count)
        rows = numbers.double()

        def total(values: Tensor) -> Tensor:
            return values.new_zeros(members, count + 1).scatter_add_(1, place, values)[:, :count]

        added = total(torch.ones_like(rows))
        mean = total(rows) / added.clamp(min=1.0)
        centred = rows - torch.cat([mean, mean.new_zeros(members, 1)], dim=1).gather(1, place)
        var = total(centred.square()) / added.clamp(min=1.0)
        taken = torch.isfinite(rows).all(dim=1, keepdim=True) & (added > 0)
        if held is not None:
            taken &= ~held[:, None]
        seen = self.count + added
        share = added / seen.clamp(min=1.0)
        delta = mean - self.mean
        new_var = self.var * (1.0 - share) + var * share + delta.square() * share * (1.0 - share)
        self.var.copy_(torch.where(taken, new_var, self.var))
        self.mean.copy_(torch.where(taken, self.mean + delta * share, self.mean))
        self.count.copy_(torch.where(taken, seen, self.count))

    def shift_and_scale(self, epsilon: float) -> tuple[Tensor, Tensor]:
        """Return the float32 mean and standard deviation, [P, K]; the deviation is at least sqrt(epsilon)."""
        return self.mean.float(), (self.var + epsilon).sqrt().float()
