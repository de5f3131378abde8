"""How stations decide under the references: rules that know more than a station does, and rules on an observation."""

from __future__ import annotations

import numpy as np

from roamrl.envs.compiled import compiled, inlined
from roamrl.envs.mac.observation import EVENT, FIRST_EVENT, OTHERS, OWN, OWN_D2LT
from roamrl.envs.streams import fold, uniform

(
    PERSISTENT,
    BACKLOG,
    BACKOFF,
    LONGEST_QUEUE,
    LEAVING_FIRST,
    ROUND_ROBIN,
    KEEP,
    RESERVATION,
    LONGEST_WAIT,
) = range(9)
ON_OBSERVATION = KEEP
"""From this rule on a station decides by its row of the observation alone."""

FIRST_WINDOW = 16
LAST_WINDOW = 1024
"""Contention windows of IEEE 802.11 DCF (OFDM physical layer, aCWmin 15 and aCWmax 1023)."""

MEMORY = np.dtype([("counter", "i8"), ("window", "i8"), ("joined", "i8")], align=True)
"""What a station that backs off remembers: idle epochs yet to wait, its contention window, when it joined."""

_POLICY = np.uint64(3)


@inlined
def _chance(cell, station):  # type: ignore[no-untyped-def]
    """Draw a station's random number of this epoch."""
    return uniform(fold(station.key, _POLICY), cell.epochs)


@compiled
def choose(rule, cell, stations, staying, chances, memory, obs, transmit):  # type: ignore[no-untyped-def]
    """Decide who transmits in the next epoch of a cell.

    Args:
        rule: Which rule.
        cell: The cell.
        stations: Its stations, [S].
        staying: Stations after the next jump (read by ``LEAVING_FIRST``).
        chances: Probability of transmitting by number of stations (``BACKLOG``: of those with a packet), [S + 1].
        memory: What stations remember (``BACKOFF``), [S] of MEMORY.
        obs: The observation, [S, O]; read by the rules from ``ON_OBSERVATION`` on.
        transmit: [S], written.
    """
    transmit[:] = 0
    if rule == BACKOFF:
        _back_off(cell, stations, memory, transmit)
    elif LONGEST_QUEUE <= rule <= ROUND_ROBIN:
        _schedule(rule, cell, stations, staying, transmit)
    else:
        entry = _backlogged(cell, stations) if rule == BACKLOG else cell.stations
        for i in range(cell.stations):
            u = _chance(cell, stations[i])
            if rule == KEEP:
                sends = _keep(obs[i], u, chances[entry])
            elif rule == RESERVATION:
                sends = _reserve(obs[i], u, chances[entry])
            elif rule == LONGEST_WAIT:
                sends = _wait_longest(obs[i], u, chances[entry])
            else:
                sends = u < chances[entry]
            transmit[i] = 1 if sends else 0


@compiled
def _backlogged(cell, stations):  # type: ignore[no-untyped-def]
    """Return how many stations have a packet."""
    count = 0
    for i in range(cell.stations):
        count += stations[i].count > 0
    return count


@compiled
def _schedule(rule, cell, stations, staying, transmit):  # type: ignore[no-untyped-def]
    """Let one station with a packet transmit; ``staying`` of them stay at the next jump.

    ``LONGEST_QUEUE``: the one with the most packets, of several the one whose last success is longest ago;
    ``LEAVING_FIRST``: the same, but those first that leave at the next jump; ``ROUND_ROBIN``: the one whose last
    success is longest ago, of several the one with the most packets.
    """
    chosen = -1
    for i in range(cell.stations):
        if stations[i].count == 0:
            continue
        if chosen >= 0:
            first = stations[i].count - stations[chosen].count
            second = stations[chosen].last_success - stations[i].last_success
            if rule == ROUND_ROBIN:
                first, second = second, first
            if rule == LEAVING_FIRST and i >= staying > chosen:
                first = 1
            if first < 0 or (first == 0 and second <= 0):
                continue
        chosen = i
    if chosen >= 0:
        transmit[chosen] = 1


@compiled
def _back_off(cell, stations, memory, transmit):  # type: ignore[no-untyped-def]
    """Binary exponential backoff (IEEE 802.11-2020, 10.3): count idle epochs down, freeze while the channel is busy.

    A window doubles with a collision and is the first again after a success; there is no limit to retries. The counter
    runs on while the queue is empty (post-backoff), so that a packet that finds it at zero is sent at once.
    """
    for i in range(cell.stations):
        station, own = stations[i], memory[i]
        if cell.epochs == 0 or own.joined != station.joined:
            own.joined = station.joined
            own.window = FIRST_WINDOW
            own.counter = int(_chance(cell, station) * FIRST_WINDOW)
        elif station.sent == 1:
            own.window = FIRST_WINDOW if cell.winner == i else min(2 * own.window, LAST_WINDOW)
            own.counter = int(_chance(cell, station) * own.window)
        elif cell.transmitters == 0 and own.counter > 0:
            own.counter -= 1
        transmit[i] = 1 if own.counter == 0 else 0


@inlined
def _keep(seen, u, chance):  # type: ignore[no-untyped-def]
    """Go on after an own success; contend after silence or an own collision; else wait."""
    last = len(seen) - 1 - EVENT
    if seen[last + OWN] > 0.0 and seen[last + OTHERS] == 0.0:
        return True
    return seen[last + OWN] == seen[last + OTHERS] and u < chance


@inlined
def _reserve(seen, u, chance):  # type: ignore[no-untyped-def]
    """Do what worked one history ago (reservation ALOHA, Crowther et al., 1973, a frame being a history of events).

    A place in which the station got through is its own, one in which the channel was busy is another's, and for an idle
    one it contends.
    """
    if seen[FIRST_EVENT + OTHERS] > 0.0:
        return False
    return seen[FIRST_EVENT + OWN] > 0.0 or u < chance


@inlined
def _wait_longest(seen, u, chance):  # type: ignore[no-untyped-def]
    """Transmit if the own wait is the longest; contend if it is as long as another, after silence or a collision."""
    last = len(seen) - 1 - EVENT
    share = seen[last + OWN_D2LT]
    if share > 0.5:
        return True
    tied = share == 0.5 or share == 0.0  # 0: nothing has happened yet
    return (tied or seen[last + OWN] == seen[last + OTHERS]) and u < chance
