"""The inner loop: begin and step cells, without allocation and without the interpreter's lock."""

from __future__ import annotations

from roamrl.envs.compiled import compiled
from roamrl.envs.mac.arrivals import admit, begin_stations, jump
from roamrl.envs.mac.cells import ARRIVAL, COLLISION_COST, EPISODE_SLOTS, FAIRNESS, MEASURES, PACKET_SLOTS, SATURATED
from roamrl.envs.mac.measures import count_delay, look_back
from roamrl.envs.mac.observation import begin_observation, push_event, refresh_stations
from roamrl.envs.streams import episode_key


@compiled
def begin_cell(cell, stations, queues, delays, p, jump_slots, seed, episode, index):  # type: ignore[no-untyped-def]
    """Start an episode in one cell.

    Args:
        cell: The cell.
        stations: Its stations, [S].
        queues: Their queues, [S, Q].
        delays: Histogram of delays, [BINS].
        p: Its task's parameters, [PARAMETERS].
        jump_slots: Slots of all tasks' jumps.
        seed: Seed of the cell's streams.
        episode: Number of the episode.
        index: Index within the member.
    """
    cell.key = episode_key(seed, episode, index)
    begin_stations(cell, stations, queues, p, jump_slots)
    cell.epochs = 0
    cell.duration = 0
    cell.transmitters = 0
    cell.winner = -1
    cell.delay = 0.0
    cell.latest = -1
    cell.latest_at = 0
    cell.other_at = 0
    cell.payload_slots = 0
    cell.busy = 0
    cell.collided = 0
    cell.delivered = 0
    cell.squares = 0
    cell.quantile = 0
    cell.above = 0
    delays[:] = 0


@compiled
def advance_cell(cell, stations, queues, delays, p, jump_slots, jump_stations, transmit):  # type: ignore[no-untyped-def]
    """Play one contention epoch of one cell and return its reward.

    One slot if nobody transmits; else the packet's L slots and one of sensing. What exceeds the episode is cut off,
    and a packet that does not end within it is not delivered.

    Args:
        cell: The cell.
        stations: Its stations, [S].
        queues: Their queues, [S, Q].
        delays: Histogram of delays, [BINS].
        p: Its task's parameters, [PARAMETERS].
        jump_slots: Slots of all tasks' jumps.
        jump_stations: Stations after all tasks' jumps.
        transmit: Who wants to transmit, [S]; only present stations with a packet do.
    """
    length = int(p[PACKET_SLOTS])
    left = int(p[EPISODE_SLOTS]) - cell.time
    count, winner = 0, -1
    for i in range(cell.stations):
        sends = transmit[i] != 0 and stations[i].count > 0
        stations[i].sent = 1 if sends else 0
        if sends:
            count += 1
            winner = i
    cell.transmitters = count
    cell.winner = winner if count == 1 and length <= left else -1
    cell.duration = min(left, length + 1 if count > 0 else 1)
    reward = 0.0
    if count > 0:
        cell.busy += 1
    if count > 1:
        cell.collided += 1
        reward = -p[COLLISION_COST] * min(left, length)
    if cell.winner >= 0:
        reward = length * (1.0 - p[FAIRNESS] * (1.0 - _turn(cell, stations, cell.winner)))
        admit(cell, stations, queues, p, cell.time + length)
        _deliver(cell, stations, queues, delays, p, length)
    cell.time += cell.duration
    cell.epochs += 1
    admit(cell, stations, queues, p, cell.time)
    while cell.next_jump <= cell.time:
        jump(cell, stations, queues, p, jump_slots, jump_stations)
    return reward


@compiled
def _turn(cell, stations, winner):  # type: ignore[no-untyped-def]
    """Return a station's D2LT over the largest among the stations with a packet."""
    longest = 0
    for i in range(cell.stations):
        if stations[i].count > 0:
            longest = max(longest, cell.time - stations[i].last_success)
    return (cell.time - stations[winner].last_success) / longest if longest > 0 else 1.0


@compiled
def _deliver(cell, stations, queues, delays, p, length):  # type: ignore[no-untyped-def]
    """Take the winner's packet from its queue at the end of its last slot."""
    winner = cell.winner
    station = stations[winner]
    now = cell.time + length
    if p[ARRIVAL] == SATURATED:
        cell.delay = float(now - station.last_success)
    else:
        cell.delay = now - queues[winner, station.head]
        station.head = (station.head + 1) % queues.shape[1]
        station.count -= 1
    if cell.latest != winner:
        cell.other_at = cell.latest_at
        cell.latest = winner
    cell.latest_at = now
    station.last_success = now
    cell.payload_slots += length
    cell.delivered += 1
    cell.squares += 2 * station.delivered + 1
    station.delivered += 1
    count_delay(cell, delays)


@compiled
def begin_cells(rows, keys, entries, tasks, state, obs):  # type: ignore[no-untyped-def]
    """Start an episode in some cells.

    Args:
        rows: Cells, [R].
        keys: Seed, episode and index of the cells, int64 [R, 3].
        entries: Entry of the task table each of the N cells plays, [N].
        tasks: The task table.
        state: State of the cells.
        obs: Observations, [N, S, O], written for these rows.
    """
    for r in range(len(rows)):
        row = rows[r]
        begin_cell(
            state.cells[row], state.stations[row], state.queues[row], state.delays[row],
            tasks.parameters[entries[row]], tasks.jump_slots, keys[r, 0], keys[r, 1], keys[r, 2],
        )  # fmt: skip
        begin_observation(state.cells[row], state.stations[row], state.queues.shape[2], obs[row])


@compiled
def step_cells(rows, transmit, entries, tasks, state, so_far, obs, rewards, durations, ended, measures):  # type: ignore[no-untyped-def]
    """Step some cells by one epoch.

    Args:
        rows: Cells, [R].
        transmit: Who wants to transmit, int8 [N, S].
        entries: Entry of the task table each cell plays, [N].
        tasks: The task table.
        state: State of the cells.
        so_far: What each episode has come to, [N, MEASURES], written.
        obs: Observations, [N, S, O], moved on by one event.
        rewards: [N], written.
        durations: Slots of the epoch, [N], written.
        ended: Whether the episode is over, [N], written.
        measures: Step measures, [N, MEASURES], written: k m_k - (k - 1) m_(k-1) of what the episode has come to after
            k steps, so that their mean over the steps of an episode is what it came to.
    """
    for r in range(len(rows)):
        row = rows[r]
        cell, stations = state.cells[row], state.stations[row]
        p = tasks.parameters[entries[row]]
        before = cell.stations
        rewards[row] = advance_cell(
            cell, stations, state.queues[row], state.delays[row], p, tasks.jump_slots, tasks.jump_stations,
            transmit[row],
        )  # fmt: skip
        push_event(cell, stations, state.queues.shape[2], p, before, obs[row])
        if cell.stations != before:
            refresh_stations(cell, stations, state.queues.shape[2], before, obs[row])
        durations[row] = cell.duration
        ended[row] = cell.time >= p[EPISODE_SLOTS]
        first = cell.epochs == 1
        for column in range(MEASURES):
            measures[row, column] = 0.0 if first else -(cell.epochs - 1) * so_far[row, column]
        look_back(cell, stations, so_far[row])
        for column in range(MEASURES):
            measures[row, column] += cell.epochs * so_far[row, column]
