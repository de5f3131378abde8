"""Service of a lane's queues over one window, in event time: exact waits, no random number, no allocation.

In every slot the slice's resource blocks go to one user, the next in turn (round robin) or the one with the largest
efficiency over its average (proportional fair); when its queue empties within the slot the rest goes to the next user.
A user at CQI 0 is passed over. Queues are FIFO. A packet whose age reaches the discard timer is dropped, also in the
middle of its transmission; so is one that finds the buffer full. Each counts with the timer's value as its delay.
"""

from __future__ import annotations

import math

import numpy as np
from numpy import int64, uint32, uint64

from roamrl.envs.compiled import compiled, inlined
from roamrl.envs.radio.fading import FADING_SLOTS
from roamrl.envs.radio.link import SLOT_MS, bits_per_ms
from roamrl.envs.slicing.bits import BITS, first_bit
from roamrl.envs.slicing.lanes import (
    BACKLOG_BITS,
    BUSY_MS,
    C2,
    DELAY_SUM_MS,
    DELIVERED,
    DELIVERED_BITS,
    DROPPED,
    DROPPED_BITS,
    LATE,
    OLDEST_MS,
    PRB,
    PROPORTIONAL_FAIR,
    QUEUED_BITS,
    SCHEDULER,
    SPARE,
    TIMER_MS,
    WAITING,
)

PF_SLOTS = 100
"""Slots over which proportional fair averages."""

_PERIOD_MS = FADING_SLOTS * SLOT_MS
_NONE, _ONE, _ALL = uint64(0), uint64(1), uint64(2**BITS - 1)
_KEPT = 1.0 - 1.0 / PF_SLOTS


@compiled
def clear_queue(queues, lane):  # type: ignore[no-untyped-def]
    """Empty a lane's queues."""
    for u in range(queues.lines.shape[1]):
        line = queues.lines[lane, u]
        line.head = 0
        line.count = 0
        line.left_bits = 0.0
        line.average = 0.0
    queues.turn[lane] = 0


@compiled
def copy_queue(source, lane, target, target_lane):  # type: ignore[no-untyped-def]
    """Copy a lane's queues, the packets that wait alone, into a lane of other (or the same) ``Queues``."""
    size = source.packets.shape[2]
    for u in range(source.lines.shape[1]):
        line = source.lines[lane, u]
        target.lines[target_lane, u] = line
        at = line.head
        for _ in range(line.count):
            target.packets[target_lane, u, at] = source.packets[lane, u, at]
            at = at + 1 if at + 1 < size else 0
    target.turn[target_lane] = source.turn[lane]


@compiled
def serve_window(queues, lane, p, share, start_ms, end_ms, window, out):  # type: ignore[no-untyped-def]
    """Serve a lane for one window at a share of the cell's resource blocks.

    A pure function of the lane's queues, the share and the window: copy the lane (:func:`copy_queue`), serve the same
    ``window`` at another share, and only the share differs.

    Args:
        queues: :class:`~roamrl.envs.slicing.lanes.Queues`; row ``lane`` moves on by one window.
        lane: Row of ``queues``.
        p: Parameters of the lane, [PARAMETERS].
        share: Share of the cell's resource blocks, 0..1.
        start_ms: Start of the window since the episode began, as given to ``draw_window``.
        end_ms: End of the window.
        window: What ``draw_window`` wrote for this lane (and is kept); the rest of it is used as room.
        out: [MEASURED], written; ``OFFERED_BITS`` and ``EFFICIENCY`` are the caller's (``draw_window`` returns them).
    """
    out[DELIVERED_BITS] = out[DROPPED_BITS] = out[DELIVERED] = out[DROPPED] = 0.0
    out[LATE] = out[DELAY_SUM_MS] = out[BUSY_MS] = 0.0
    packets, lines = queues.packets[lane], queues.lines[lane]
    rate = bits_per_ms(share, p[PRB])
    users = _open(packets, lines, p, window)
    if users > 0:
        if p[SCHEDULER] == PROPORTIONAL_FAIR:
            _proportional_fair(packets, lines, p, rate, start_ms, end_ms, window, users, out)
        else:
            turn = queues.turn[lane]
            queues.turn[lane] = _round_robin(packets, lines, turn, p, rate, start_ms, end_ms, window, users, out)
    _close(packets, lines, p, end_ms, window, users, out)


@inlined
def _open(packets, lines, p, window):  # type: ignore[no-untyped-def]
    """List the users with something to send in this window; return their number."""
    users = 0
    for place in range(len(lines)):
        visit = window.visits[place]
        if visit.user < 0:
            break
        u = uint32(visit.user)
        line = lines[u]
        if visit.fresh == 1:
            line.average = 0.0
        if line.count == 0 and visit.arrivals == 0:
            continue
        turn = window.turns[users]
        turn.user = u
        turn.arrivals = visit.arrivals
        turn.admitted = 0
        turn.served_bits = 0.0
        if line.count > 0:
            turn.ready_ms = -1.0
            turn.left_bits = line.left_bits
            turn.expiry_ms = packets[u, line.head].arrived_ms + p[TIMER_MS]
        else:
            turn.ready_ms = window.packets[u, 0].arrived_ms
        users += 1
    return users


@inlined
def _push(ring, line, turn, p, packet):  # type: ignore[no-untyped-def]
    """Put a packet into a user's queue."""
    if line.count == 0:
        line.head = 0  # where the memory is warm
        turn.left_bits = packet.bits
        turn.expiry_ms = packet.arrived_ms + p[TIMER_MS]
    at = int64(line.head) + int64(line.count)
    if at >= len(ring):
        at -= len(ring)
    place = ring[uint32(at)]
    place.arrived_ms = packet.arrived_ms
    place.bits = packet.bits
    line.count += 1


@inlined
def _pop(ring, line, turn, p):  # type: ignore[no-untyped-def]
    """Take the packet in front out of a user's queue."""
    line.count -= 1
    line.head = line.head + 1 if line.head + 1 < len(ring) else 0
    if line.count > 0:
        front = ring[line.head]
        turn.left_bits = front.bits
        turn.expiry_ms = front.arrived_ms + p[TIMER_MS]


@inlined
def _count_drop(bits, p, out):  # type: ignore[no-untyped-def]
    """Count a dropped packet, at its timer's value."""
    out[DROPPED] += 1.0
    out[DROPPED_BITS] += bits
    out[DELAY_SUM_MS] += p[TIMER_MS]
    out[LATE] += 1.0


@inlined
def _expire(ring, line, turn, p, now_ms, out):  # type: ignore[no-untyped-def]
    """Drop what is past its timer."""
    while line.count > 0 and turn.expiry_ms <= now_ms:
        _count_drop(ring[line.head].bits, p, out)
        _pop(ring, line, turn, p)


@compiled
def _admit(ring, line, arriving, turn, p, now_ms, out):  # type: ignore[no-untyped-def]
    """Bring a user's queue to ``now_ms``: arrivals and expiries in the order in which they happened."""
    room = len(ring) - SPARE
    while turn.admitted < turn.arrivals and arriving[turn.admitted].arrived_ms <= now_ms:
        packet = arriving[turn.admitted]
        _expire(ring, line, turn, p, packet.arrived_ms, out)
        if line.count == room:
            _count_drop(packet.bits, p, out)
        else:
            _push(ring, line, turn, p, packet)
        turn.admitted += 1
    _expire(ring, line, turn, p, now_ms, out)


@inlined
def _serve_user(ring, line, arriving, turn, p, now_ms, until_ms, out):  # type: ignore[no-untyped-def]
    """Serve one user until its queue empties or ``until_ms``; return when that was."""
    while True:
        if line.count == 0:
            turn.ready_ms = arriving[turn.admitted].arrived_ms if turn.admitted < turn.arrivals else np.inf
            if turn.ready_ms > now_ms:
                break
            _push(ring, line, turn, p, arriving[turn.admitted])
            turn.admitted += 1
        sent = turn.speed * (until_ms - now_ms)
        finish = until_ms
        if turn.left_bits <= sent:
            finish = min(now_ms + turn.left_bits / turn.speed, until_ms)
        if turn.expiry_ms <= finish:
            now_ms = max(now_ms, turn.expiry_ms)
            _admit(ring, line, arriving, turn, p, now_ms, out)
        elif turn.left_bits > sent:
            turn.left_bits -= sent
            turn.ready_ms = -1.0
            now_ms = until_ms
            break
        else:
            now_ms = finish
            if int64(line.count) + int64(turn.arrivals) - int64(turn.admitted) > len(ring) - SPARE:
                _admit(ring, line, arriving, turn, p, now_ms, out)
            front = ring[line.head]
            delay = now_ms - front.arrived_ms
            out[DELIVERED] += 1.0
            out[DELIVERED_BITS] += front.bits
            out[DELAY_SUM_MS] += delay
            out[LATE] += 1.0 if delay > p[C2] else 0.0
            _pop(ring, line, turn, p)
    return now_ms


@compiled
def _round_robin(packets, lines, last, p, rate, start_ms, end_ms, window, users, out):  # type: ignore[no-untyped-def]
    """Serve slot by slot the next user in turn; return whose turn was last.

    Those who can be served are the bits of a word, looked up anew when a user gets something to send and in each
    fading period.
    """
    if users > BITS:
        return _round_robin_many(packets, lines, last, p, rate, start_ms, end_ms, window, users, out)
    turns = window.turns
    served = _turn_of(turns, users, last)
    able, busy = _NONE, _NONE
    now, slot_end, look_ms, period_end, busy_ms = start_ms, start_ms, start_ms, start_ms, 0.0
    while now < end_ms:
        if now >= look_ms:
            if now >= period_end:
                period_end, able = _begin_period(turns, users, window.efficiency, rate, now, start_ms)
            busy, look_ms = _who_is_busy(turns, users, able, now, period_end)
        if busy == 0:
            now = look_ms
            continue
        if now >= slot_end:
            past = start_ms + math.floor((now - start_ms) / SLOT_MS) * SLOT_MS if now > slot_end else slot_end
            slot_end = past + SLOT_MS
        until = slot_end
        if busy & (busy - _ONE) == 0:  # slot after slot until another comes
            until = start_ms + math.ceil((look_ms - start_ms) / SLOT_MS) * SLOT_MS
        later = busy & (_ALL << uint64(served) << _ONE)
        served = uint32(first_bit(later if later != 0 else busy))
        turn = turns[served]
        begun = now
        now = _take_turn(packets, lines, p, now, until, window, turn, out)
        busy_ms += now - begun
        if turn.ready_ms > now:
            look_ms = min(look_ms, turn.ready_ms)
            busy &= ~(_ONE << uint64(served))
    out[BUSY_MS] += busy_ms
    return turns[served].user if busy_ms > 0.0 else last


@inlined
def _turn_of(turns, users, last):  # type: ignore[no-untyped-def]
    """Return the turn of user ``last``, or that before it if the user has nothing to send."""
    served = uint32(users - 1)
    for place in range(users):
        if turns[place].user <= last:
            served = uint32(place)
    return served


@inlined
def _begin_period(turns, users, efficiency, rate, now_ms, start_ms):  # type: ignore[no-untyped-def]
    """Set the speed of all turns in the fading period that now runs; return its end and who has any, a bit each."""
    period = int((now_ms - start_ms) / _PERIOD_MS)
    able = _NONE
    for place in range(users):
        speed = rate * efficiency[turns[place].user, period]
        turns[place].speed = speed
        able |= (_ONE if speed > 0.0 else _NONE) << uint64(place)
    return start_ms + (period + 1) * _PERIOD_MS, able


@inlined
def _take_turn(packets, lines, p, now_ms, until_ms, window, turn, out):  # type: ignore[no-untyped-def]
    """Serve one user until its queue empties or ``until_ms``; return when that was."""
    sent = turn.speed * (until_ms - now_ms)
    if turn.ready_ms < 0.0 and turn.left_bits > sent and turn.expiry_ms > until_ms:  # nothing happens until then
        turn.left_bits -= sent
        now_ms = until_ms
    else:
        u = turn.user
        now_ms = _serve_user(packets[u], lines[u], window.packets[u], turn, p, now_ms, until_ms, out)
    return now_ms


@inlined
def _who_is_busy(turns, users, able, now_ms, period_end):  # type: ignore[no-untyped-def]
    """Return the turns that can be served, a bit each, and when to look again."""
    busy, look_ms = _NONE, period_end
    for place in range(users):
        ready_ms = turns[place].ready_ms
        waits = ready_ms > now_ms
        look_ms = min(look_ms, ready_ms if waits else period_end)
        busy |= (_NONE if waits else _ONE) << uint64(place)
    return busy & able, look_ms


@compiled
def _round_robin_many(packets, lines, last, p, rate, start_ms, end_ms, window, users, out):  # type: ignore[no-untyped-def]
    """Do what :func:`_round_robin` does for more users than a word has bits: look for the next in turn one by one."""
    turns = window.turns
    served = _turn_of(turns, users, last)
    now, period_end, busy_ms = start_ms, start_ms, 0.0
    while now < end_ms:
        if now >= period_end:
            period_end, _ = _begin_period(turns, users, window.efficiency, rate, now, start_ms)
        found, at, look_ms = _next_of_many(turns, users, served, now, period_end)
        if not found:
            now = look_ms
            continue
        slot_end = start_ms + (math.floor((now - start_ms) / SLOT_MS) + 1.0) * SLOT_MS
        begun = now
        now = _take_turn(packets, lines, p, now, slot_end, window, turns[at], out)
        busy_ms += now - begun
        served = at
    out[BUSY_MS] += busy_ms
    return turns[served].user if busy_ms > 0.0 else last


@inlined
def _next_of_many(turns, users, served, now_ms, period_end):  # type: ignore[no-untyped-def]
    """Return whether anyone can be served, the first of them after turn ``served``, and else when to look again."""
    found, at, look_ms = False, served, period_end
    for _ in range(users):
        at = uint32(at + 1) if at + 1 < users else uint32(0)
        if turns[at].ready_ms > now_ms:
            look_ms = min(look_ms, turns[at].ready_ms)
        elif turns[at].speed > 0.0:
            found = True
            break
    return found, at, look_ms


@compiled
def _proportional_fair(packets, lines, p, rate, start_ms, end_ms, window, users, out):  # type: ignore[no-untyped-def]
    """Serve slot by slot the user with the largest efficiency over its average (plus a bit, for those without)."""
    turns, efficiency = window.turns, window.efficiency
    averaged = 0
    now, slot, period, slot_end = start_ms, 0, 0, start_ms + SLOT_MS
    while now < end_ms:
        if now >= slot_end:
            slot = slot + 1 if now == slot_end else int((now - start_ms) / SLOT_MS)
            slot_end = start_ms + (slot + 1) * SLOT_MS
            period = slot // FADING_SLOTS
        averaged = _average(lines, turns, users, averaged, slot)
        soonest = end_ms
        chosen, best = -1, 0.0
        for at in range(users):
            u = turns[at].user
            ready = turns[at].ready_ms
            metric = efficiency[u, period] / (lines[u].average + 1.0)
            if ready > now:
                soonest = min(soonest, ready)
            elif metric > best:
                best, chosen = metric, at
            elif metric == 0.0:
                soonest = min(soonest, start_ms + (period + 1) * _PERIOD_MS)
        if chosen < 0:
            now = soonest
            continue
        turn = turns[chosen]
        u = turn.user
        turn.speed = rate * efficiency[u, period]
        begun = now
        now = _serve_user(packets[u], lines[u], window.packets[u], turn, p, now, slot_end, out)
        turn.served_bits += turn.speed * (now - begun)
        out[BUSY_MS] += now - begun
    _average(lines, turns, users, averaged, round((end_ms - start_ms) / SLOT_MS))


@compiled
def _average(lines, turns, users, averaged, slot):  # type: ignore[no-untyped-def]
    """Bring the averages from slot ``averaged`` to ``slot``; return the latter. Users without work keep theirs."""
    if slot > averaged:
        idle = _KEPT ** (slot - averaged - 1)
        for at in range(users):
            line = lines[turns[at].user]
            line.average = (_KEPT * line.average + (1.0 - _KEPT) * turns[at].served_bits) * idle
            turns[at].served_bits = 0.0
    return slot


@inlined
def _close(packets, lines, p, end_ms, window, users, out):  # type: ignore[no-untyped-def]
    """Bring all queues to the window's end and measure what waits in them."""
    queued, sent, waiting, late, ages, oldest = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for place in range(users):
        turn = window.turns[place]
        u = turn.user
        ring, line = packets[u], lines[u]
        if turn.admitted < turn.arrivals or (line.count > 0 and turn.expiry_ms <= end_ms):
            _admit(ring, line, window.packets[u], turn, p, end_ms, out)
        if line.count == 0:
            continue
        line.left_bits = turn.left_bits
        at = line.head
        sent += ring[at].bits - turn.left_bits
        oldest = max(oldest, end_ms - ring[at].arrived_ms)
        waiting += line.count
        for _ in range(line.count):
            packet = ring[at]
            age = end_ms - packet.arrived_ms
            ages += age
            queued += packet.bits
            late += 1.0 if age > p[C2] else 0.0
            at = uint32(at + 1) if at + 1 < len(ring) else uint32(0)
    out[QUEUED_BITS] = queued
    out[BACKLOG_BITS] = queued - sent
    out[WAITING] = waiting
    out[LATE] += late
    out[DELAY_SUM_MS] += ages
    out[OLDEST_MS] = oldest
