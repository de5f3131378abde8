"""Rewards that are weighed sums of parts: what the parts are, and where the agent sees their weights."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RewardParts:
    """A reward r = sum_k w_k phi_k whose weights w are part of the context.

    Attributes:
        names: Names of the K parts phi.
        weights_at: Where w stands in the flat observation, (start, stop); None where the agent does not see it.
    """

    names: tuple[str, ...]
    weights_at: tuple[int, int] | None
