"""Packets that arrive, and stations that come and go; all of it is a function of the streams and of time alone."""

from __future__ import annotations

import math

import numpy as np

from roamrl.envs.compiled import compiled, inlined
from roamrl.envs.mac.cells import (
    ARRIVAL,
    BATCH,
    JUMP_COUNT,
    JUMP_FIRST,
    JUMP_GAP,
    LOAD,
    PACKET_SLOTS,
    PERIODIC,
    SATURATED,
    STATIONS,
)
from roamrl.envs.streams import exponential, fold, uniform

_STATION = np.uint64(1)
_JUMPS = np.uint64(2)
NEVER = 1 << 62


@inlined
def _mean_gap(p, stations):  # type: ignore[no-untyped-def]
    """Return the mean slots between two arrivals at one of so many stations."""
    return stations * p[PACKET_SLOTS] * p[BATCH] / p[LOAD]


@inlined
def _draw_gap(station, p, mean_gap):  # type: ignore[no-untyped-def]
    """Draw the slots until a station's next arrival."""
    drawn = station.drawn
    station.drawn = drawn + 1
    if p[ARRIVAL] == PERIODIC:
        return mean_gap
    return exponential(station.key, drawn) * mean_gap


@compiled
def begin_stations(cell, stations, queues, p, jump_slots):  # type: ignore[no-untyped-def]
    """Start an episode: the first stations come, nobody else was ever there."""
    cell.time = 0
    cell.jumps = 0
    cell.offered = 0
    cell.lost = 0
    root = fold(cell.key, _STATION)
    for i in range(len(stations)):
        station = stations[i]
        station.key = fold(root, np.uint64(i))
        station.drawn = 0
        station.delivered = 0
        station.present_slots = 0
        station.joined = 0
        station.count = 0
        station.sent = 0
    cell.stations = int(p[STATIONS])
    _join(cell, stations, queues, p, 0)
    cell.next_jump = NEVER
    if p[JUMP_COUNT] > 0.0:
        cell.next_jump = 0
        _schedule_jump(cell, p, jump_slots)


@compiled
def _join(cell, stations, queues, p, first):  # type: ignore[no-untyped-def]
    """Let the stations from ``first`` on come: with a full queue where traffic is saturated, else an empty one."""
    saturated = p[ARRIVAL] == SATURATED
    mean_gap = _mean_gap(p, cell.stations)
    for i in range(first, cell.stations):
        station = stations[i]
        station.joined = cell.time
        station.last_success = cell.time
        station.sent = 0
        station.head = 0
        station.count = queues.shape[1] if saturated else 0
        if saturated:
            station.next_arrival = math.inf
        elif p[ARRIVAL] == PERIODIC:
            station.next_arrival = cell.time + uniform(station.key, station.drawn) * mean_gap
            station.drawn += 1
        else:
            station.next_arrival = cell.time + _draw_gap(station, p, mean_gap)
    _find_next_arrival(cell, stations)


@compiled
def _find_next_arrival(cell, stations):  # type: ignore[no-untyped-def]
    """Note when the next packet of all arrives."""
    earliest = math.inf
    for i in range(cell.stations):
        earliest = min(earliest, stations[i].next_arrival)
    cell.next_arrival = earliest


@compiled
def admit(cell, stations, queues, p, until):  # type: ignore[no-untyped-def]
    """Queue the packets that arrive up to a time; those that find a full queue are lost.

    Args:
        cell: The cell.
        stations: Its stations, [S].
        queues: Their queues, [S, Q].
        p: Its task's parameters, [PARAMETERS].
        until: Slots since the episode began.
    """
    if cell.next_arrival > until:
        return
    room = queues.shape[1]
    batch = int(p[BATCH])
    mean_gap = _mean_gap(p, cell.stations)
    for i in range(cell.stations):
        station = stations[i]
        while station.next_arrival <= until:
            for _ in range(batch):
                if station.count < room:
                    queues[i, (station.head + station.count) % room] = station.next_arrival
                    station.count += 1
                else:
                    cell.lost += 1
            cell.offered += batch
            station.next_arrival += _draw_gap(station, p, mean_gap)
    _find_next_arrival(cell, stations)


@compiled
def jump(cell, stations, queues, p, jump_slots, jump_stations):  # type: ignore[no-untyped-def]
    """Change the number of stations; the aggregate load stays, and those with the highest numbers leave or come.

    The time to the next arrival of a station that stays is stretched with its mean gap, so that a Poisson process goes
    on as one of the new rate.
    """
    before, now = cell.stations, cell.time
    after = next_stations(cell, p, jump_stations)
    for i in range(after, before):
        station = stations[i]
        station.present_slots += now - station.joined
        station.count = 0
        station.sent = 0
    for i in range(min(before, after)):
        station = stations[i]
        station.next_arrival = now + (station.next_arrival - now) * after / before
    if cell.latest >= after:
        cell.latest = -1
    cell.stations = after
    _join(cell, stations, queues, p, before)
    cell.jumps += 1
    _schedule_jump(cell, p, jump_slots)


@compiled
def next_stations(cell, p, jump_stations):  # type: ignore[no-untyped-def]
    """Return the number of stations after the next jump: the one given, or a random other one (without, as now)."""
    if cell.next_jump == NEVER:
        return cell.stations
    first, count = int(p[JUMP_FIRST]), int(p[JUMP_COUNT])
    if p[JUMP_GAP] == 0.0:
        return jump_stations[first + cell.jumps]
    others = 0
    for entry in range(first, first + count):
        others += jump_stations[entry] != cell.stations
    left = int(uniform(fold(cell.key, _JUMPS), 2 * cell.jumps + 1) * others)
    for entry in range(first, first + count):
        if jump_stations[entry] != cell.stations:
            if left == 0:
                return jump_stations[entry]
            left -= 1
    return cell.stations


@compiled
def _schedule_jump(cell, p, jump_slots):  # type: ignore[no-untyped-def]
    """Set the slot of the next jump: the one given, or half to one and a half mean gaps after the last."""
    if p[JUMP_GAP] > 0.0:
        gap = p[JUMP_GAP] * (0.5 + uniform(fold(cell.key, _JUMPS), 2 * cell.jumps))
        cell.next_jump += max(1, int(gap))
    elif cell.jumps < p[JUMP_COUNT]:
        cell.next_jump = jump_slots[int(p[JUMP_FIRST]) + cell.jumps]
    else:
        cell.next_jump = NEVER
