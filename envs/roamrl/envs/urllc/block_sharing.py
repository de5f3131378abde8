"""Several users on shared resource blocks: who gets which block, so that all rates together take little power.

A block serves one user (OFDMA). Each user fills its blocks by water-filling; the assignment of blocks is combinatorial
(Wong, Cheng, Letaief and Murch, IEEE JSAC 17(10), 1999, state the problem of least total power at given rates). Where
the users who send can share the blocks in at most ``MOST_WAYS`` ways, all are tried, so that the power is the least
there is: two users on any blocks, three on five, four on four. Beyond, a first block for each user, most urgent first;
then block by block to whom it spares most; then moves of one block and swaps of two while they spare power.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from roamrl.envs.compiled import compiled
from roamrl.envs.urllc.channel import least_power


class Room(NamedTuple):
    """Room of an assignment of B blocks with L levels to U users."""

    active: NDArray[np.int64]  # [U] users who send, first
    owner: NDArray[np.int64]  # [B] user of each block, -1 for none
    counts: NDArray[np.int64]  # [U, L] blocks of each level a user has
    power: NDArray[np.float64]  # [U] power of each user


MOST_WAYS = 256

_ROUNDS = 100
_LEAST_GAIN = 1e-9


@compiled
def _give(room, levels, block, user):  # type: ignore[no-untyped-def]
    """Take a block from its owner, if any, and give it to a user (-1: to nobody)."""
    before = room.owner[block]
    if before >= 0:
        room.counts[before, levels[before, block]] -= 1
    if user >= 0:
        room.counts[user, levels[user, block]] += 1
    room.owner[block] = user


def make_room(users: int, blocks: int, levels: int) -> Room:
    """Allocate the room of an assignment."""
    counts = np.zeros((users, levels), np.int64)
    return Room(np.zeros(users, np.int64), np.zeros(blocks, np.int64), counts, np.zeros(users))


@compiled
def shared_power_of_cells(rows, rates, tasks, table, cells, room, power):  # type: ignore[no-untyped-def]
    """Write the power of a slot in which users share the blocks.

    Args:
        rows: Downlinks, [M].
        rates: Packets of each user, [N, U].
        tasks: Entry of the table each downlink plays, [N].
        table: Parameters of the tasks (``kernel.Table``).
        cells: State (``kernel.Cells``).
        room: Room of the assignment.
        power: [N], written.
    """
    for m in range(len(rows)):
        row = rows[m]
        task = tasks[row]
        power[row] = shared_power(rates[row], cells.levels[row], table.noise[task], table.log2_noise[task], room)


@compiled
def shared_power(rates, levels, noise, log2_noise, room):  # type: ignore[no-untyped-def]
    """Return the power of all users together.

    Args:
        rates: Packets of each user, [U].
        levels: Gain level of each user on each block, [U, B]; at least as many blocks as users.
        noise: Power over SNR at each level, falling, [L].
        log2_noise: Its logarithm, [L].
        room: Room of the assignment, written.
    """
    users, blocks = levels.shape
    active = 0
    for user in range(users):
        if rates[user] > 0:
            room.active[active] = user
            active += 1
    if active == 0:
        return 0.0
    ways = 1
    for _ in range(blocks):
        ways = min(ways * active, MOST_WAYS + 1)
    room.owner[:] = -1
    room.counts[:] = 0
    if ways <= MOST_WAYS:
        return _least_of_all(rates, levels, noise, log2_noise, room, active, ways)
    return _found_by_search(rates, levels, noise, log2_noise, room)


@compiled
def _least_of_all(rates, levels, noise, log2_noise, room, active, ways):  # type: ignore[no-untyped-def]
    """Return the least power over all assignments to the active users, counted through as an odometer."""
    blocks = levels.shape[1]
    for block in range(blocks):
        _give(room, levels, block, room.active[0])
    best = math.inf
    for way in range(ways):
        total = 0.0
        for entry in range(active):
            user = room.active[entry]
            total += least_power(room.counts[user], noise, log2_noise, rates[user])
        best = min(best, total)
        rest = way + 1
        for block in range(blocks):
            _give(room, levels, block, room.active[rest % active])
            if rest % active > 0:
                break
            rest //= active
    return best


@compiled
def _found_by_search(rates, levels, noise, log2_noise, room):  # type: ignore[no-untyped-def]
    """Return the power of the assignment that additions and exchanges lead to."""
    room.power[:] = 0.0
    _first_blocks(rates, levels, noise, room)
    for user in range(len(rates)):
        room.power[user] = least_power(room.counts[user], noise, log2_noise, rates[user])
    while _best_addition(rates, levels, noise, log2_noise, room):
        pass
    for _ in range(_ROUNDS):
        if not _best_exchange(rates, levels, noise, log2_noise, room):
            break
    return room.power.sum()


@compiled
def _first_blocks(rates, levels, noise, room):  # type: ignore[no-untyped-def]
    """Give each user who sends a block: first the one whose power rises most if it misses its best."""
    users, blocks = levels.shape
    for _ in range(users):
        chosen, chosen_block, regret = -1, -1, -1.0
        for user in range(users):
            if rates[user] == 0 or room.counts[user].sum() > 0:
                continue
            first, second, best = math.inf, math.inf, -1
            for block in range(blocks):
                if room.owner[block] < 0:
                    power = noise[levels[user, block]] * float((1 << rates[user]) - 1)
                    if power < first:
                        first, second, best = power, first, block
                    elif power < second:
                        second = power
            if second - first > regret:
                chosen, chosen_block, regret = user, best, second - first
        if chosen < 0:
            break
        _give(room, levels, chosen_block, chosen)


@compiled
def _best_addition(rates, levels, noise, log2_noise, room):  # type: ignore[no-untyped-def]
    """Give the free block and user that spare most power to each other; return whether there is such a pair."""
    users, blocks = levels.shape
    chosen, chosen_block, most = -1, -1, _LEAST_GAIN
    for block in range(blocks):
        if room.owner[block] >= 0:
            continue
        for user in range(users):
            if rates[user] > 0:
                _give(room, levels, block, user)
                spared = room.power[user] - least_power(room.counts[user], noise, log2_noise, rates[user])
                _give(room, levels, block, -1)
                if spared > most:
                    chosen, chosen_block, most = user, block, spared
    if chosen < 0:
        return False
    _give(room, levels, chosen_block, chosen)
    room.power[chosen] = least_power(room.counts[chosen], noise, log2_noise, rates[chosen])
    return True


@compiled
def _best_exchange(rates, levels, noise, log2_noise, room):  # type: ignore[no-untyped-def]
    """Make the move of one block, or the swap of two, that spares most power; return whether there is one."""
    moved, block, user = _best_move(rates, levels, noise, log2_noise, room)
    swapped, one, two = _best_swap(rates, levels, noise, log2_noise, room)
    if max(moved, swapped) <= _LEAST_GAIN:
        return False
    if moved >= swapped:
        before, after = room.owner[block], user
        _give(room, levels, block, user)
    else:
        before, after = room.owner[one], room.owner[two]
        _give(room, levels, one, after)
        _give(room, levels, two, before)
    for changed in (before, after):
        if changed >= 0:
            room.power[changed] = least_power(room.counts[changed], noise, log2_noise, rates[changed])
    return True


@compiled
def _best_move(rates, levels, noise, log2_noise, room):  # type: ignore[no-untyped-def]
    """Return the most power that a block's move to another user spares, the block and that user."""
    most, best, best_user = 0.0, -1, -1
    for block in range(levels.shape[1]):
        owner = room.owner[block]
        if owner < 0:
            continue
        for user in range(levels.shape[0]):
            if owner != user and rates[user] > 0:
                _give(room, levels, block, user)
                spared = _spared(rates, noise, log2_noise, room, owner, user)
                _give(room, levels, block, owner)
                if spared > most:
                    most, best, best_user = spared, block, user
    return most, best, best_user


@compiled
def _best_swap(rates, levels, noise, log2_noise, room):  # type: ignore[no-untyped-def]
    """Return the most power that a swap of two owners' blocks spares (one may be nobody), and the blocks."""
    most, first, second = 0.0, -1, -1
    for block in range(levels.shape[1]):
        for other in range(block + 1, levels.shape[1]):
            one, two = room.owner[block], room.owner[other]
            if one != two:
                _give(room, levels, block, two)
                _give(room, levels, other, one)
                spared = _spared(rates, noise, log2_noise, room, one, two)
                _give(room, levels, block, one)
                _give(room, levels, other, two)
                if spared > most:
                    most, first, second = spared, block, other
    return most, first, second


@compiled
def _spared(rates, noise, log2_noise, room, one, two):  # type: ignore[no-untyped-def]
    """Return by how much the power of two users falls with the blocks they have now; of nobody (-1) it is 0."""
    spared = 0.0
    for user in (one, two):
        if user >= 0:
            spared += room.power[user] - least_power(room.counts[user], noise, log2_noise, rates[user])
    return spared
