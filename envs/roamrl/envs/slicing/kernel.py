"""The inner loop: begin and step many cells by one call, without allocation and without the interpreter's lock.

For an oracle, lane by lane (all compiled, ``nogil``; ``p`` is one row of the parameter table, [PARAMETERS])::

    begin_lane(users, lane, p, traces, episode_key, slice_number)
    clear_queue(queues, lane)
    offered_bits, efficiency = draw_window(users, lane, p, traces, start_ms, end_ms, window)      # once a window
    copy_queue(queues, lane, copies, k)                                                           # once a share level
    serve_window(copies, k, p, share, start_ms, end_ms, window, out)                              # out: [MEASURED]
    d = mean_delay_ms(out)
    part_of_reward = p[WEIGHT] * satisfaction(p, d)

``users`` and ``queues`` of a running environment are ``SlicingEnv.users`` and ``.queues``; copy their arrays before
advancing them.
"""

from __future__ import annotations

import math

from roamrl.envs.compiled import compiled, inlined
from roamrl.envs.slicing.arrivals import begin_lane, draw_window
from roamrl.envs.slicing.lanes import (
    BACKLOG_BITS,
    BUSY_MS,
    C1,
    C2,
    DELAY_SUM_MS,
    DELAY_UNIT_MS,
    DELIVERED,
    DELIVERED_BITS,
    DROPPED,
    EFFICIENCY,
    LATE,
    OFFERED_BITS,
    OLDEST_MS,
    PRB,
    WAITING,
    WEIGHT,
)
from roamrl.envs.slicing.service import clear_queue, copy_queue, serve_window
from roamrl.envs.streams import episode_key

__all__ = [
    "begin_cells",
    "begin_lane",
    "clear_queue",
    "copy_queue",
    "draw_window",
    "mean_delay_ms",
    "satisfaction",
    "serve_window",
    "step_cells",
]

BITS_UNIT = 1e5
DELAY_CLIP = 6.0
FEATURES = 6
"""Observed numbers a slice: offered, backlog, head-of-line delay, mean delay, efficiency, last share."""

VIOLATION_RATE, LOSS_RATE, PRB_USED, THROUGHPUT_MBPS, MEASURES = range(5)


@inlined
def mean_delay_ms(out):  # type: ignore[no-untyped-def]
    """Return a window's mean delay over delivered, waiting and dropped packets, ms; 0 without packets."""
    packets = out[DELIVERED] + out[DROPPED] + out[WAITING]
    return out[DELAY_SUM_MS] / packets if packets > 0.0 else 0.0


@inlined
def satisfaction(p, delay_ms):  # type: ignore[no-untyped-def]
    """Return 1 / (1 + exp(c1 (d - c2))), in (0, 1) (Nagib et al., IEEE TNSM 20(2), 2023)."""
    return 1.0 / (1.0 + math.exp(min(p[C1] * (delay_ms - p[C2]), 700.0)))


@compiled
def begin_cells(rows, keys, tasks, table, traces, users, queues):  # type: ignore[no-untyped-def]
    """Start an episode in some cells.

    Args:
        rows: Cells, [R].
        keys: Seed, episode and index of the cells, int64 [R, 3].
        tasks: Entry of the parameter table each of the N cells plays, [N].
        table: Parameters, [tasks, K, PARAMETERS].
        traces: Recorded traces.
        users: Users of N * K lanes.
        queues: Queues of N * K lanes.
    """
    slices = table.shape[1]
    for r in range(len(rows)):
        row = rows[r]
        episode = episode_key(keys[r, 0], keys[r, 1], keys[r, 2])
        for k in range(slices):
            lane = row * slices + k
            clear_queue(queues, lane)
            begin_lane(users, lane, table[tasks[row], k], traces, episode, k)


@compiled
def step_cells(  # type: ignore[no-untyped-def]
    rows, shares, window_ms, tasks, table, traces, users, queues, window, out, features, late_penalty, rewards, measures
):
    """Step some cells by one window.

    Args:
        rows: Cells, [R].
        shares: Share of each slice, [N, K].
        window_ms: Length of a window.
        tasks: Entry of the parameter table each cell plays, [N].
        table: Parameters, [tasks, K, PARAMETERS].
        traces: Recorded traces.
        users: Users of N * K lanes.
        queues: Queues of N * K lanes.
        window: Room for one lane's window.
        out: What the window gave, [N, K, MEASURED], written.
        features: Observation of the window, [N, K, FEATURES], written.
        late_penalty: Subtracted from the reward, times the mean over slices of the share of late packets.
        rewards: [N], written.
        measures: [N, MEASURES], written.
    """
    slices = table.shape[1]
    for r in range(len(rows)):
        row = rows[r]
        for k in range(slices):
            lane = row * slices + k
            p = table[tasks[row], k]
            start = users.lanes[lane].window * window_ms
            end = start + window_ms
            offered, efficiency = draw_window(users, lane, p, traces, start, end, window)
            out[row, k, OFFERED_BITS] = offered
            out[row, k, EFFICIENCY] = efficiency
            serve_window(queues, lane, p, shares[row, k], start, end, window, out[row, k])
            _look(p, out[row, k], shares[row, k], features[row, k])
        rewards[row] = _reward(table[tasks[row]], out[row], late_penalty)
        _measure(table[tasks[row]], out[row], shares[row], window_ms, measures[row])


@compiled
def _look(p, out, share, features):  # type: ignore[no-untyped-def]
    """Write what the agent sees of a slice."""
    unit = p[DELAY_UNIT_MS]
    features[0] = math.log1p(out[OFFERED_BITS] / BITS_UNIT)
    features[1] = math.log1p(out[BACKLOG_BITS] / BITS_UNIT)
    features[2] = min(out[OLDEST_MS] / unit, DELAY_CLIP)
    features[3] = min(mean_delay_ms(out) / unit, DELAY_CLIP)
    features[4] = out[EFFICIENCY]
    features[5] = share


@compiled
def _reward(p, out, late_penalty):  # type: ignore[no-untyped-def]
    """Return the sum over slices of w_k / (1 + exp(c1_k (d_k - c2_k))), less the penalty for late packets."""
    reward, late = 0.0, 0.0
    for k in range(len(p)):
        reward += p[k, WEIGHT] * satisfaction(p[k], mean_delay_ms(out[k]))
        late += out[k, LATE] / max(out[k, DELIVERED] + out[k, DROPPED] + out[k, WAITING], 1.0)
    return reward - late_penalty * late / len(p)


@compiled
def _measure(p, out, shares, window_ms, measures):  # type: ignore[no-untyped-def]
    """Write the step measures of a cell."""
    violations, dropped, resolved, used, bits = 0.0, 0.0, 0.0, 0.0, 0.0
    for k in range(len(p)):
        violations += 1.0 if mean_delay_ms(out[k]) > p[k, C2] else 0.0
        dropped += out[k, DROPPED]
        resolved += out[k, DELIVERED] + out[k, DROPPED]
        used += shares[k] * p[k, PRB] * out[k, BUSY_MS] / window_ms
        bits += out[k, DELIVERED_BITS]
    measures[VIOLATION_RATE] = violations / len(p)
    measures[LOSS_RATE] = dropped / max(resolved, 1.0)
    measures[PRB_USED] = used
    measures[THROUGHPUT_MBPS] = bits / window_ms * 1e-3
