"""References of mac-v1: closed forms, an independent simulation of backoff, bounds, and their order."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy.optimize import brentq

from roamrl.envs.episodes import place_episodes, play
from roamrl.envs.errors import InputError
from roamrl.envs.mac import MAC
from roamrl.envs.mac.env import MACEnv
from roamrl.envs.mac.persistence import best_persistence, saturated_throughput
from roamrl.envs.mac.references import persistent
from roamrl.envs.mac.tuning import ANCHOR, tune_persistence
from roamrl.envs.placement import Placement
from roamrl.envs.slicing import SLICING

SLOTS = 20_000
EPISODES = 16


def saturated(stations: int, length: int = 10, config: dict[str, Any] | None = None) -> Any:
    return MAC.task({"stations": stations, "arrival": "saturated", "packet_slots": length}, config)


def played(name: str, task: Any, episodes: int = EPISODES, seed: int = 1) -> Any:
    return MAC.references(task.config)[name].play(MAC, [task], episodes=episodes, seed=seed)


def rate(returns: Any) -> tuple[float, float]:
    """Return the mean reward a slot and four standard errors of it."""
    return returns.mean() / SLOTS, 4 * returns.std(ddof=1) / math.sqrt(returns.size) / SLOTS


@pytest.mark.parametrize(
    ("stations", "length", "chance"), [(2, 10, 0.3), (5, 10, 0.08), (20, 4, 0.05), (40, 40, 0.004)]
)
def test_persistent_access_carries_what_its_formula_says(stations: int, length: int, chance: float) -> None:
    mean, spread = rate(persistent(chance).play(MAC, [saturated(stations, length)], episodes=64, seed=2).returns)
    expected = float(saturated_throughput(chance, stations, length))
    assert spread < 0.02 * expected and mean == pytest.approx(expected, abs=spread)


@pytest.mark.parametrize("length", [1, 10, 40])
@pytest.mark.parametrize("stations", [1, 2, 5, 40])
def test_the_best_p_is_the_best_of_all(stations: int, length: int) -> None:
    others = saturated_throughput(np.linspace(1e-4, 1.0, 20_000), stations, length)
    assert saturated_throughput(best_persistence(stations, length), stations, length) >= others.max() - 1e-12


def test_no_best_p_without_stations() -> None:
    with pytest.raises(InputError, match="at least one station"):
        best_persistence(0, 10)


@pytest.mark.parametrize(("stations", "share"), [(20, 0.57), (40, 0.18)])
def test_a_p_tuned_at_five_stations_loses_heavily_at_many(stations: int, share: float) -> None:
    """The zero-shot gap: 57 % and 18 % of what the p tuned for that number carries, in closed form and played."""
    own, best = (float(saturated_throughput(best_persistence(n, 10), stations, 10)) for n in (5, stations))
    assert round(own / best, 2) == share
    task = saturated(stations)
    kept = played("persistent", task).returns.mean() / played("persistent-n", task).returns.mean()
    assert kept == pytest.approx(share, abs=0.02)


def test_the_hidden_number_of_stations_changes_the_best_action() -> None:
    worth = {(n, m): float(saturated_throughput(best_persistence(m, 10), n, 10)) for n in (2, 40) for m in (2, 40)}
    assert worth[2, 40] < 0.3 * worth[2, 2] and worth[40, 2] < 0.01 * worth[40, 40]


def test_tuning_finds_the_p_of_the_trivial_reference() -> None:
    chance = tune_persistence(MAC, [MAC.task(ANCHOR)], episodes=16, seed=7)
    assert chance == pytest.approx(best_persistence(5, 10), rel=0.05)
    assert MAC.references(MAC.config())["persistent"].chances(MAC.task())[5] == pytest.approx(chance, rel=0.05)
    many = tune_persistence(MAC, [saturated(24)], episodes=2, seed=7)
    best = float(saturated_throughput(best_persistence(24, 10), 24, 10))
    assert saturated_throughput(many, 24, 10) > 0.99 * best


@pytest.mark.parametrize("name", ["round-robin", "oracle"])
@pytest.mark.parametrize(("stations", "length"), [(1, 10), (8, 10), (40, 40)])
def test_saturated_round_robin_is_the_bound_and_fair(name: str, stations: int, length: int) -> None:
    result = played(name, saturated(stations, length), episodes=2)
    packets = (SLOTS - length) // (length + 1) + 1
    assert (result.returns == packets * length).all()
    assert abs(packets * length / SLOTS - length / (length + 1)) < 2 * length / SLOTS
    shares = np.full(stations, packets // stations) + (np.arange(stations) < packets % stations)
    np.testing.assert_allclose(result.measures["jain"], shares.sum() ** 2 / (stations * (shares**2).sum()))
    assert (result.measures["jain"] > 0.999).all() and (result.measures["collision_rate"] == 0).all()


def simulate_backoff(stations: int, length: int, slots: int, seed: int) -> float:
    """Simulate saturated binary exponential backoff slot by slot; return the payload slots a slot."""
    rng = np.random.default_rng(seed)
    window = [16] * stations
    counter = [int(rng.integers(16)) for _ in range(stations)]
    busy, payload = 0, 0
    for _ in range(slots):
        if busy:
            busy -= 1
            continue
        sending = [i for i in range(stations) if counter[i] == 0]
        if not sending:
            counter = [count - 1 for count in counter]
            continue
        busy = length  # this slot and length more: the packet and one of sensing
        payload += length * (len(sending) == 1)
        for i in sending:
            window[i] = 16 if len(sending) == 1 else min(2 * window[i], 1024)
            counter[i] = int(rng.integers(window[i]))
    return payload / slots


@pytest.mark.parametrize(("stations", "length"), [(3, 5), (12, 10)])
def test_backoff_equals_an_independent_simulation_slot_by_slot(stations: int, length: int) -> None:
    ours, spread = rate(played("backoff", saturated(stations, length), episodes=32).returns)
    theirs = [simulate_backoff(stations, length, SLOTS, seed) for seed in range(48)]
    other = 4 * np.std(theirs, ddof=1) / math.sqrt(len(theirs))
    assert spread + other < 0.03 * ours and abs(ours - np.mean(theirs)) < math.hypot(spread, other)


@pytest.mark.parametrize("stations", [5, 10, 20])
def test_backoff_lies_where_bianchi_s_fixed_point_puts_it(stations: int) -> None:
    """Bianchi, IEEE JSAC 18(3), 2000, eq. 7 and 9, whose counters also count busy periods as one slot: a band."""

    def tau(p: float) -> float:
        return 2 * (1 - 2 * p) / ((1 - 2 * p) * 17 + p * 16 * (1 - (2 * p) ** 6))

    collide = brentq(lambda p: p - 1 + (1 - tau(p)) ** (stations - 1), 1e-6, 0.49999)
    expected = float(saturated_throughput(tau(collide), stations, 10))
    assert rate(played("backoff", saturated(stations)).returns)[0] == pytest.approx(expected, rel=0.07)


def test_backoff_sends_a_lone_packet_at_once_after_its_counter_has_run_out() -> None:
    """A packet each 500 slots: the delay is the packet and less than one slot of waiting for the next epoch."""
    result = played("backoff", MAC.task({"stations": 1, "load": 0.02, "arrival": "periodic"}), episodes=4)
    assert (result.measures["delay_p99"] == 11).all() and (result.measures["collision_rate"] == 0).all()


@pytest.mark.parametrize("others_d2lt", ["last", "longest"])
def test_a_rule_acts_in_an_environment_as_it_plays_by_itself(others_d2lt: str) -> None:
    config = {"n_max": 6, "episode_slots": 3000, "others_d2lt": others_d2lt, "fairness": 0.5, "collision_cost": 0.1}
    jumps = {"mean_gap": 400, "stations": [2, 4, 6]}
    contexts: list[dict[str, Any]] = [{"stations": 4, "load": 1.1}, {"arrival": "saturated", "dynamic": jumps}]
    tasks = [MAC.task(context, config) for context in contexts]
    references = {name: rule for name, rule in MAC.references(tasks[0].config).items() if name != "oracle"}
    assert len(references) == (8 if others_d2lt == "longest" else 7)
    for name, rule in references.items():
        alone = rule.play(MAC, tasks, episodes=3, seed=9)
        act = rule.acting(place_episodes(MAC, tasks, range(3), 9))  # type: ignore[attr-defined]
        stepped = play(MAC, tasks, act, episodes=3, seed=9)
        np.testing.assert_allclose(stepped.returns, alone.returns, rtol=1e-12, err_msg=name)
        for measure in MAC.measures:
            np.testing.assert_allclose(stepped.measures[measure], alone.measures[measure], rtol=1e-9, atol=1e-12)


def test_a_rule_does_not_act_elsewhere() -> None:
    with pytest.raises(InputError, match="mac-v1"):
        persistent(0.1).acting(SLICING.make_vec([SLICING.task()]))


def bound(arrived: list[Any], length: int) -> int:
    """Return the payload of a channel that all packets share in one endless queue."""
    payload, free = 0, 0
    for at in np.sort(np.concatenate(arrived)):
        begun = max(math.ceil(at), free)
        if begun + length > SLOTS:
            break
        payload += length
        free = begun + length + 1
    return payload


@pytest.mark.parametrize(("load", "stations"), [(0.7, 4), (0.95, 8), (1.2, 3)])
def test_nothing_can_carry_more_than_one_endless_queue_and_the_oracle_does_where_nothing_is_lost(
    load: float, stations: int
) -> None:
    context = {"load": load, "stations": stations}
    env = MAC.make_vec([MAC.task(context, {"queue_packets": 3000, "n_max": 8})], 4, 1, "Disabled")
    assert isinstance(env, MACEnv)
    env.reset()
    while env.state.cells["time"][0] < SLOTS:
        env.step(np.zeros((4, 8), np.int8))
    counts = env.state.stations["count"]
    most = [bound([env.state.queues[row, i, : counts[row, i]] for i in range(8)], 10) for row in range(4)]
    result = played("oracle", MAC.task(context, {"n_max": 8}), episodes=4)
    ratio = result.returns[0] / most
    assert (ratio <= 1.0).all() and (ratio > 0.99).all()
    lossless = result.measures["loss_rate"][0] == 0
    assert (ratio[lossless] == 1.0).all() and (lossless.all() or load > 0.7)


SPLITS = ("train", "iid", "ood-stations", "ood-load", "ood-burst", "ood-length", "ood-all", "ood-dynamic")


@pytest.fixture(scope="module")
def scores() -> dict[str, dict[str, Any]]:
    """Return scores by split and reference, [T], over some tasks of each split."""
    found: dict[str, dict[str, Any]] = {}
    config = MAC.config()
    for split in SPLITS:
        tasks = MAC.splits(config)[split].tasks[::2]
        returns = {
            name: rule.play(MAC, tasks, episodes=4, seed=3).returns.mean(axis=1)
            for name, rule in MAC.references(config).items()
        }
        low, high = returns["persistent"], returns["oracle"]
        found[split] = {name: (own - low) / (high - low) for name, own in returns.items()}
    return found


@pytest.mark.parametrize("split", SPLITS)
def test_no_reference_exceeds_the_oracle_on_any_task(scores: dict[str, Any], split: str) -> None:
    assert {name: own.max() for name, own in scores[split].items() if own.max() > 1.0} == {}


@pytest.mark.parametrize("split", SPLITS)
def test_trivial_below_knowing_n_below_rules_that_coordinate_below_oracle(scores: dict[str, Any], split: str) -> None:
    mean = {name: own.mean() for name, own in scores[split].items()}
    assert 0.03 < mean["persistent-n"] <= mean["persistent-backlog"] + 0.01
    assert mean["persistent-backlog"] < mean["reservation"] < 1.0 and mean["persistent-backlog"] < mean["keep-channel"]
    assert mean["round-robin"] > 0.9


def test_backoff_is_worth_its_while_where_stations_are_many_and_not_near_five(scores: dict[str, Any]) -> None:
    """What the trivial p is tuned for it does better than backoff; elsewhere it does not."""
    assert scores["ood-stations"]["backoff"].mean() > 0.3 and scores["ood-all"]["backoff"].mean() > 0.3
    assert scores["iid"]["backoff"].mean() < 0.0


def test_the_first_reference_of_each_role_stands_for_it() -> None:
    config = MAC.config()
    found = {role: MAC.reference(config, role).name for role in ("trivial", "classical", "oracle")}
    assert found == {"trivial": "persistent", "classical": "backoff", "oracle": "oracle"}
    assert MAC.references(config)["persistent-n"].role == "classical"
    assert "longest-wait" not in MAC.references(config)
    assert "longest-wait" in MAC.references(MAC.config({"others_d2lt": "longest"}))


def test_throughput_alone_is_blind_to_one_station_keeping_the_channel() -> None:
    task = saturated(8)
    keep, turns = (played(name, task, episodes=4) for name in ("keep-channel", "round-robin"))
    assert keep.returns.mean() > 0.995 * turns.returns.mean() and (keep.measures["jain"] < 0.13).all()
    fair = saturated(8, config={"fairness": 0.5})
    kept, bound_ = (played(name, fair, episodes=4).returns for name in ("keep-channel", "oracle"))
    assert kept.mean() < 0.6 * bound_.mean()
    assert np.array_equal(played("round-robin", fair, episodes=4).returns, bound_)


@pytest.mark.parametrize(("stations", "least"), [(2, 0.995), (8, 0.98), (24, 0.9)])
def test_who_hears_whose_packets_get_through_can_take_turns(stations: int, least: float) -> None:
    """A rule on the observation alone reaches round robin, and its fairness, when saturated."""
    result = played("longest-wait", saturated(stations, config={"others_d2lt": "longest"}), episodes=8)
    assert result.returns.mean() / SLOTS > least * 10 / 11 and (result.measures["jain"] > 0.995).all()


def test_rules_play_the_tasks_of_one_config() -> None:
    with pytest.raises(InputError, match="different configs"):
        persistent(0.1).play(MAC, [saturated(2), saturated(2, config={"n_max": 5})], episodes=1, seed=0)


def test_a_reference_s_episodes_are_those_of_the_common_streams() -> None:
    """Episode e of a task is row e of the placement that every arm is evaluated on."""
    task = MAC.task({"load": 0.5}, {"episode_slots": 500})
    result = persistent(0.0).play(MAC, [task], episodes=3, seed=21)
    placement = Placement(np.full(3, 21, np.int64), np.arange(3, dtype=np.int64), ((task,),) * 3, 3)
    env = MAC.make_placed(placement, "Disabled")
    assert isinstance(env, MACEnv)
    env.reset()
    for _ in range(500):
        env.step(np.zeros((3, 40), np.int8))
    assert np.array_equal(result.measures["loss_rate"][0], env.so_far["loss_rate"])
