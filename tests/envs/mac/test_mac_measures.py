"""What episodes are said to have come to: means of step measures, delays against their list, recovery after jumps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from roamrl.envs.episodes import play
from roamrl.envs.errors import InputError
from roamrl.envs.mac import MAC
from roamrl.envs.mac.env import MACEnv
from roamrl.envs.mac.episode_report import episode_report, recovery_slots
from roamrl.envs.mac.references import Rule, persistent
from roamrl.envs.slicing import SLICING

CONFIG = {"n_max": 8, "episode_slots": 6000}


def rule(name: str, config: dict[str, Any] = CONFIG) -> Rule:
    found = MAC.references(MAC.config(config))[name]
    assert isinstance(found, Rule)
    return found


def test_the_mean_of_a_step_measure_is_what_the_episode_came_to() -> None:
    task = MAC.task({"stations": 4, "load": 1.0, "dynamic": {"slots": [2000], "stations": [8]}}, CONFIG)
    env = MAC.make_vec([task], 3, 5, "Disabled")
    assert isinstance(env, MACEnv)
    rng = np.random.default_rng(0)
    env.reset()
    sums, steps = dict.fromkeys(MAC.measures, np.zeros(3)), np.zeros(3)
    running = np.ones(3, np.bool_)
    while running.any():
        _, _, _, truncated, infos = env.step((rng.random((3, 8)) < 0.1).astype(np.int8))
        sums = {name: total + infos[name] for name, total in sums.items()}
        steps += running
        running &= ~truncated
    assert len(set(steps)) > 1
    for name, total in sums.items():
        np.testing.assert_allclose(total / steps, env.so_far[name], rtol=1e-9, err_msg=name)
    cells = env.state.cells
    np.testing.assert_allclose(env.so_far["utilisation"], cells["delivered"] * 10 / 6000)
    np.testing.assert_allclose(env.so_far["collision_rate"], cells["collided"] / cells["busy"])
    np.testing.assert_allclose(env.so_far["loss_rate"], cells["lost"] / cells["offered"])


def test_a_report_agrees_with_the_measures_and_its_quantile_is_exact() -> None:
    contexts: list[dict[str, Any]] = [{"stations": 6, "load": 0.6}, {"stations": 3, "arrival": "saturated"}]
    contexts.append({"stations": 8, "load": 0.8, "dynamic": {"slots": [3000], "stations": [2]}})
    tasks = [MAC.task(context, CONFIG) for context in contexts]
    for name in ("backoff", "round-robin"):
        report = episode_report(MAC, tasks, rule(name), episodes=2, seed=4)
        measures = rule(name).play(MAC, tasks, episodes=2, seed=4).measures
        for entry in ("utilisation", "collision_rate", "jain", "loss_rate"):
            np.testing.assert_allclose(getattr(report, entry), measures[entry], rtol=1e-9, err_msg=entry)
        ratio = measures["delay_p99"] / np.ceil(report.delay_p99)
        assert ((ratio >= 1.0) & (ratio <= 1.0 + 1 / 32)).all()
        assert (report.delay_mean <= report.delay_p99).all()
        assert np.array_equal(np.isnan(report.recovery_slots), [[True] * 2, [True] * 2, [False] * 2])


def test_delays_of_saturated_round_robin_are_one_round() -> None:
    task = MAC.task({"stations": 5, "arrival": "saturated"}, CONFIG)
    report = episode_report(MAC, [task], rule("round-robin"), episodes=1, seed=0)
    assert report.delay_p99[0, 0] == 55 and report.delay_mean[0, 0] == pytest.approx(55, abs=0.3)


def test_any_policy_can_be_reported_and_silence_has_no_delay() -> None:
    def silent(obs: Any, env: Any) -> Any:
        return np.zeros(obs.shape[:3], np.int8)

    task = MAC.task({"load": 0.5}, {**CONFIG, "episode_slots": 300})
    report = episode_report(MAC, [task], silent, episodes=2, seed=0)
    assert (report.utilisation == 0).all() and np.isnan(report.delay_p99).all() and (report.jain == 1).all()
    played = play(MAC, [task], silent, episodes=2, seed=0)
    assert np.array_equal(report.loss_rate, played.measures["loss_rate"])
    with pytest.raises(InputError, match="not of slicing-v1"):
        episode_report(SLICING, [SLICING.task(config={"episode_windows": 1})], silent, episodes=1, seed=0)


def test_recovery_is_the_least_shift_of_the_window_that_holds_enough() -> None:
    regular = np.arange(5010.0, 10_001.0, 10.0)  # a packet every ten slots from 5010 on
    assert recovery_slots(regular, 5000, 10_000, window_slots=1000) == 0.0
    late = regular[regular > 5400]  # nothing for 400 slots, then as before
    # 90 of the 100 packets that the window holds later have to be in it: it may miss the first 100 slots
    assert recovery_slots(late, 5000, 10_000, window_slots=1000) == 300.0
    assert recovery_slots(late, 5000, 10_000, window_slots=1000, tolerance=0.5) == 0.0
    assert recovery_slots(late, 5000, 10_000, window_slots=1000, tolerance=0.0) == 400.0


def test_recovery_that_cannot_be_judged_or_does_not_come() -> None:
    regular = np.arange(0.0, 10_000.0, 10.0)
    assert np.isnan(recovery_slots(regular, 0, 1999, window_slots=1000))
    assert recovery_slots(np.zeros(0), 0, 4000) == 0.0
    crowded = np.arange(7990.0, 8001.0)  # all of the second half in its last slots: 2.5 packets are wanted in a window
    assert recovery_slots(crowded, 0, 8000, window_slots=1000) == 6992.0  # the window that ends with the third packet
    thin = np.array([4500.0, 5600.0, 6700.0, 7800.0])
    assert recovery_slots(thin, 0, 8000, window_slots=500, tolerance=-2.0) == 8000.0


def test_informed_access_recovers_sooner_than_a_p_for_few() -> None:
    """From 2 to 40 stations: what knows N loses no time; the trivial p has lost most of its throughput."""
    jumps = {"slots": [10_000], "stations": [40]}
    task = MAC.task({"stations": 2, "arrival": "saturated", "dynamic": jumps})
    report = episode_report(MAC, [task], rule("persistent-n", {}), episodes=4, seed=0)
    backoff = episode_report(MAC, [task], rule("backoff", {}), episodes=4, seed=0)
    trivial = episode_report(MAC, [task], persistent(0.08), episodes=4, seed=0)
    assert report.recovery_slots.mean() < 500 < backoff.recovery_slots.mean()
    assert trivial.utilisation.mean() < 0.6 * report.utilisation.mean()
