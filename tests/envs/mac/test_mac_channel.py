"""The channel of mac-v1 against a plain simulation of one cell, slot arithmetic done by hand, and arrival laws."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from roamrl.envs.errors import InputError
from roamrl.envs.mac import MAC
from roamrl.envs.mac.env import MACEnv
from roamrl.envs.mac.observation import EVENT, FIRST_EVENT, OWN, OWN_D2LT, PRESENT

SLOTS = 1500


def make(context: dict[str, Any], config: dict[str, Any] | None = None, rows: int = 1, seed: int = 3) -> MACEnv:
    env = MAC.make_vec([MAC.task(context, config)], rows, seed, "Disabled")
    assert isinstance(env, MACEnv)
    env.reset()
    return env


def arrivals(context: dict[str, Any], config: dict[str, Any], seed: int) -> list[list[float]]:
    """Return when packets arrive at each station, from an episode in which nobody transmits and nothing is lost."""
    env = make(context, {**config, "queue_packets": 1000}, seed=seed)
    silent = np.zeros((1, config["n_max"]), np.int8)
    while env.state.cells["time"][0] < config["episode_slots"]:
        env.step(silent)
    counts = env.state.stations["count"][0]
    return [list(env.state.queues[0, i, :count]) for i, count in enumerate(counts)]


class PlainCell:
    """One cell in plain Python, written from the description: lists of packets, a dictionary of last successes."""

    def __init__(self, arriving: list[list[float]], stations: int, length: int, config: dict[str, Any]) -> None:
        self.coming = [list(times) for times in arriving[:stations]]
        self.queues: list[list[float]] = [[] for _ in range(stations)]
        self.length, self.config, self.now = length, config, 0
        self.successes: list[tuple[int, int]] = []
        self.history: list[list[list[float]]] = [[] for _ in range(stations)]
        self.lost = 0

    def let_in(self, until: float) -> None:
        for coming, queue in zip(self.coming, self.queues, strict=True):
            while coming and coming[0] <= until:
                packet = coming.pop(0)
                if len(queue) < self.config["queue_packets"]:
                    queue.append(packet)
                else:
                    self.lost += 1

    def waited(self, of: set[int]) -> float:
        """Return the slots since the last success of any of some stations."""
        return self.now - max([slot for station, slot in self.successes if station in of], default=0)

    def step(self, wanted: np.ndarray[Any, Any]) -> tuple[float, int, float]:
        """Return the reward, the slots and the delay (NaN if nothing got through) of an epoch."""
        everybody = set(range(len(self.queues)))
        sending = {i for i in everybody if wanted[i] and self.queues[i]}
        left = self.config["episode_slots"] - self.now
        slots = min(left, self.length + 1 if sending else 1)
        reward, delay = 0.0, math.nan
        if len(sending) > 1:
            reward = -self.config["collision_cost"] * min(self.length, left)
        if len(sending) == 1 and self.length <= left:
            (winner,) = sending
            own = self.waited({winner})
            longest = max(self.waited({i}) for i in everybody if self.queues[i])
            reward = self.length * (1 - self.config["fairness"] * (1 - (own / longest if longest else 1.0)))
            done = self.now + self.length
            self.let_in(done)
            delay = done - self.queues[winner].pop(0)
            self.successes.append((winner, done))
        self.now += slots
        self.let_in(self.now)
        for i in everybody:
            own = self.waited({i})
            if self.config["others_d2lt"] == "last":
                others = self.waited(everybody - {i})
            else:
                others = max(self.waited({j}) for j in everybody - {i})
            shares = [own / (own + others), others / (own + others)]
            event = [i in sending, bool(sending - {i}), slots / self.length, *shares]
            self.history[i].append([float(value) for value in event])
        return reward, slots, delay

    def observation(self, i: int) -> list[float]:
        events = self.history[i][-self.config["history"] :]
        padding = [0.0] * (5 * (self.config["history"] - len(events)))
        return [
            1.0,
            *padding,
            *[x for event in events for x in event],
            len(self.queues[i]) / self.config["queue_packets"],
        ]


@pytest.mark.parametrize("others_d2lt", ["last", "longest"])
@pytest.mark.parametrize(
    ("arrival", "load", "length"), [("poisson", 0.7, 10), ("bursts", 0.9, 4), ("periodic", 1.3, 7)]
)
def test_the_kernel_equals_a_plain_simulation(arrival: str, load: float, length: int, others_d2lt: str) -> None:
    config = {"n_max": 6, "episode_slots": SLOTS, "queue_packets": 3, "fairness": 0.4, "collision_cost": 0.2}
    config = {**config, "others_d2lt": others_d2lt, "history": 3, "burst_packets": 4}
    context = {"arrival": arrival, "load": load, "stations": 4, "packet_slots": length}
    env = make(context, config, seed=11)
    plain = PlainCell(arrivals(context, config, 11), 4, length, config)
    rng = np.random.default_rng(0)
    delays = 0
    while plain.now < SLOTS:
        wanted = rng.random(6) < 0.3
        obs, reward, _, truncated, _ = env.step(wanted[None].astype(np.int8))
        expected, slots, delay = plain.step(wanted)
        assert env.durations is not None and env.durations[0] == slots
        assert reward[0] == pytest.approx(expected) and truncated[0] == (plain.now == SLOTS)
        if not math.isnan(delay):
            delays += 1
            assert env.state.cells["delay"][0] == pytest.approx(delay)
        np.testing.assert_allclose(obs[0, :4], [plain.observation(i) for i in range(4)], rtol=1e-6)
        assert not obs[0, 4:].any()
    assert delays > 30 and env.state.cells["lost"][0] == plain.lost > 0


def test_an_epoch_lasts_one_slot_or_a_packet_and_a_slot_of_sensing() -> None:
    env = make({"stations": 2, "arrival": "saturated", "packet_slots": 4}, {"n_max": 3, "episode_slots": 22})
    told = [(0, 0), (1, 0), (1, 1), (0, 1), (0, 1)]
    rewards, slots, ended = [], [], []
    for first, second in told:
        _, reward, _, truncated, _ = env.step(np.array([[first, second, 1]], np.int8))
        assert env.durations is not None
        rewards.append(reward[0]), slots.append(env.durations[0]), ended.append(truncated[0])
    assert slots == [1, 5, 5, 5, 5] and rewards == [0, 4, 0, 4, 4] and not any(ended)
    _, reward, _, truncated, _ = env.step(np.array([[1, 0, 0]], np.int8))
    assert env.durations[0] == 1 and reward[0] == 0 and truncated[0]  # one slot is left: the packet does not end
    assert env.state.cells["payload_slots"][0] == 12


def test_a_packet_that_ends_with_the_episode_counts_though_the_sensing_is_cut() -> None:
    env = make({"stations": 1, "arrival": "saturated", "packet_slots": 4}, {"n_max": 1, "episode_slots": 9})
    rewards = [env.step(np.ones((1, 1), np.int8))[1][0] for _ in range(2)]
    assert rewards == [4, 4] and env.state.cells["time"][0] == 9


def test_absent_stations_and_empty_queues_cannot_transmit() -> None:
    config = {"n_max": 8, "episode_slots": 400}
    env, other = (make({"stations": 3, "load": 0.3}, config, rows=4) for _ in range(2))
    rng = np.random.default_rng(1)
    for _ in range(60):
        wanted = rng.random((4, 8)) < 0.5
        able = (np.arange(8) < 3) & (env.state.stations["count"] > 0)
        first = env.step(wanted.astype(np.int8))
        second = other.step((wanted & able).astype(np.int8))
        assert np.array_equal(first[0], second[0]) and np.array_equal(first[1], second[1])
        assert np.array_equal(first[0][:, :, FIRST_EVENT + 7 * EVENT + OWN] > 0, wanted & able)


@pytest.mark.parametrize("arrival", ["poisson", "bursts", "periodic"])
@pytest.mark.parametrize("stations", [2, 9])
def test_the_offered_load_is_what_the_context_says(arrival: str, stations: int) -> None:
    config = {"n_max": 9, "episode_slots": 20_000, "queue_packets": 1000, "burst_packets": 5}
    env = make({"arrival": arrival, "stations": stations, "load": 0.6, "packet_slots": 5}, config, rows=16)
    while env.state.cells["time"][0] < 20_000:
        env.step(np.zeros((16, 9), np.int8))
    load = env.state.cells["offered"] * 5 / 20_000
    packets = 0.6 * 20_000 / 5
    spread = {"poisson": 1 / math.sqrt(packets), "bursts": math.sqrt(5 / packets), "periodic": 5e-3}[arrival]
    assert load.mean() == pytest.approx(0.6, rel=4 * spread / math.sqrt(16))
    times = [env.state.queues[0, i, :count] for i, count in enumerate(env.state.stations["count"][0][:stations])]
    gaps = np.diff(times[0])
    period = stations * 5 / 0.6
    if arrival == "periodic":
        np.testing.assert_allclose(gaps, period)
        assert np.std([station[0] for station in times]) > 0.0
    elif arrival == "bursts":
        assert all(len(np.unique(batch)) == 1 for batch in times[0][: len(times[0]) // 5 * 5].reshape(-1, 5))
    else:
        assert gaps.mean() == pytest.approx(period, rel=0.25) and np.std(gaps) == pytest.approx(period, rel=0.3)


def test_the_number_of_stations_jumps_where_it_is_told_to() -> None:
    jumps = {"slots": [300, 600], "stations": [6, 1]}
    config = {"n_max": 6, "episode_slots": 1000, "queue_packets": 1000}
    env = make({"arrival": "periodic", "stations": 2, "load": 0.5, "packet_slots": 5, "dynamic": jumps}, config)
    here = []
    for _ in range(1000):
        obs = env.step(np.zeros((1, 6), np.int8))[0]
        here.append(int(obs[0, :, PRESENT].sum()))
        assert (obs[0, : here[-1], PRESENT] == 1).all() and not obs[0, here[-1] :].any()
        if len(here) == 300:
            assert not obs[0, 2:, FIRST_EVENT:-1].any() and obs[0, :2, FIRST_EVENT:-1].any()
    assert here == [2] * 299 + [6] * 300 + [1] * 401
    assert env.state.cells["offered"][0] == pytest.approx(1000 * 0.5 / 5, abs=8)  # the aggregate load stays


def test_jumps_at_random_slots_are_of_the_stream_and_reach_all_their_numbers() -> None:
    jumps = {"mean_gap": 200, "stations": [2, 4, 6]}
    context = {"arrival": "saturated", "stations": 4, "dynamic": jumps}
    env = make(context, {"n_max": 6, "episode_slots": 20_000}, rows=3)
    seen = np.zeros((20_000, 3), np.int64)
    for slot in range(20_000):
        env.step(np.zeros((3, 6), np.int8))
        seen[slot] = env.state.cells["stations"]
    changed = np.diff(seen, axis=0) != 0
    gaps = np.concatenate([np.diff(np.flatnonzero(column)) for column in changed.T])
    assert set(seen.ravel()) == {2, 4, 6} and gaps.mean() == pytest.approx(200, rel=0.1)
    assert gaps.min() >= 100 and gaps.max() <= 300 and not np.array_equal(seen[:, 0], seen[:, 1])
    assert np.array_equal(env.state.cells["jumps"], changed.sum(axis=0))


def test_the_observation_says_whose_wait_is_the_longest() -> None:
    """Own success: a D2LT of one slot, and all others share the rest."""
    env = make({"stations": 3, "arrival": "saturated"}, {"n_max": 3, "history": 1})
    env.step(np.array([[1, 0, 0]], np.int8))
    obs = env.step(np.array([[0, 1, 0]], np.int8))[0]
    np.testing.assert_allclose(obs[0, :, FIRST_EVENT + OWN_D2LT], [12 / 13, 1 / 13, 22 / 23], rtol=1e-6)
    longest = make({"stations": 3, "arrival": "saturated"}, {"n_max": 3, "history": 1, "others_d2lt": "longest"})
    longest.step(np.array([[1, 0, 0]], np.int8))
    obs = longest.step(np.array([[0, 1, 0]], np.int8))[0]
    np.testing.assert_allclose(obs[0, :, FIRST_EVENT + OWN_D2LT], [12 / 34, 1 / 23, 22 / 34], rtol=1e-6)


@pytest.mark.parametrize("actions", [np.full((2, 4), 2), np.zeros((2, 3)), np.zeros(8), np.full((2, 4), -1)])
def test_an_action_outside_the_space_is_refused(actions: np.ndarray[Any, Any]) -> None:
    env = make({"stations": 3}, {"n_max": 4}, rows=2)
    with pytest.raises(InputError, match="0 or 1 for each of 4 stations"):
        env.step(actions)
