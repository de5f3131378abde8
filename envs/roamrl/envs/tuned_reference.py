"""A classical policy whose few numbers were tuned on episodes of one task: what few samples give without a network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from roamrl.envs.episodes import Episodes
from roamrl.envs.reference import Reference


@dataclass(frozen=True)
class TunedReference:
    """What tuning on a task gave, and what it took.

    Attributes:
        reference: The policy.
        numbers: What was tuned, by name.
        searched: Every episode of the task that was played to find it, of all candidates, [1, E]; None for none.
    """

    reference: Reference
    numbers: Mapping[str, float]
    searched: Episodes | None = None

    @property
    def episodes(self) -> int:
        """Episodes of the task that tuning took."""
        return 0 if self.searched is None else self.searched.returns.shape[1]

    def measured(self, name: str) -> float:
        """Return the mean of a step measure over the episodes that tuning took; NaN if it took none or has none."""
        found = {} if self.searched is None else self.searched.measures
        return float(np.mean(found[name])) if name in found else float("nan")
