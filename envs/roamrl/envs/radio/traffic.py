"""Traffic sources: gaps between packets and their sizes, each draw a function of a stream and a packet's number."""

from __future__ import annotations

import math

from numpy import uint64

from roamrl.envs.compiled import compiled, inlined
from roamrl.envs.elementary import exp2, log
from roamrl.envs.streams import exponential, fold, normal_quantile, uniform

PARETO_SHAPE = 1.2
PARETO_CUT = 20.0
"""Truncated Pareto of near-real-time video (3GPP TR 25.892 table A.2.1.3-1: shape 1.2), cut at 20 times the minimum."""

_PARETO_TAIL = 1.0 - PARETO_CUT**-PARETO_SHAPE
_PARETO_POWER = -1.0 / (PARETO_SHAPE * math.log(2.0))

PARETO_MEAN = PARETO_SHAPE / (PARETO_SHAPE - 1.0) * (1.0 - PARETO_CUT ** (1.0 - PARETO_SHAPE)) / _PARETO_TAIL
"""Mean of the truncated Pareto in units of its minimum."""

FRAME_CV = 0.105
FRAME_LOW = 0.5
FRAME_HIGH = 1.5
"""XR frame size over its mean: Gaussian, deviation 10.5 %, truncated to 50..150 % (TR 38.838 table 5.1.1-1)."""

JITTER_MS = 2.0
JITTER_CUT_MS = 4.0
"""XR jitter: Gaussian, standard deviation 2 ms, truncated to +-4 ms (TR 38.838 table 5.1.1.2-1)."""

SILENCE_PACKETS = 8
"""In silence a voice user sends one packet in eight: a descriptor each 160 ms for a frame each 20 ms (TS 26.453)."""

GAPS, SIZES, BURSTS, RADIO, SHADOWING, FADING, STAYS, REPLAY = range(8)
"""Purposes of a user's random streams."""

ARRIVALS = 0
"""Purpose of a lane's own random stream."""


def _phi(x: float) -> float:
    return 0.5 * math.erfc(-x / math.sqrt(2.0))


_FRAME_FROM = _phi((FRAME_LOW - 1.0) / FRAME_CV)
_FRAME_SPAN = _phi((FRAME_HIGH - 1.0) / FRAME_CV) - _FRAME_FROM
_JITTER_FROM = _phi(-JITTER_CUT_MS / JITTER_MS)
_JITTER_SPAN = _phi(JITTER_CUT_MS / JITTER_MS) - _JITTER_FROM


@inlined
def truncated_pareto(u):  # type: ignore[no-untyped-def]
    """Return the quantile u of the truncated Pareto with minimum 1."""
    return exp2(log(1.0 - u * _PARETO_TAIL) * _PARETO_POWER)


@compiled
def frame_size(u):  # type: ignore[no-untyped-def]
    """Return the quantile u of an XR frame's size over its mean."""
    return min(max(1.0 + FRAME_CV * normal_quantile(_FRAME_FROM + u * _FRAME_SPAN), FRAME_LOW), FRAME_HIGH)


@compiled
def frame_jitter_ms(u):  # type: ignore[no-untyped-def]
    """Return the quantile u of an XR frame's jitter, ms."""
    return JITTER_MS * normal_quantile(_JITTER_FROM + u * _JITTER_SPAN)


@compiled
def poisson_packets(key, due, drawn, start_ms, end_ms, rate, bits, packets):  # type: ignore[no-untyped-def]
    """Write a window of Poisson packets with exponential sizes; return (packets, due).

    ``due`` is the integral of the rate until the next packet, so that a change of rate between windows is exact.
    """
    gaps, sized = fold(key, uint64(GAPS)), fold(key, uint64(SIZES))
    count, now, ms = 0, start_ms, 1.0 / rate
    while count < len(packets):
        following = now + due * ms
        if following >= end_ms:
            return count, due - (end_ms - now) * rate
        now = following
        packets[count].arrived_ms = now
        packets[count].bits = bits * exponential(sized, drawn + count)
        count += 1
        due = exponential(gaps, drawn + count)
    return count, due


@compiled
def pareto_packets(key, due_ms, drawn, end_ms, gap_ms, bits, packets):  # type: ignore[no-untyped-def]
    """Write a window of packets with truncated-Pareto gaps and sizes; ``gap_ms`` is the least gap, ``bits`` the mean.

    Returns (packets, due_ms), ``due_ms`` being when the next packet comes.
    """
    gaps, sized = fold(key, uint64(GAPS)), fold(key, uint64(SIZES))
    count = 0
    while due_ms < end_ms and count < len(packets):
        packets[count].arrived_ms = due_ms
        packets[count].bits = bits / PARETO_MEAN * truncated_pareto(uniform(sized, drawn + count))
        count += 1
        due_ms += gap_ms * truncated_pareto(uniform(gaps, drawn + count))
    return count, due_ms


@compiled
def xr_frames(key, due_ms, drawn, end_ms, period_ms, bits, packets):  # type: ignore[no-untyped-def]
    """Write a window of XR video frames of mean size ``bits``; ``due_ms`` is the next frame's time before jitter.

    Returns (frames, due_ms).
    """
    jitters, sized = fold(key, uint64(GAPS)), fold(key, uint64(SIZES))
    count = 0
    latest = 0.0
    while count < len(packets):
        arrival = max(due_ms + frame_jitter_ms(uniform(jitters, drawn + count)), latest)
        if arrival >= end_ms:
            break
        latest = arrival
        packets[count].arrived_ms = arrival
        packets[count].bits = bits * frame_size(uniform(sized, drawn + count))
        count += 1
        due_ms += period_ms
    return count, due_ms


@compiled
def voice_packets(due_ms, drawn, end_ms, period_ms, bits, talking, packets):  # type: ignore[no-untyped-def]
    """Write a window of a voice user's packets: every period in a talk spurt, every eighth in silence.

    Returns (periods passed, packets, due_ms).
    """
    passed, count = 0, 0
    while due_ms < end_ms and count < len(packets):
        if talking or (drawn + passed) % SILENCE_PACKETS == 0:
            packets[count].arrived_ms = due_ms
            packets[count].bits = bits
            count += 1
        passed += 1
        due_ms += period_ms
    return passed, count, due_ms


@compiled
def trace_frames(frame_bits, gap_ms, offset, due_ms, drawn, end_ms, scale, packets):  # type: ignore[no-untyped-def]
    """Write a window of a recorded trace's frames, their bits times ``scale``; frame ``offset`` came first.

    Returns (frames, due_ms).
    """
    count = 0
    length = len(frame_bits)
    while due_ms < end_ms and count < len(packets):
        frame = (offset + drawn + count) % length
        packets[count].arrived_ms = due_ms
        packets[count].bits = scale * frame_bits[frame]
        count += 1
        due_ms += gap_ms[frame]
    return count, due_ms
