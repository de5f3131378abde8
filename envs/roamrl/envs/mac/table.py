"""From tasks to the numbers the kernel reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from roamrl.envs.mac import cells
from roamrl.envs.mac.cells import Tasks
from roamrl.envs.mac.config import MACConfig
from roamrl.envs.mac.context import ARRIVALS
from roamrl.envs.task import Task


def compile_tasks(tasks: Sequence[Task], config: MACConfig) -> Tasks:
    """Build the table of tasks of one config."""
    parameters = np.zeros((len(tasks), cells.PARAMETERS))
    slots: list[int] = []
    stations: list[int] = []
    for row, task in zip(parameters, tasks, strict=True):
        context: Any = task.context
        arrival = ARRIVALS.index(context["arrival"])
        row[cells.STATIONS] = context["stations"]
        row[cells.LOAD] = context["load"]
        row[cells.ARRIVAL] = arrival
        row[cells.PACKET_SLOTS] = context["packet_slots"]
        row[cells.BATCH] = config.burst_packets if arrival == cells.BURSTS else 1
        row[cells.EPISODE_SLOTS] = config.episode_slots
        row[cells.FAIRNESS] = config.fairness
        row[cells.COLLISION_COST] = config.collision_cost
        row[cells.LONGEST] = config.others_d2lt == "longest"
        jumps = context["dynamic"]
        if jumps is not None:
            row[cells.JUMP_FIRST] = len(stations)
            row[cells.JUMP_COUNT] = len(jumps["stations"])
            row[cells.JUMP_GAP] = jumps.get("mean_gap", 0.0)
            slots.extend(jumps.get("slots", [0] * len(jumps["stations"])))
            stations.extend(jumps["stations"])
    return Tasks(parameters, np.array(slots, np.int64), np.array(stations, np.int64))
