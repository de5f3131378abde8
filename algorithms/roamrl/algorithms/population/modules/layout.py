"""Where each named parameter lies in a member's row of the flat weight buffer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from roamrl.envs.errors import unknown_name


@dataclass(frozen=True)
class Slot:
    """One named parameter of a member.

    Attributes:
        name: Its name in bundles.
        shape: Its shape, without the member axis.
        trunk: Whether it belongs to the trunk, which strategies take without the output layers.
    """

    name: str
    shape: tuple[int, ...]
    trunk: bool

    @property
    def size(self) -> int:
        """Numbers it has."""
        return math.prod(self.shape)


class Layout:
    """The parameters of a member, one after another in a row of D numbers.

    Attributes:
        slots: The parameters in order.
        sizes: Their sizes.
        width: D.
    """

    def __init__(self, slots: Sequence[Slot]) -> None:
        self.slots = tuple(slots)
        self.sizes = [slot.size for slot in self.slots]
        self.width = sum(self.sizes)

    def views(self, rows: Tensor) -> dict[str, Tensor]:
        """Cut rows [P, D] into named parameters [P, *shape] that share their memory.

        One ``split`` serves all, so that the gradient comes back as one [P, D] tensor.
        """
        members = rows.shape[0]
        pieces = rows.split(self.sizes, dim=1)
        return {slot.name: piece.view(members, *slot.shape) for slot, piece in zip(self.slots, pieces, strict=True)}

    def named(self, name: str) -> Tensor:
        """Return which of the D numbers belong to a parameter, [D] bool.

        Raises:
            InputError: If there is no such parameter.
        """
        if name not in {slot.name for slot in self.slots}:
            raise unknown_name("parameter", name, [slot.name for slot in self.slots])
        return torch.cat([torch.full((slot.size,), slot.name == name) for slot in self.slots])

    def mask(self, trunk_only: bool) -> Tensor:
        """Return which of the D numbers belong to the trunk ([D] bool), or all of them."""
        return torch.cat([torch.full((slot.size,), slot.trunk or not trunk_only) for slot in self.slots])
