"""The inner loop: begin, step and observe many downlinks by one call, without allocation.

Random numbers: the stream of an episode is cut by purpose and by user (arrivals) or block (gains), its counter is the
slot. So users, blocks and slots have the same draws whatever the task and the actions.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from roamrl.envs.compiled import compiled, inlined
from roamrl.envs.streams import episode_key, fold, uniform
from roamrl.envs.urllc.channel import least_power

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

POWER, VIOLATION_RATE, LOSS_RATE, BACKLOG, MEASURES = range(5)

_ARRIVALS = np.uint64(1)
_GAINS = np.uint64(2)


class Rules(NamedTuple):
    """What all tasks of a config share."""

    buffer: int
    limit: int
    unit: float  # packets that are observed as 1


class Table(NamedTuple):
    """Parameters of T tasks."""

    cumulative: F64  # [T, K + 1] probability of at most so many arrivals
    noise: F64  # [T, L] power over SNR at each gain level, falling
    log2_noise: F64  # [T, L]
    log_gain: F64  # [T, L]
    penalty: F64  # [T]
    loss_penalty: F64  # [T]
    observed: F64  # [T, V] observed part of the context


class Cells(NamedTuple):
    """State of N downlinks with U users and B blocks."""

    keys: NDArray[np.uint64]  # [N] key of the episode
    slots: I64  # [N] slots played
    backlog: I64  # [N, U]
    levels: I64  # [N, U, B] gain level of each block
    history: F64  # [N, H, U, 2] arrivals and rates of the last slots, the latest last


def make_cells(cells: int, users: int, blocks: int, history: int) -> Cells:
    """Allocate the state of N downlinks."""
    return Cells(
        np.zeros(cells, np.uint64),
        np.zeros(cells, np.int64),
        np.zeros((cells, users), np.int64),
        np.zeros((cells, users, blocks), np.int64),
        np.zeros((cells, history, users, 2)),
    )


@inlined
def _draw_levels(cells, row, levels):  # type: ignore[no-untyped-def]
    """Draw the gain levels of a slot."""
    stream = fold(cells.keys[row], _GAINS)
    slot = cells.slots[row]
    users, blocks = cells.levels.shape[1], cells.levels.shape[2]
    for user in range(users):
        for block in range(blocks):
            key = fold(stream, np.uint64(user * blocks + block))
            cells.levels[row, user, block] = int(uniform(key, slot) * levels)


@inlined
def _draw_arrivals(cells, row, user, cumulative):  # type: ignore[no-untyped-def]
    """Draw a user's arrivals in a slot."""
    drawn = uniform(fold(fold(cells.keys[row], _ARRIVALS), np.uint64(user)), cells.slots[row])
    count = 0
    while count < len(cumulative) - 1 and drawn >= cumulative[count]:
        count += 1
    return count


@compiled
def begin_cells(rows, keys, table, cells):  # type: ignore[no-untyped-def]
    """Start an episode in some downlinks: nothing waits.

    Args:
        rows: Downlinks, [M].
        keys: Seed, episode and index of them, int64 [M, 3].
        table: Parameters of the tasks.
        cells: State, written.
    """
    for m in range(len(rows)):
        row = rows[m]
        cells.keys[row] = episode_key(keys[m, 0], keys[m, 1], keys[m, 2])
        cells.slots[row] = 0
        cells.backlog[row] = 0
        cells.history[row] = 0.0
        _draw_levels(cells, row, table.noise.shape[1])


@compiled
def power_of_cells(rows, rates, tasks, table, cells, counts, power):  # type: ignore[no-untyped-def]
    """Write the power of a slot in which each user has all blocks of its own.

    Args:
        rows: Downlinks, [M].
        rates: Packets of each user, [N, U].
        tasks: Entry of the table each downlink plays, [N].
        table: Parameters of the tasks.
        cells: State.
        counts: Room for a user's blocks of each level, [L].
        power: [N], written.
    """
    users, blocks = cells.levels.shape[1], cells.levels.shape[2]
    for m in range(len(rows)):
        row = rows[m]
        noise, log2_noise = table.noise[tasks[row]], table.log2_noise[tasks[row]]
        total = 0.0
        for user in range(users):
            levels, packets = cells.levels[row, user], rates[row, user]
            if blocks == 1:
                total += noise[levels[0]] * float((1 << packets) - 1)
                continue
            counts[:] = 0
            for block in range(blocks):
                counts[levels[block]] += 1
            total += least_power(counts, noise, log2_noise, packets)
        power[row] = total


@compiled
def step_cells(rows, rates, power, tasks, table, rules, cells, rewards, measures):  # type: ignore[no-untyped-def]
    """Step some downlinks by one slot.

    Args:
        rows: Downlinks, [M].
        rates: Packets of each user, at most what waits, [N, U].
        power: Power they take, [N].
        tasks: Entry of the table each downlink plays, [N].
        table: Parameters of the tasks.
        rules: What all tasks share.
        cells: State, written.
        rewards: [N], written.
        measures: [N, MEASURES], written.
    """
    users = cells.backlog.shape[1]
    for m in range(len(rows)):
        row = rows[m]
        task = tasks[row]
        backlog, rate = cells.backlog[row], rates[row]
        violated, lost, left = 0, 0, 0
        _shift(cells.history[row])
        for user in range(users):
            backlog[user] -= rate[user]
            left += backlog[user]
            violated += backlog[user] > rules.limit
            arrivals = _draw_arrivals(cells, row, user, table.cumulative[task])
            _remember(cells.history[row], user, arrivals / rules.unit, rate[user] / rules.unit)
            waiting = backlog[user] + arrivals
            lost += max(waiting - rules.buffer, 0)
            backlog[user] = min(waiting, rules.buffer)
        cells.slots[row] += 1
        _draw_levels(cells, row, table.noise.shape[1])
        rewards[row] = -power[row] - table.penalty[task] * violated - table.loss_penalty[task] * lost
        measures[row, POWER] = power[row]
        measures[row, VIOLATION_RATE] = violated / users
        measures[row, LOSS_RATE] = lost / users
        measures[row, BACKLOG] = left / users


@inlined
def _shift(history):  # type: ignore[no-untyped-def]
    for slot in range(len(history) - 1):
        for user in range(history.shape[1]):
            for part in range(history.shape[2]):
                history[slot, user, part] = history[slot + 1, user, part]


@inlined
def _remember(history, user, arrivals, rate):  # type: ignore[no-untyped-def]
    if len(history) > 0:
        history[len(history) - 1, user, 0] = arrivals
        history[len(history) - 1, user, 1] = rate


@compiled
def observe_cells(rows, tasks, table, rules, cells, obs):  # type: ignore[no-untyped-def]
    """Write what the agent sees: backlogs, log gains, history, observed context.

    Args:
        rows: Downlinks, [M].
        tasks: Entry of the table each downlink plays, [N].
        table: Parameters of the tasks.
        rules: What all tasks share.
        cells: State.
        obs: float32 [N, O], written.
    """
    users, blocks = cells.levels.shape[1], cells.levels.shape[2]
    for m in range(len(rows)):
        row = rows[m]
        task = tasks[row]
        place = 0
        for user in range(users):
            obs[row, place] = cells.backlog[row, user] / rules.unit
            place += 1
        for user in range(users):
            for block in range(blocks):
                obs[row, place] = table.log_gain[task, cells.levels[row, user, block]]
                place += 1
        for slot in range(cells.history.shape[1]):
            for user in range(users):
                for part in range(2):
                    obs[row, place] = cells.history[row, slot, user, part]
                    place += 1
        for entry in range(table.observed.shape[1]):
            obs[row, place] = table.observed[task, entry]
            place += 1


def make_rules(config: Any) -> Rules:
    """Return what all tasks of a config share."""
    return Rules(config.buffer_packets, config.backlog_limit, float(max(config.backlog_limit, 1)))
