"""Running mean and variance over the entities that are present, whose number differs from row to row."""

from __future__ import annotations

import torch
from torch import Tensor

from roamrl.algorithms.population.modules.statistics import RunningStatistics

_BLOCK_NUMBERS = 1 << 22
"""Numbers that are taken to float64 at once: 32 MB."""


class PresentStatistics(RunningStatistics):
    """:class:`RunningStatistics` of entities' features, where an absent entity counts for nothing.

    A member whose present entities are not all finite keeps its statistics; so does one without any.

    Attributes:
        mean: [P, O] float64.
        var: [P, O] float64.
        count: Present entities seen, [P] float64.
    """

    @torch.no_grad()
    def update(self, rows: Tensor, held: Tensor | None = None) -> None:
        """Take in entities [P, N, E, O], except for members that are held ([P] bool).

        Args:
            rows: E entities in each of N cells; column 0 is 1 for a present entity, 0 for an absent one.
            held: Members that keep their statistics.
        """
        self.merge(*_moments(rows), held)


def _moments(rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return number [P], mean [P, O] and population variance [P, O] of the present among entities [P, N, E, O]."""
    present = rows[..., :1] > 0.0
    added = present.sum(dim=(1, 2, 3), dtype=torch.float64)
    most = added.clamp(min=1.0)[:, None]
    length = max(1, _BLOCK_NUMBERS // max(1, rows[:, 0].numel()))

    def total(centre: Tensor, power: int) -> Tensor:
        sums = torch.zeros_like(centre)
        for block, here in zip(rows.split(length, dim=1), present.split(length, dim=1), strict=True):
            distance = (block.double() - centre[:, None, None]).pow_(power)
            sums += torch.where(here, distance, 0.0).sum(dim=(1, 2))
        return sums

    mean = total(rows.new_zeros(rows.shape[0], rows.shape[-1], dtype=torch.float64), 1) / most
    return added, mean, total(mean, 2) / most
