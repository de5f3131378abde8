"""What a window brings to a lane whatever its share: users, bursts, radio, packets.

Draws come from one counter-based stream per user and purpose, so nothing here depends on service or on other lanes.
"""

from __future__ import annotations

import math

import numpy as np
from numpy import uint64

from roamrl.envs.compiled import compiled
from roamrl.envs.radio.fading import ADMISSION_DB, FADING_DB, FADING_SLOTS, SHADOWING_DB
from roamrl.envs.radio.link import SLOT_MS, spectral_efficiency
from roamrl.envs.radio.traffic import (
    ARRIVALS,
    BURSTS,
    FADING,
    GAPS,
    RADIO,
    REPLAY,
    SHADOWING,
    STAYS,
    pareto_packets,
    poisson_packets,
    trace_frames,
    truncated_pareto,
    voice_packets,
    xr_frames,
)
from roamrl.envs.slicing.lanes import (
    BURST_DOWN,
    BURST_HIGH,
    BURST_LOW,
    BURST_UP,
    CONTROL,
    FADING_RHO,
    FREE,
    GAP_MS,
    KIND,
    LINGER,
    LINGERING,
    PACKET_BITS,
    PACKETS_PER_MS,
    PRESENT,
    SHADOWING_RHO,
    SNR_DB,
    SNR_SPREAD_DB,
    SNR_TRACE,
    SNR_TRACES,
    STAY,
    USERS,
    VIDEO,
    VOICE,
    XR_TRACE,
    XR_TRACES,
)
from roamrl.envs.streams import exponential, fold, noise, normal, uniform

_ADMISSION_DRAWS = 64
_PERIOD_MS = FADING_SLOTS * SLOT_MS


_FIRST_USER = 8
"""Users' keys come after those of the lane's own purposes, of which there can be as many."""


@compiled
def begin_lane(users, lane, p, traces, episode, slice_number):  # type: ignore[no-untyped-def]
    """Start an episode in a lane, with a number of users as in the long run: Poisson with mean ``p[USERS]``.

    If users stay for good (``p[STAY]`` infinite) their number is that mean, rounded.
    """
    key = fold(episode, uint64(slice_number))
    state = users.lanes[lane]
    state.key = key
    state.window = 0
    state.seen = 0
    state.next_user = np.inf
    state.top = 0
    slots = users.slots[lane]
    for u in range(len(slots)):
        slots[u].state = FREE
    initial = 0
    if p[STAY] == np.inf:
        initial = int(p[USERS] + 0.5)
    elif p[USERS] > 0.0:
        stream = fold(key, uint64(ARRIVALS))
        level = exponential(stream, 0)
        while level < p[USERS]:
            initial += 1
            level += exponential(stream, initial)
        state.next_user = (level - p[USERS]) * p[STAY] / p[USERS]
    for _ in range(initial):
        _join(state, slots, p, traces, 0.0)


@compiled
def draw_window(users, lane, p, traces, start_ms, end_ms, window):  # type: ignore[no-untyped-def]
    """Advance a lane's users by one window and write what it brings.

    Nothing here depends on any share, so an oracle draws a window once and serves it under many.

    Args:
        users: :class:`~roamrl.envs.slicing.lanes.Users`; row ``lane`` moves on by one window.
        lane: Row of ``users``.
        p: Parameters of the lane, [PARAMETERS] (one row of ``table.TaskTable.parameters``).
        traces: :class:`~roamrl.envs.slicing.lanes.Traces` the parameters refer to.
        start_ms: Start of the window since the episode began (warm-up included): number of the window x its length.
        end_ms: End of the window.
        window: :class:`~roamrl.envs.slicing.lanes.Window`; packets, visits and efficiency are written.

    Returns:
        (offered bits, mean spectral efficiency of the users present over the window, 0 if there is none).
    """
    state = users.lanes[lane]
    slots = users.slots[lane]
    number = state.window
    known = state.seen
    _come_and_go(state, slots, p, traces, start_ms)
    offered, efficiency, present, visits = 0.0, 0.0, 0, 0
    for u in range(state.top):
        user = slots[u]
        if user.state == FREE:
            continue
        visit = window.visits[visits]
        visits += 1
        visit.user = u
        visit.arrivals = 0
        visit.fresh = 1 if user.number >= known else 0
        if p[SNR_TRACES] > 0.0:
            mean = _replay_radio(user, p, traces, number, start_ms, window.efficiency[u])
        else:
            mean = _move_radio(user, p, number, window.efficiency[u])
        if user.state != PRESENT:
            continue
        present += 1
        efficiency += mean
        if number > 0 and visit.fresh == 0:
            user.high = _next_burst(user.high, uniform(fold(user.key, uint64(BURSTS)), number), p)
        if p[XR_TRACES] > 0.0:
            arrivals = _replay_packets(user, p, traces, end_ms, window.packets[u])
        else:
            arrivals = _draw_packets(user, p, start_ms, end_ms, window.packets[u])
        visit.arrivals = arrivals
        for packet in range(arrivals):
            offered += window.packets[u, packet].bits
    if visits < len(slots):
        window.visits[visits].user = -1
    state.window = number + 1
    return offered, efficiency / max(present, 1)


@compiled
def _first_burst(stream, p):  # type: ignore[no-untyped-def]
    total = p[BURST_UP] + p[BURST_DOWN]
    return 1 if uniform(stream, 0) * total < p[BURST_UP] else 0


@compiled
def _next_burst(high, u, p):  # type: ignore[no-untyped-def]
    if high == 1:
        return 0 if u < p[BURST_DOWN] else 1
    return 1 if u < p[BURST_UP] else 0


@compiled
def _come_and_go(state, slots, p, traces, start_ms):  # type: ignore[no-untyped-def]
    number = state.window
    for u in range(state.top):
        user = slots[u]
        if user.state == FREE or user.until > number:
            continue
        if user.state == PRESENT:
            user.state = LINGERING
            user.until = number + p[LINGER]
        else:
            user.state = FREE
    while state.top > 0 and slots[state.top - 1].state == FREE:
        state.top -= 1
    while state.next_user <= number:
        _join(state, slots, p, traces, start_ms)
        gap = exponential(fold(state.key, uint64(ARRIVALS)), state.seen)
        state.next_user += gap * p[STAY] / p[USERS]


@compiled
def _join(state, slots, p, traces, start_ms):  # type: ignore[no-untyped-def]
    """Let the next user in; if all slots are taken it goes elsewhere."""
    number = state.seen
    state.seen = number + 1
    u = 0
    while u < state.top and slots[u].state != FREE:
        u += 1
    if u == len(slots):
        return
    state.top = max(state.top, u + 1)
    key = fold(state.key, uint64(_FIRST_USER + number))
    user = slots[u]
    user.key = key
    user.state = PRESENT
    user.number = number
    user.drawn = 0
    user.until = state.window + p[STAY] * exponential(fold(key, uint64(STAYS)), 0)
    user.high = _first_burst(fold(key, uint64(BURSTS)), p)
    user.due = _first_due(key, number, p, traces, start_ms)
    user.fading_db = FADING_DB * normal(fold(key, uint64(FADING)), 0)
    _place(user, p, traces, start_ms)


@compiled
def _first_due(key, number, p, traces, start_ms):  # type: ignore[no-untyped-def]
    """Return when a source that was running before its user came sends its first packet."""
    if p[KIND] == CONTROL:
        return exponential(fold(key, uint64(GAPS)), 0)
    replay = fold(key, uint64(REPLAY))
    part = uniform(replay, 0)
    if p[XR_TRACES] > 0.0:
        first, frame, length = _replay(key, number, p, traces)
        return start_ms + part * traces.gap_ms[first + (frame + length - 1) % length]
    if p[KIND] == VIDEO:
        return start_ms + part * p[GAP_MS] * truncated_pareto(uniform(replay, 2))
    return start_ms + part * p[GAP_MS]


@compiled
def _replay(key, number, p, traces):  # type: ignore[no-untyped-def]
    """Return where a user's trace starts in the library, at which of its frames the user began, and its length."""
    trace = int(p[XR_TRACE]) + number % int(p[XR_TRACES])
    first = traces.frame_start[trace]
    length = traces.frame_start[trace + 1] - first
    return first, int(uniform(fold(key, uint64(REPLAY)), 1) * length), length


@compiled
def _place(user, p, traces, start_ms):  # type: ignore[no-untyped-def]
    """Draw a user's place in the cell, again while its SNR without fading is below admission."""
    stream = fold(user.key, uint64(RADIO))
    for draw in range(_ADMISSION_DRAWS):
        if p[SNR_TRACES] > 0.0:
            trace = int(p[SNR_TRACE]) + user.number % int(p[SNR_TRACES])
            samples = traces.snr_start[trace + 1] - traces.snr_start[trace]
            user.level_db = start_ms - uniform(stream, draw) * samples * traces.snr_period_ms[trace]
            user.shadowing_db = 0.0
            snr_db = _replayed_snr(user, p, traces, start_ms)
        else:
            user.level_db = p[SNR_DB] + p[SNR_SPREAD_DB] * normal(stream, 2 * draw)
            user.shadowing_db = SHADOWING_DB * normal(stream, 2 * draw + 1)
            snr_db = user.level_db + user.shadowing_db
        if snr_db >= ADMISSION_DB:
            return
    if p[SNR_TRACES] == 0.0:
        user.level_db = ADMISSION_DB
        user.shadowing_db = 0.0


@compiled
def _replayed_snr(user, p, traces, now_ms):  # type: ignore[no-untyped-def]
    """Interpolate a recorded SNR linearly; the recording goes round when it ends."""
    trace = int(p[SNR_TRACE]) + user.number % int(p[SNR_TRACES])
    first = traces.snr_start[trace]
    length = traces.snr_start[trace + 1] - first
    position = ((now_ms - user.level_db) / traces.snr_period_ms[trace]) % length
    sample = min(int(position), length - 1)
    part = position - sample
    following = first + (sample + 1) % length
    return (1.0 - part) * traces.snr_db[first + sample] + part * traces.snr_db[following]


@compiled
def _move_radio(user, p, number, efficiency):  # type: ignore[no-untyped-def]
    """Write a user's spectral efficiency in each fading period of a window; return its mean."""
    rho = p[SHADOWING_RHO]
    innovation = SHADOWING_DB * math.sqrt(1.0 - rho * rho)
    user.shadowing_db = rho * user.shadowing_db + innovation * noise(fold(user.key, uint64(SHADOWING)), number)
    slow_db = user.level_db + user.shadowing_db
    rho = p[FADING_RHO]
    innovation = FADING_DB * math.sqrt(1.0 - rho * rho)
    stream = fold(user.key, uint64(FADING))
    fading = user.fading_db
    periods = len(efficiency)
    for period in range(periods):
        efficiency[period] = innovation * noise(stream, 1 + number * periods + period)
    total = 0.0
    for period in range(periods):
        fading = rho * fading + efficiency[period]
        efficiency[period] = spectral_efficiency(slow_db + fading)
        total += efficiency[period]
    user.fading_db = fading
    return total / periods


@compiled
def _replay_radio(user, p, traces, number, start_ms, efficiency):  # type: ignore[no-untyped-def]
    """Write a user's spectral efficiency from its recorded SNR with fading on top; return its mean."""
    rho = p[FADING_RHO]
    innovation = FADING_DB * math.sqrt(1.0 - rho * rho)
    stream = fold(user.key, uint64(FADING))
    fading = user.fading_db
    periods = len(efficiency)
    total = 0.0
    for period in range(periods):
        fading = rho * fading + innovation * noise(stream, 1 + number * periods + period)
        slow_db = _replayed_snr(user, p, traces, start_ms + period * _PERIOD_MS)
        efficiency[period] = spectral_efficiency(slow_db + fading)
        total += efficiency[period]
    user.fading_db = fading
    return total / periods


@compiled
def _draw_packets(user, p, start_ms, end_ms, packets):  # type: ignore[no-untyped-def]
    """Draw a user's packets of a window; bursts scale the rate of control and the size of video packets."""
    key, due, drawn = user.key, user.due, user.drawn
    burst = p[BURST_HIGH] if user.high == 1 else p[BURST_LOW]
    kind = int(p[KIND])
    if kind == CONTROL:
        rate = p[PACKETS_PER_MS] * burst
        count, user.due = poisson_packets(key, due, drawn, start_ms, end_ms, rate, p[PACKET_BITS], packets)
        user.drawn = drawn + count
    elif kind == VIDEO:
        count, user.due = pareto_packets(key, due, drawn, end_ms, p[GAP_MS], p[PACKET_BITS] * burst, packets)
        user.drawn = drawn + count
    elif kind == VOICE:
        passed, count, user.due = voice_packets(due, drawn, end_ms, p[GAP_MS], p[PACKET_BITS], user.high == 1, packets)
        user.drawn = drawn + passed
    else:
        count, user.due = xr_frames(key, due, drawn, end_ms, p[GAP_MS], p[PACKET_BITS], packets)
        user.drawn = drawn + count
    return count


@compiled
def _replay_packets(user, p, traces, end_ms, packets):  # type: ignore[no-untyped-def]
    """Replay a window of a user's recorded frames."""
    first, frame, length = _replay(user.key, user.number, p, traces)
    bits, gaps = traces.frame_bits[first : first + length], traces.gap_ms[first : first + length]
    count, user.due = trace_frames(bits, gaps, frame, user.due, user.drawn, end_ms, p[PACKET_BITS], packets)
    user.drawn += count
    return count
