"""One choice of a source policy, with its reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from roamrl.platform.study.tasks import NamedTask
from roamrl.platform.study.units import Probes


@dataclass(frozen=True)
class Decision:
    """One choice of a source.

    Attributes:
        arm: The arm.
        stage: ``tune`` (on val) or ``adapt`` (on targets).
        named: The task.
        repetition: Number of the member on that task.
        place: The chosen source among the pool's.
        alike: All places that the selector cannot tell from it.
        values: What the selector held of each source, [K]; None for ``random``.
        because: The reason, for people.
        probes: What probing took.
    """

    arm: str
    stage: Literal["tune", "adapt"]
    named: NamedTask
    repetition: int
    place: int
    alike: tuple[int, ...]
    values: NDArray[np.float64] | None
    because: str
    probes: Probes | None = None
