"""Clairvoyant search: the best allocations of whole episodes whose every arrival and every SNR is known.

What a window brings depends on no share, and given the shares the slices are separable. So each slice's queues are
served once a share level, and all allocations are combined from these in a table. A beam keeps the best distinct cells
by value = return so far - kappa * windows that the whole cell would need to clear all backlog.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from roamrl.envs.compiled import compiled, inlined
from roamrl.envs.radio.link import CQI_EFFICIENCY, bits_per_ms
from roamrl.envs.slicing.kernel import copy_queue, draw_window, mean_delay_ms, satisfaction, serve_window
from roamrl.envs.slicing.lanes import (
    BACKLOG_BITS,
    DELIVERED,
    DROPPED,
    EFFICIENCY,
    LATE,
    MEASURED,
    OFFERED_BITS,
    PRB,
    WAITING,
    WEIGHT,
    Queues,
    Window,
    make_queues,
)

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

_LEAST_EFFICIENCY = float(CQI_EFFICIENCY[1])
_DONE = -np.inf


class Problem(NamedTuple):
    """What a search maximises, and over what: A allocations of K slices, made of L share levels."""

    window_ms: float
    late_penalty: float
    level_share: F64  # [L] share of each level
    level_of: I64  # [A, K] level of each slice in each allocation
    kappa: float  # reward that a window of the whole cell's backlog costs


class Search(NamedTuple):
    """Room for a beam of W cells of K slices under L share levels and A allocations over T windows."""

    cells: Queues  # [2 * K * W] queues kept: those before a window and those after it
    trial: Queues  # [1] the queues being served
    out: F64  # [MEASURED]
    gain: F64  # [K, W, L] a slice's part of the reward
    cost: F64  # [K, W, L] windows of the whole cell that its backlog then needs
    mark: F64  # [K, W, L] fingerprint of its queues then
    kept: I64  # [K, W, L] where those queues are kept, -1 if they are not
    queue: I64  # [2, W, K] the queues each cell of the beam consists of
    score: F64  # [2, W] return so far
    value: F64  # [W * A] of each candidate
    seal: F64  # [W * A] fingerprint of each candidate
    parent: I64  # [T, W]
    choice: I64  # [T, W]


def make_search(width: int, slices: int, levels: int, allocations: int, windows: int, like: Queues) -> Search:
    """Allocate the room of a search over queues shaped like these."""
    slots, buffer = like.packets.shape[1:]
    each = (slices, width, levels)
    return Search(
        make_queues(2 * slices * width, slots, buffer),
        make_queues(1, slots, buffer),
        np.zeros(MEASURED),
        np.zeros(each),
        np.zeros(each),
        np.zeros(each),
        np.zeros(each, np.int64),
        np.zeros((2, width, slices), np.int64),
        np.zeros((2, width)),
        np.zeros(width * allocations),
        np.zeros(width * allocations),
        np.zeros((windows, width), np.int64),
        np.zeros((windows, width), np.int64),
    )


def stack_windows(windows: Sequence[Window]) -> Window:
    """Stack windows of K lanes along a new first axis."""
    return Window(*(np.stack(arrays) for arrays in zip(*windows, strict=True)))


@compiled
def plan_cells(problem, tasks, table, traces, first, users, queues, rooms, search, plan):  # type: ignore[no-untyped-def]
    """Plan the remaining windows of N cells.

    Args:
        problem: What to maximise.
        tasks: Entry of the parameter table each cell plays, [N].
        table: Parameters, [tasks, K, PARAMETERS].
        traces: Recorded traces.
        first: Number of the next window, warm-up included.
        users: Users of N * K lanes; they are moved to the episode's end, so give a copy.
        queues: Queues of N * K lanes; read only.
        rooms: Windows of K lanes, stacked.
        search: Room of the search; its width is the beam's.
        plan: Allocation of each window, [N, T], written.
    """
    for row in range(len(tasks)):
        p = table[tasks[row]]
        slices = len(p)
        for k in range(slices):
            copy_queue(queues, row * slices + k, search.cells, k * search.score.shape[1])
            search.queue[0, 0, k] = 0
        search.score[0, 0] = 0.0
        beam = 1
        windows = plan.shape[1]
        for t in range(windows):
            start_ms = (first + t) * problem.window_ms
            _simulate(problem, row, p, traces, start_ms, users, rooms, search, t % 2, beam)
            _combine(problem, problem.kappa if t + 1 < windows else 0.0, search, t % 2, beam)
            beam = _keep(problem, p, start_ms, rooms, search, t, beam)
        best = 0
        for b in range(1, beam):
            if search.score[windows % 2, b] > search.score[windows % 2, best]:
                best = b
        for t in range(windows - 1, -1, -1):
            plan[row, t] = search.choice[t, best]
            best = search.parent[t, best]


@inlined
def _room(rooms, k):  # type: ignore[no-untyped-def]
    """Return the window of lane k."""
    return Window(rooms.packets[k], rooms.visits[k], rooms.efficiency[k], rooms.turns[k])


@compiled
def _simulate(problem, row, p, traces, start_ms, users, rooms, search, side, beam):  # type: ignore[no-untyped-def]
    """Serve the next window of every slice's distinct queues at every level."""
    slices, width = len(p), search.score.shape[1]
    out, trial, end_ms = search.out, search.trial, start_ms + problem.window_ms
    for k in range(slices):
        lane = row * slices + k
        window = _room(rooms, k)
        offered, efficiency = draw_window(users, lane, p[k], traces, start_ms, end_ms, window)
        out[OFFERED_BITS], out[EFFICIENCY] = offered, efficiency
        clearing = bits_per_ms(max(efficiency, _LEAST_EFFICIENCY), p[k, PRB]) * problem.window_ms
        queues = 0
        for b in range(beam):
            queues = max(queues, search.queue[side, b, k] + 1)
        for q in range(queues):
            for level in range(len(problem.level_share)):
                copy_queue(search.cells, (side * slices + k) * width + q, trial, 0)
                serve_window(trial, 0, p[k], problem.level_share[level], start_ms, end_ms, window, out)
                packets = max(out[DELIVERED] + out[DROPPED] + out[WAITING], 1.0)
                part = p[k, WEIGHT] * satisfaction(p[k], mean_delay_ms(out))
                search.gain[k, q, level] = part - problem.late_penalty * out[LATE] / packets / slices
                search.cost[k, q, level] = out[BACKLOG_BITS] / clearing
                search.mark[k, q, level] = _fingerprint(trial.lines[0], k)
                search.kept[k, q, level] = -1


@compiled
def _fingerprint(lines, k):  # type: ignore[no-untyped-def]
    """Return a number that tells what waits in a lane of slice k; equal queues have equal numbers."""
    mark = 0.0
    for u in range(len(lines)):
        line = lines[u]
        if line.count > 0:
            mark += (line.count * 1e7 + line.left_bits) * (1.0 + 0.6180339887 * (u + 1000.0 * k))
    return mark


@compiled
def _combine(problem, kappa, search, side, beam):  # type: ignore[no-untyped-def]
    """Value all allocations of all cells of the beam."""
    allocations, slices = problem.level_of.shape
    for b in range(beam):
        for a in range(allocations):
            value, seal = search.score[side, b], 0.0
            for k in range(slices):
                q, level = search.queue[side, b, k], problem.level_of[a, k]
                value += search.gain[k, q, level] - kappa * search.cost[k, q, level]
                seal += search.mark[k, q, level]
            search.value[b * allocations + a] = value
            search.seal[b * allocations + a] = seal


@compiled
def _keep(problem, p, start_ms, rooms, search, t, beam):  # type: ignore[no-untyped-def]
    """Keep the best candidates that differ, serving their queues once more; return how many there are."""
    allocations, slices = problem.level_of.shape
    count, width = beam * allocations, search.score.shape[1]
    side, other = t % 2, (t + 1) % 2
    for kept in range(width):
        best = 0
        for candidate in range(1, count):
            if search.value[candidate] > search.value[best]:
                best = candidate
        if search.value[best] == _DONE:
            return kept
        parent, choice = best // allocations, best % allocations
        search.parent[t, kept], search.choice[t, kept] = parent, choice
        score = search.score[side, parent]
        for k in range(slices):
            q, level = search.queue[side, parent, k], problem.level_of[choice, k]
            score += search.gain[k, q, level]
        search.score[other, kept] = score
        seal = search.seal[best]
        for candidate in range(count):
            if search.seal[candidate] == seal:
                search.value[candidate] = _DONE
        _keep_queues(problem, p, start_ms, rooms, search, side, parent, choice, kept)
    return width


@compiled
def _keep_queues(problem, p, start_ms, rooms, search, side, parent, choice, kept):  # type: ignore[no-untyped-def]
    slices, width = len(p), search.score.shape[1]
    other, end_ms = 1 - side, start_ms + problem.window_ms
    for k in range(slices):
        q, level = search.queue[side, parent, k], problem.level_of[choice, k]
        if search.kept[k, q, level] < 0:
            place = 0
            for b in range(kept):
                place = max(place, search.queue[other, b, k] + 1)
            target = (other * slices + k) * width + place
            copy_queue(search.cells, (side * slices + k) * width + q, search.cells, target)
            window = _room(rooms, k)
            share = problem.level_share[level]
            serve_window(search.cells, target, p[k], share, start_ms, end_ms, window, search.out)
            search.kept[k, q, level] = place
        search.queue[other, kept, k] = search.kept[k, q, level]
