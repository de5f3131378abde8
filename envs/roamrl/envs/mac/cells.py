"""The arrays of N cells: records of the cell and of its stations, queues, and the columns of the parameter table."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

SATURATED, POISSON, BURSTS, PERIODIC = range(4)
"""Arrival laws, in the order of ``context.ARRIVALS``."""

(
    STATIONS,
    LOAD,
    ARRIVAL,
    PACKET_SLOTS,
    BATCH,
    JUMP_FIRST,
    JUMP_COUNT,
    JUMP_GAP,
    EPISODE_SLOTS,
    FAIRNESS,
    COLLISION_COST,
    LONGEST,
    PARAMETERS,
) = range(13)
"""Columns of the parameter table [tasks, PARAMETERS]: stations at the start; payload slots offered a slot; arrival law;
slots of a packet; packets that arrive together; first entry and number of the task's jumps; mean gap of jumps at random
slots (0 where their slots are given); slots of an episode; weight of the fairness term; cost of a collided slot;
whether stations know the longest of the others' waits (else the last success among them)."""

UTILISATION, COLLISION_RATE, JAIN, DELAY_P99, LOSS_RATE, MEASURES = range(6)

CELL = np.dtype(
    [
        ("next_arrival", "f8"),
        ("payload_slots", "i8"),
        ("time", "i8"),
        ("next_jump", "i8"),
        ("jumps", "i8"),
        ("epochs", "i8"),
        ("stations", "i8"),
        ("duration", "i8"),
        ("transmitters", "i8"),
        ("winner", "i8"),
        ("latest", "i8"),
        ("latest_at", "i8"),
        ("other_at", "i8"),
        ("busy", "i8"),
        ("collided", "i8"),
        ("offered", "i8"),
        ("lost", "i8"),
        ("delivered", "i8"),
        ("squares", "i8"),
        ("quantile", "i8"),
        ("above", "i8"),
        ("delay", "f8"),
        ("key", "u8"),
    ],
    align=True,
)
"""A cell. ``next_arrival``: the earliest of its stations'; ``time``: slots since the episode began; ``next_jump``: slot
from which on the number of stations changes; ``jumps``, ``epochs``: made so far. Of the last epoch: ``duration``,
``transmitters``, ``winner`` (whose packet got through, else -1) and its ``delay`` in slots. ``latest`` succeeded last
(-1: nobody, or one that left), at ``latest_at``; another one last at ``other_at``. Sums since the episode began:
``payload_slots`` delivered, ``busy`` and ``collided`` epochs, packets ``offered``, ``lost`` and ``delivered``, and the
``squares`` of the stations' deliveries. ``quantile``: bin of the delays' 99 % quantile, with ``above`` of them in
higher bins."""

STATION = np.dtype(
    [
        ("next_arrival", "f8"),
        ("drawn", "i8"),
        ("last_success", "i8"),
        ("joined", "i8"),
        ("present_slots", "i8"),
        ("delivered", "i8"),
        ("head", "i8"),
        ("count", "i8"),
        ("sent", "i8"),
        ("key", "u8"),
    ],
    align=True,
)
"""A station. ``drawn``: gaps drawn so far; ``last_success``: slot in which its last packet ended (before the first, the
one in which it joined); ``joined``: slot in which it came; ``present_slots``: in earlier stays; ``head``, ``count``:
ring of its queue; ``sent``: whether it transmitted in the last epoch."""

SUBBINS = 32
MOST_SLOTS = 2_000_000
"""Longest episode, slots: no delay is longer."""

BINS = 17 * SUBBINS
"""Bins of the histogram of delays: whole slots to 63, then 32 an octave up to 2^21."""


class Cells(NamedTuple):
    """State of N cells of at most S stations with queues of Q packets."""

    cells: NDArray[Any]  # [N] of CELL
    stations: NDArray[Any]  # [N, S] of STATION
    queues: NDArray[np.float64]  # [N, S, Q] when a packet arrived, slots since the episode began
    delays: NDArray[np.uint32]  # [N, BINS] packets delivered, by delay


def make_cells(count: int, stations: int, packets: int) -> Cells:
    """Allocate N cells."""
    return Cells(
        np.zeros(count, CELL),
        np.zeros((count, stations), STATION),
        np.zeros((count, stations, packets)),
        np.zeros((count, BINS), np.uint32),
    )


class Tasks(NamedTuple):
    """What the kernel knows of T tasks of one config."""

    parameters: NDArray[np.float64]  # [T, PARAMETERS]
    jump_slots: NDArray[np.int64]  # one task's after the other's; 0 where jumps come at random
    jump_stations: NDArray[np.int64]
