"""Service of a lane's queues over one window, in event time: exact waits, no random number, no allocation.

In every slot the slice's resource blocks go to one user, the next in turn (round robin) or the one with the largest
efficiency over its average (proportional fair); when its queue empties within the slot the rest goes to the next user.
A user at CQI 0 is passed over. Queues are FIFO. A packet whose age reaches the discard timer is dropped, also in the
middle of its transmission; so is one that finds the buffer full. Each counts with the timer's value as its delay.
"""

from __future__ import annotations

import numpy as np

from roamrl.envs.compiled import compiled, inlined
from roamrl.envs.radio.fading import FADING_SLOTS
from roamrl.envs.radio.link import SLOT_MS, bits_per_ms
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
    TIMER_MS,
    WAITING,
)

PF_SLOTS = 100
"""Slots over which proportional fair averages."""

_PERIOD_MS = FADING_SLOTS * SLOT_MS
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
    users = _open(lines, window)
    if users > 0:
        if p[SCHEDULER] == PROPORTIONAL_FAIR:
            _proportional_fair(packets, lines, p, rate, start_ms, end_ms, window, users, out)
        else:
            turn = queues.turn[lane]
            queues.turn[lane] = _round_robin(packets, lines, turn, p, rate, start_ms, end_ms, window, users, out)
    _close(packets, lines, p, end_ms, window, users, out)


@compiled
def _open(lines, window):  # type: ignore[no-untyped-def]
    """List the users with something to send in this window; return their number."""
    users = 0
    for u in range(len(lines)):
        visit = window.visits[u]
        if visit.fresh == 1:
            lines[u].average = 0.0
        if lines[u].count == 0 and visit.arrivals == 0:
            continue
        turn = window.turns[users]
        turn.user = u
        turn.arrivals = visit.arrivals
        turn.admitted = 0
        turn.served_bits = 0.0
        turn.ready_ms = -1.0 if lines[u].count > 0 else window.packets[u, 0].arrived_ms
        users += 1
    return users


@inlined
def _push(ring, line, packet):  # type: ignore[no-untyped-def]
    if line.count == 0:
        line.head = 0  # where the memory is warm
        line.left_bits = packet.bits
    at = line.head + line.count
    if at >= len(ring):
        at -= len(ring)
    ring[at].arrived_ms = packet.arrived_ms
    ring[at].bits = packet.bits
    line.count += 1


@inlined
def _pop(ring, line):  # type: ignore[no-untyped-def]
    line.count -= 1
    line.head = line.head + 1 if line.head + 1 < len(ring) else 0
    if line.count > 0:
        line.left_bits = ring[line.head].bits


@inlined
def _count_drop(bits, p, out):  # type: ignore[no-untyped-def]
    """Count a dropped packet, at its timer's value."""
    out[DROPPED] += 1.0
    out[DROPPED_BITS] += bits
    out[DELAY_SUM_MS] += p[TIMER_MS]
    out[LATE] += 1.0


@inlined
def _expire(ring, line, p, now_ms, out):  # type: ignore[no-untyped-def]
    """Drop what is past its timer."""
    while line.count > 0 and ring[line.head].arrived_ms + p[TIMER_MS] <= now_ms:
        _count_drop(ring[line.head].bits, p, out)
        _pop(ring, line)


@inlined
def _next_ms(arriving, turn):  # type: ignore[no-untyped-def]
    """Return when a user's next packet of this window arrives."""
    return arriving[turn.admitted].arrived_ms if turn.admitted < turn.arrivals else np.inf


@compiled
def _admit(ring, line, arriving, turn, p, now_ms, out):  # type: ignore[no-untyped-def]
    """Bring a user's queue to ``now_ms``: arrivals and expiries in the order in which they happened."""
    size = len(ring)
    while turn.admitted < turn.arrivals and arriving[turn.admitted].arrived_ms <= now_ms:
        packet = arriving[turn.admitted]
        _expire(ring, line, p, packet.arrived_ms, out)
        if line.count == size:
            _count_drop(packet.bits, p, out)
        else:
            _push(ring, line, packet)
        turn.admitted += 1
    _expire(ring, line, p, now_ms, out)


@inlined
def _serve_user(ring, line, arriving, turn, p, speed, now_ms, until_ms, out):  # type: ignore[no-untyped-def]
    """Serve one user until its queue empties or ``until_ms``; return when that was."""
    begun = now_ms
    timer = p[TIMER_MS]
    while True:
        if line.count == 0:
            turn.ready_ms = _next_ms(arriving, turn)
            if turn.ready_ms > now_ms:
                break
            _push(ring, line, arriving[turn.admitted])
            turn.admitted += 1
        arrived = ring[line.head].arrived_ms
        finish = now_ms + line.left_bits / speed
        if arrived + timer <= min(finish, until_ms):
            now_ms = max(now_ms, arrived + timer)
            _admit(ring, line, arriving, turn, p, now_ms, out)
        elif finish > until_ms:
            line.left_bits = max(line.left_bits - speed * (until_ms - now_ms), 0.0)
            turn.ready_ms = -1.0
            now_ms = until_ms
            break
        else:
            now_ms = finish
            if line.count + turn.arrivals - turn.admitted > len(ring):
                _admit(ring, line, arriving, turn, p, now_ms, out)
            out[DELIVERED] += 1.0
            out[DELIVERED_BITS] += ring[line.head].bits
            out[DELAY_SUM_MS] += now_ms - arrived
            out[LATE] += 1.0 if now_ms - arrived > p[C2] else 0.0
            _pop(ring, line)
    out[BUSY_MS] += now_ms - begun
    return now_ms


@compiled
def _round_robin(packets, lines, last, p, rate, start_ms, end_ms, window, users, out):  # type: ignore[no-untyped-def]
    """Serve slot by slot the next user in turn; return whose turn was last."""
    turns, efficiency = window.turns, window.efficiency
    place = 0
    while place < users and turns[place].user <= last:
        place += 1
    now, slot, period, slot_end = start_ms, 0, 0, start_ms + SLOT_MS
    while now < end_ms:
        if now >= slot_end:
            slot = slot + 1 if now == slot_end else int((now - start_ms) / SLOT_MS)
            slot_end = start_ms + (slot + 1) * SLOT_MS
            period = slot // FADING_SLOTS
        soonest = end_ms
        chosen = -1
        for step in range(users):
            at = place + step if place + step < users else place + step - users
            ready = turns[at].ready_ms
            if ready > now:
                soonest = min(soonest, ready)
            elif efficiency[turns[at].user, period] > 0.0:
                chosen = at
                break
            else:
                soonest = min(soonest, start_ms + (period + 1) * _PERIOD_MS)
        if chosen < 0:
            now = soonest
            continue
        turn = turns[chosen]
        last = turn.user
        place = chosen + 1
        speed = rate * efficiency[last, period]
        now = _serve_user(packets[last], lines[last], window.packets[last], turn, p, speed, now, slot_end, out)
    return last


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
        speed = rate * efficiency[u, period]
        begun = now
        now = _serve_user(packets[u], lines[u], window.packets[u], turn, p, speed, now, slot_end, out)
        turn.served_bits += speed * (now - begun)
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


@compiled
def _close(packets, lines, p, end_ms, window, users, out):  # type: ignore[no-untyped-def]
    """Bring all queues to the window's end and measure what waits in them."""
    queued, sent, waiting, late, ages, oldest = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for place in range(users):
        u = window.turns[place].user
        ring, line, turn = packets[u], lines[u], window.turns[place]
        if line.count > 0 or turn.admitted < turn.arrivals:
            _admit(ring, line, window.packets[u], turn, p, end_ms, out)
        if line.count == 0:
            continue
        at = line.head
        sent += ring[at].bits - line.left_bits
        oldest = max(oldest, end_ms - ring[at].arrived_ms)
        waiting += line.count
        for _ in range(line.count):
            age = end_ms - ring[at].arrived_ms
            ages += age
            queued += ring[at].bits
            late += 1.0 if age > p[C2] else 0.0
            at = at + 1 if at + 1 < len(ring) else 0
    out[QUEUED_BITS] = queued
    out[BACKLOG_BITS] = queued - sent
    out[WAITING] = waiting
    out[LATE] += late
    out[DELAY_SUM_MS] += ages
    out[OLDEST_MS] = oldest
