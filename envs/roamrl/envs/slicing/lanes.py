"""The arrays of a cell's slices: a lane is one slice of one cell, and lane = row * slices + slice.

State is kept in a few arrays of records, lane first: a compiled function gets a pointer to one record, where a tuple of
plain arrays would be copied with every call. It is cut in two by what it depends on:

* :class:`Users` moves by itself (arrivals and departures of users, bursts, radio, packets offered): it is a function
  of the random streams and the context, never of an action.
* :class:`Queues` moves by service, and service draws no random number.

So what a window brings (:class:`Window`) can be drawn once and served under many shares: slices are separable.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

CONTROL, VIDEO, XR, VOICE = 0, 1, 2, 3
"""Kinds of source."""

ROUND_ROBIN, PROPORTIONAL_FAIR = 0, 1

FREE, PRESENT, LINGERING = 0, 1, 2
"""States of a user slot. A user who left lingers until the last of its packets is delivered or discarded."""

(
    KIND,
    PRB,
    USERS,
    STAY,
    PACKETS_PER_MS,
    PACKET_BITS,
    GAP_MS,
    BURST_HIGH,
    BURST_LOW,
    BURST_DOWN,
    BURST_UP,
    TIMER_MS,
    C1,
    C2,
    WEIGHT,
    DELAY_UNIT_MS,
    SNR_DB,
    SNR_SPREAD_DB,
    SHADOWING_RHO,
    FADING_RHO,
    XR_TRACE,
    XR_TRACES,
    SNR_TRACE,
    SNR_TRACES,
    LINGER,
    SCHEDULER,
    PARAMETERS,
) = range(27)
"""Columns of the parameter table [tasks, slices, PARAMETERS] (see ``context.parameter_table``)."""

(
    OFFERED_BITS,
    DELIVERED_BITS,
    DROPPED_BITS,
    QUEUED_BITS,
    BACKLOG_BITS,
    DELIVERED,
    DROPPED,
    WAITING,
    LATE,
    DELAY_SUM_MS,
    OLDEST_MS,
    BUSY_MS,
    EFFICIENCY,
    MEASURED,
) = range(14)
"""Columns of what a window gave in a lane, [lanes, MEASURED]. Bits of whole packets offered, delivered, dropped, and
queued at its end; ``BACKLOG_BITS`` leaves out what is already sent of the packets in front. Packets delivered, dropped,
waiting at its end, and late (delay over c2) among these three; sum of their delays; age of the oldest waiting; time
with resource blocks in use; mean spectral efficiency of the users present (0 without users)."""


def _record(floats: str, integers: str = "", keys: str = "", counts: str = "") -> np.dtype[np.void]:
    """Return the type of a record; ``counts`` are never negative, so that an index need not be looked at twice."""
    parts = [(floats, "f8"), (integers, "i8"), (keys, "u8"), (counts, "u4")]
    return np.dtype([(name, kind) for names, kind in parts for name in names.split()], align=True)


LANE = _record("next_user", "window seen top", "key")
"""When the next user arrives (windows); windows since the episode began, warm-up included; users that ever arrived;
slots from there on are free; root of the lane's random streams."""

USER = _record("until due level_db shadowing_db fading_db", "state number high drawn", "key")
"""Window in which the state ends; ms of the next packet since the episode began (control: expected packets until it);
mean SNR (with an SNR trace the ms of its start since the episode began); FREE, PRESENT or LINGERING; which user of the
lane it is, from 0; whether it is in its high burst state (voice: a talk spurt); packets drawn; root of its streams."""

PACKET = _record("arrived_ms bits")
"""Arrival since the episode began, and size."""

LINE = _record("left_bits average", "", "", "head count")
"""A user's line: bits yet to be sent of the packet in front; bits a slot, averaged for proportional fair; ring position
of the packet in front; packets waiting."""

VISIT = _record("", "user", "", "arrivals fresh")
"""A user's window: its slot (-1 after the last); packets that arrive; whether the user came in it."""

TURN = _record("ready_ms left_bits expiry_ms speed served_bits", "", "", "user arrivals admitted")
"""A user that has something to send in a window: from when on (-1 if something waits); of the packet in front the bits
yet to be sent and when it expires; bits a ms while it is served; bits sent in this slot; its user slot; packets that
arrive in this window; those of them that are in the queue or dropped."""

SPARE = 4
"""Room of a ring beyond the packets it may hold. Rings of a power of two of bytes would all begin in the same few sets
of a processor's caches and push each other out."""


class Users(NamedTuple):
    """Users of L lanes with U user slots, and the state of their sources and radios."""

    lanes: NDArray[Any]  # [L] of LANE
    slots: NDArray[Any]  # [L, U] of USER


class Queues(NamedTuple):
    """Queues of L lanes: for each of U user slots a ring of Q packets."""

    packets: NDArray[Any]  # [L, U, Q + SPARE] of PACKET
    lines: NDArray[Any]  # [L, U] of LINE
    turn: I64  # [L] user slot last served


class Window(NamedTuple):
    """What one window brings to one lane; at most M packets a user, F fading periods.

    Written by ``draw_window`` but for ``turns``, which are the room of ``serve_window``.
    """

    packets: NDArray[Any]  # [U, M] of PACKET, in order of arrival
    visits: NDArray[Any]  # [U] of VISIT, users present or lingering by slot
    efficiency: F64  # [U, F] spectral efficiency, 0 where the user cannot be served
    turns: NDArray[Any]  # [U] of TURN


class Traces(NamedTuple):
    """Recorded traces one after another; trace i is ``[start[i], start[i + 1])``."""

    frame_bits: F64
    gap_ms: F64
    frame_start: I64
    snr_db: F64
    snr_start: I64
    snr_period_ms: F64


def make_users(lanes: int, slots: int) -> Users:
    """Allocate the users of L lanes."""
    return Users(np.zeros(lanes, LANE), np.zeros((lanes, slots), USER))


def make_queues(lanes: int, slots: int, buffer: int) -> Queues:
    """Allocate the queues of L lanes: U user slots, Q packets each."""
    return Queues(
        np.zeros((lanes, slots, buffer + SPARE), PACKET), np.zeros((lanes, slots), LINE), np.zeros(lanes, np.int64)
    )


def make_window(slots: int, packets: int, periods: int) -> Window:
    """Allocate the window of one lane: U user slots, M packets a user, F fading periods."""
    return Window(
        np.zeros((slots, packets), PACKET), np.zeros(slots, VISIT), np.zeros((slots, periods)), np.zeros(slots, TURN)
    )
