"""What a station sees: whether it is there, the last events as it heard them, and its own queue.

Column 0 is 1 for a station that is present, else 0, and so is everything else in the row of an absent one. Then come
``history`` events of five numbers each, the latest last (zeros before the first), and last the own queue:

========= ============================================================================ =======
column    number                                                                       unit
========= ============================================================================ =======
OWN       1 if the station transmitted                                                 1
OTHERS    1 if the channel was busy with others                                        1
DURATION  slots of the event over L: 1/L idle, (L + 1)/L busy                          packets
OWN_D2LT  d / (d + d') at the event's end, d the time since its own last success       1
OTHERS'   d' / (d + d'), d' the time since the others' last success (or their longest) 1
queue     own packets over the queue's room                                            1
========= ============================================================================ =======

Delay to last successful transmission (D2LT) and its shares are those of Guo et al., IEEE JSAC 40(5), 2022.
"""

from __future__ import annotations

import numpy as np
from gymnasium import spaces

from roamrl.envs.compiled import compiled
from roamrl.envs.mac.cells import LONGEST, PACKET_SLOTS
from roamrl.envs.mac.config import MACConfig

PRESENT = 0
FIRST_EVENT = 1
OWN, OTHERS, DURATION, OWN_D2LT, OTHERS_D2LT, EVENT = range(6)
"""Columns of an event, and their number."""


def observed_size(config: MACConfig) -> int:
    """Return the numbers in a station's row, O."""
    return 2 + config.history * EVENT


def observation_space(config: MACConfig) -> spaces.Box:
    """Return the space of a cell's observation, [n_max, O]."""
    return spaces.Box(0.0, 2.0, (config.n_max, observed_size(config)), np.float32)


@compiled
def begin_observation(cell, stations, room, obs):  # type: ignore[no-untyped-def]
    """Write the observation before the first event.

    Args:
        cell: The cell.
        stations: Its stations, [S].
        room: Packets a queue can hold.
        obs: [S, O], written.
    """
    obs[:, :] = 0.0
    for i in range(cell.stations):
        obs[i, PRESENT] = 1.0
        obs[i, obs.shape[1] - 1] = stations[i].count / room


@compiled
def refresh_stations(cell, stations, room, before, obs):  # type: ignore[no-untyped-def]
    """Clear the rows of stations that left, and begin those of stations that came, ``before`` having been there."""
    for i in range(min(before, cell.stations), max(before, cell.stations)):
        obs[i, :] = 0.0
    for i in range(before, cell.stations):
        obs[i, PRESENT] = 1.0
        obs[i, obs.shape[1] - 1] = stations[i].count / room


@compiled
def push_event(cell, stations, room, p, before, obs):  # type: ignore[no-untyped-def]
    """Append the last epoch to what the stations saw that were there before it and are there still.

    Args:
        cell: The cell, after the epoch.
        stations: Its stations, [S].
        room: Packets a queue can hold.
        p: Its task's parameters, [PARAMETERS].
        before: Number of stations during the epoch.
        obs: [S, O], written.
    """
    size = obs.shape[1]
    last = size - 1 - EVENT
    duration = cell.duration / p[PACKET_SLOTS]
    count = min(before, cell.stations)
    first, second = cell.time, cell.time  # the two earliest of the stations' last successes
    if p[LONGEST] != 0.0:
        for i in range(cell.stations):
            success = stations[i].last_success
            second = min(second, max(first, success))
            first = min(first, success)
    for i in range(count):
        station = stations[i]
        row = obs[i]
        for column in range(FIRST_EVENT, last):
            row[column] = row[column + EVENT]
        own = cell.time - station.last_success
        if p[LONGEST] == 0.0:
            others = cell.time - (cell.other_at if cell.latest == i else cell.latest_at)
        else:
            others = cell.time - (second if station.last_success == first else first)
        total = max(own + others, 1)
        row[last + OWN] = station.sent
        row[last + OTHERS] = 1.0 if cell.transmitters > station.sent else 0.0
        row[last + DURATION] = duration
        row[last + OWN_D2LT] = own / total
        row[last + OTHERS_D2LT] = others / total
        row[size - 1] = station.count / room
