"""Running mean and variance of each member's own numbers, carried by the module that uses them."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class RunningStatistics(nn.Module):
    """Mean, population variance and count per member, updated batch by batch (Chan, Golub and LeVeque, 1983).

    A member whose batch is not finite keeps its statistics.

    Attributes:
        mean: [P, n] float64.
        var: [P, n] float64.
        count: Rows seen, [P] float64.
    """

    mean: Tensor
    var: Tensor
    count: Tensor

    def __init__(self, members: int, size: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(members, size, dtype=torch.float64))
        self.register_buffer("var", torch.ones(members, size, dtype=torch.float64))
        self.register_buffer("count", torch.zeros(members, dtype=torch.float64))

    @torch.no_grad()
    def update(self, rows: Tensor, held: Tensor | None = None) -> None:
        """Take in rows [P, N, n], except for members that are held ([P] bool)."""
        var, mean = torch.var_mean(rows.double(), dim=1, correction=0)
        self.merge(torch.full_like(self.count, rows.shape[1]), mean, var, held)

    @torch.no_grad()
    def merge(self, added: Tensor, mean: Tensor, var: Tensor, held: Tensor | None = None) -> None:
        """Take in rows by their number [P], mean and population variance [P, n]; none of a member that has none.

        Args:
            added: How many rows.
            mean: Their mean; a member with a number that is not finite keeps its statistics.
            var: Their variance.
            held: Members that keep their statistics, [P] bool.
        """
        taken = torch.isfinite(var).all(dim=1) & torch.isfinite(mean).all(dim=1) & (added > 0.0)
        if held is not None:
            taken &= ~held
        total = self.count + added
        share = (added / total.clamp(min=1.0))[:, None]
        delta = mean - self.mean
        new_mean = self.mean + delta * share
        new_var = self.var * (1.0 - share) + var * share + delta.square() * share * (1.0 - share)
        self.mean.copy_(torch.where(taken[:, None], new_mean, self.mean))
        self.var.copy_(torch.where(taken[:, None], new_var, self.var))
        self.count.copy_(torch.where(taken, total, self.count))

    def shift_and_scale(self, epsilon: float) -> tuple[Tensor, Tensor]:
        """Return the float32 mean and standard deviation, [P, n]; the deviation is at least sqrt(epsilon)."""
        return self.mean.float(), (self.var + epsilon).sqrt().float()
