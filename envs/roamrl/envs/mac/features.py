"""A context as numbers of about one, by which contexts are compared."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from roamrl.envs.mac.context import ARRIVALS
from roamrl.envs.task import Task

SATURATED_LOAD: Final = 1.5
"""Load at which a saturated cell counts: more than any channel carries."""

_STATIONS = 8.0
_PACKET_SLOTS = 10.0


def task_features(task: Task) -> NDArray[np.float64]:
    """Return logarithms of the number of stations and of the packet's slots, load, arrival law and dynamics, [8]."""
    context: Any = task.context
    saturated = context["arrival"] == "saturated"
    dynamic = context["dynamic"]
    stations = [context["stations"], *(dynamic["stations"] if dynamic else [])]
    return np.array(
        [
            np.mean(np.log2(stations)) / np.log2(_STATIONS),
            SATURATED_LOAD if saturated else context["load"],
            *[0.5 * (context["arrival"] == law) for law in ARRIVALS],
            np.log2(context["packet_slots"] / _PACKET_SLOTS) / 2.0,
            float(dynamic is not None),
        ]
    )
