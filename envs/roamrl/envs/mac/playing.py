"""Whole episodes under a rule by one call: what references cost would otherwise be a step of the environment each."""

from __future__ import annotations

from roamrl.envs.compiled import compiled
from roamrl.envs.mac.arrivals import next_stations
from roamrl.envs.mac.cells import EPISODE_SLOTS
from roamrl.envs.mac.kernel import advance_cell, begin_cell
from roamrl.envs.mac.measures import look_back
from roamrl.envs.mac.observation import begin_observation, push_event, refresh_stations
from roamrl.envs.mac.rules import ON_OBSERVATION, choose


@compiled
def play_episodes(rule, seed, indices, entries, tasks, chances, state, obs, memory, transmit, returns, measures):  # type: ignore[no-untyped-def]
    """Play one episode for each of R indices, one after the other.

    Args:
        rule: Which rule (:mod:`roamrl.envs.mac.rules`).
        seed: Seed of the streams; the episode is number 0.
        indices: Index of each episode's streams, [R].
        entries: Entry of the task table each plays, [R].
        tasks: The task table.
        chances: Probabilities of the rule by task and number of stations, [T, S + 1].
        state: Room for one cell.
        obs: Room for its observation, [S, O].
        memory: Room for what its stations remember, [S].
        transmit: Room for an action, int8 [S].
        returns: [R], written.
        measures: What each episode came to, [R, MEASURES], written.
    """
    cell, stations, queues, delays = state.cells[0], state.stations[0], state.queues[0], state.delays[0]
    room = queues.shape[1]
    for r in range(len(indices)):
        p, chance = tasks.parameters[entries[r]], chances[entries[r]]
        begin_cell(cell, stations, queues, delays, p, tasks.jump_slots, seed, 0, indices[r])
        begin_observation(cell, stations, room, obs)
        total = 0.0
        while cell.time < p[EPISODE_SLOTS]:
            before = cell.stations
            staying = next_stations(cell, p, tasks.jump_stations)
            choose(rule, cell, stations, staying, chance, memory, obs, transmit)
            total += advance_cell(
                cell, stations, queues, delays, p, tasks.jump_slots, tasks.jump_stations, transmit
            )  # fmt: skip
            if rule >= ON_OBSERVATION:
                push_event(cell, stations, room, p, before, obs)
                if cell.stations != before:
                    refresh_stations(cell, stations, room, before, obs)
        returns[r] = total
        look_back(cell, stations, measures[r])


@compiled
def choose_cells(rule, entries, tasks, chances, state, obs, memory, transmit):  # type: ignore[no-untyped-def]
    """Decide for N cells of a running environment.

    Args:
        rule: Which rule.
        entries: Entry of the tables each cell plays, [N].
        tasks: The task table.
        chances: Probabilities of the rule, [T, S + 1].
        state: State of the cells.
        obs: Their observations, [N, S, O].
        memory: What their stations remember, [N, S].
        transmit: int8 [N, S], written.
    """
    for row in range(len(entries)):
        cell, entry = state.cells[row], entries[row]
        staying = next_stations(cell, tasks.parameters[entry], tasks.jump_stations)
        choose(rule, cell, state.stations[row], staying, chances[entry], memory[row], obs[row], transmit[row])
