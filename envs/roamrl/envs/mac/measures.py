"""What an episode has come to so far: utilisation, collisions, fairness, delays, losses."""

from __future__ import annotations

import math

from roamrl.envs.compiled import compiled
from roamrl.envs.mac.cells import COLLISION_RATE, DELAY_P99, JAIN, LOSS_RATE, SUBBINS, UTILISATION

ALLOWED_ABOVE = 100
"""One delay in so many may lie above the 99 % quantile."""


@compiled
def bin_of(delay):  # type: ignore[no-untyped-def]
    """Return the bin of a delay in slots: whole slots to 63, then 32 bins an octave."""
    slots = math.ceil(delay)
    shift = 0
    while (slots >> shift) >= 2 * SUBBINS:
        shift += 1
    return shift * SUBBINS + (slots >> shift)


@compiled
def upper_edge(entry):  # type: ignore[no-untyped-def]
    """Return the largest delay of a bin, slots: at most 1/32 above any delay in it."""
    shift = max(entry // SUBBINS - 1, 0)
    return ((entry - shift * SUBBINS + 1) << shift) - 1


@compiled
def count_delay(cell, delays):  # type: ignore[no-untyped-def]
    """Count the last packet's delay, and move the 99 % quantile to where it now belongs (nearest rank).

    Args:
        cell: The cell; ``delivered`` counts the packet already.
        delays: Its histogram, [BINS].
    """
    entry = bin_of(cell.delay)
    delays[entry] += 1
    quantile, above = cell.quantile, cell.above
    if entry > quantile:
        above += 1
    allowed = cell.delivered // ALLOWED_ABOVE
    while above > allowed:
        quantile += 1
        above -= delays[quantile]
    while above + delays[quantile] <= allowed:
        above += delays[quantile]
        quantile -= 1
    cell.quantile, cell.above = quantile, above


@compiled
def look_back(cell, stations, measures):  # type: ignore[no-untyped-def]
    """Write what the episode has come to since it began, [MEASURES].

    Args:
        cell: The cell.
        stations: Its stations, [S].
        measures: [MEASURES], written.
    """
    measures[UTILISATION] = cell.payload_slots / cell.time
    measures[COLLISION_RATE] = cell.collided / max(cell.busy, 1)
    measures[JAIN] = _jain(cell, stations)
    measures[DELAY_P99] = upper_edge(cell.quantile) if cell.delivered > 0 else 0.0
    measures[LOSS_RATE] = cell.lost / max(cell.offered, 1)


@compiled
def _jain(cell, stations):  # type: ignore[no-untyped-def]
    """Return Jain's index of the throughputs of all stations that were there, each over its own time there.

    (sum x)^2 / (n sum x^2) (Jain, Chiu and Hawe, DEC-TR-301, 1984); 1 while nothing is delivered.
    """
    total, squares, count = float(cell.delivered), float(cell.squares), cell.stations
    if cell.jumps > 0:
        total, squares, count = 0.0, 0.0, 0
        for i in range(len(stations)):
            slots = stations[i].present_slots + (cell.time - stations[i].joined if i < cell.stations else 0)
            if slots > 0:
                rate = stations[i].delivered / slots
                total += rate
                squares += rate * rate
                count += 1
    return total * total / (count * squares) if squares > 0.0 else 1.0
