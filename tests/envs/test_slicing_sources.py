"""What a window brings: rates, radio, users, and recorded traces."""

import numpy as np
import pytest

from roamrl.envs.radio.fading import fading_correlation, shadowing_correlation
from roamrl.envs.radio.link import CQI_EFFICIENCY, CQI_THRESHOLD_DB, bits_per_ms, spectral_efficiency
from roamrl.envs.radio.trace import Trace
from roamrl.envs.radio.trace_library import register
from roamrl.envs.slicing import SLICING, kernel, lanes
from roamrl.envs.slicing.env import SlicingEnv


def _env(context, config=None, count=64, seed=1):
    env = SLICING.make_vec([SLICING.task(context, config)], count, seed=seed)
    assert isinstance(env, SlicingEnv)
    env.reset()
    return env


def _play(env, windows, look):
    seen = []
    for _ in range(windows):
        env.step(np.zeros(env.num_envs, np.int64))
        seen.append(look(env))
    return np.array(seen)


def test_cqi_follows_the_table():
    capacity = np.log2(1 + 10 ** ((CQI_THRESHOLD_DB - 2) / 10))
    np.testing.assert_allclose(capacity, CQI_EFFICIENCY[1:])
    assert np.diff(CQI_THRESHOLD_DB).min() > 1.0
    for snr_db in np.linspace(-15, 40, 2001):
        allowed = CQI_EFFICIENCY[np.log2(1 + 10 ** ((snr_db - 2) / 10)) >= CQI_EFFICIENCY]
        assert spectral_efficiency(snr_db) == allowed.max()


def test_a_resource_block_carries_what_38214_says():
    assert bits_per_ms(1.0, 1.0) == pytest.approx(12 * 14 * 0.86 / 0.5)


def test_the_default_cell_carries_72_mbit_s():
    efficiency = _play(_env({"users": [8, 8, 8]}, count=256), 20, lambda env: env.efficiency)
    assert bits_per_ms(efficiency[efficiency > 0].mean(), 51) / 1e3 == pytest.approx(72, abs=2)


def test_correlations_of_the_radio():
    assert shadowing_correlation(2.6, 0.05) == pytest.approx(0.99, abs=1e-3)
    assert fading_correlation(2.6) == pytest.approx(0.9)
    assert 0 < fading_correlation(30.0) < fading_correlation(2.6) < fading_correlation(1.0) < 1


def test_fading_and_shadowing_are_stationary_with_their_correlation():
    env = _env({"users": [16, 16, 16], "stay": None, "snr_mean_db": 30.0}, {"episode_windows": 400}, count=16)
    slots = env.users.slots
    states = _play(env, 300, lambda _: [slots["fading_db"].ravel().copy(), slots["shadowing_db"].ravel().copy()])
    fading, shadowing = states[:, 0], states[:, 1]
    assert fading.std() == pytest.approx(3.0, rel=0.03)
    assert shadowing.std() == pytest.approx(4.0, rel=0.08)
    kurtosis = ((fading / fading.std()) ** 4).mean()
    assert kurtosis == pytest.approx(3.0, abs=0.1)
    assert np.mean(fading[1:] * fading[:-1]) / fading.var() == pytest.approx(0.9**10, abs=0.02)
    assert np.mean(shadowing[1:] * shadowing[:-1]) / shadowing.var() == pytest.approx(0.99, abs=0.01)


RATES = {"control": 1.5 * (4.0 * 3 + 0.2 * 10) / 13, "video": 3.0, "xr": 6.0, "voice": 0.02 * (0.5 + 0.5 / 8)}


def test_sources_offer_their_mean_rates():
    context = {"users": [1, 1, 1, 1], "stay": None}
    config = {"slices": list(RATES), "episode_windows": 200}
    offered = _play(_env(context, config, count=512), 100, lambda env: env.offered_bits).mean(axis=0) / 50e3
    for k, (name, expected) in enumerate(RATES.items()):
        error = offered[:, k].std() / np.sqrt(len(offered))
        assert error < 0.03 * expected, name
        assert abs(offered[:, k].mean() - expected) < 4.5 * error, name


def test_load_and_rate_scale_multiply_what_is_offered():
    means = []
    for context in ({}, {"load": 1.4}, {"rate_scale": [1.4, 1.4, 1.4]}):
        env = _env({"users": [4, 4, 4], "stay": None, **context}, count=128)
        means.append(_play(env, 50, lambda env: env.offered_bits).mean(axis=(0, 1)))
    np.testing.assert_allclose(means[1] / means[0], 1.4, rtol=0.02)
    np.testing.assert_allclose(means[2], means[1])


def test_xr_frames_come_at_their_rate_with_truncated_jitter_and_size():
    env = _env({"users": [0, 0, 1], "stay": None}, {"episode_windows": 400}, count=1)
    lane, window = 2, lanes.make_window(16, env.packets, 10)
    times, sizes = [], []
    for number in range(4, 404):
        p, traces = env.parameters[0, 2], env.traces
        kernel.draw_window(env.users, lane, p, traces, number * 50.0, number * 50.0 + 50.0, window)
        arrivals = window.packets[0, : window.visits[0]["arrivals"]]
        times += arrivals["arrived_ms"].tolist()
        sizes += arrivals["bits"].tolist()
    assert len(times) == pytest.approx(1200, abs=1)
    size = np.array(sizes) / (6e6 / 60)
    assert size.min() >= 0.5 and size.max() <= 1.5
    assert size.mean() == pytest.approx(1.0, abs=0.015) and size.std() == pytest.approx(0.105, abs=0.01)
    nominal = np.arange(len(times)) * 1e3 / 60
    jitter = np.array(times) - nominal
    jitter -= jitter.mean()
    assert np.abs(jitter).max() < 4.3 and jitter.std() == pytest.approx(1.76, abs=0.12)


def test_users_come_and_go_around_their_mean():
    env = _env({"stay": 10.0}, {"episode_windows": 300}, count=64)
    state = env.users.slots["state"].reshape(64, 3, 16)
    present = _play(env, 200, lambda _: (state == lanes.PRESENT).sum(axis=2))
    np.testing.assert_allclose(present.mean(axis=(0, 1)), [6, 6, 4], rtol=0.06)
    np.testing.assert_allclose(present.var(axis=(0, 1)), [6, 6, 4], rtol=0.2)
    assert 0.2 < (np.diff(present, axis=0) != 0).mean() < 0.8


def test_users_stay_for_good_where_stay_is_null():
    env = _env({"stay": None, "users": [2, 0, 1]}, count=4)
    state = env.users.slots["state"].reshape(4, 3, 16)
    present = _play(env, 30, lambda _: (state == lanes.PRESENT).sum(axis=2))
    assert (present == [2, 0, 1]).all()


def test_no_user_leaves_a_packet_behind():
    env = _env({"stay": 3.0, "load": 2.0}, {"episode_windows": 300}, count=16)
    for _ in range(200):
        env.step(np.zeros(16, np.int64))
        free = env.users.slots["state"] == lanes.FREE
        assert not env.queues.lines["count"][free].any()


FRAMES = Trace("four", "xr", np.array([1000, 2000, 4000, 8000]), np.array([0.010, 0.020, 0.005, 0.015]))
OTHER = Trace("other", "xr", np.array([300]), np.array([0.025]))


def _replay(context, users=1, windows=20):
    """Return [(ms, bytes)] of each XR user over some windows."""
    env = _env({"users": [0, 0, users], "stay": None, **context}, count=1)
    window = lanes.make_window(16, env.packets, 10)
    replayed = [[] for _ in range(users)]
    for number in range(4, 4 + windows):
        kernel.draw_window(env.users, 2, env.parameters[0, 2], env.traces, number * 50.0, number * 50.0 + 50.0, window)
        for user in range(users):
            arrivals = window.packets[user, : window.visits[user]["arrivals"]]
            replayed[user] += zip(arrivals["arrived_ms"], arrivals["bits"] / 8, strict=True)
    return [np.array(user) for user in replayed]


def test_a_recorded_trace_is_replayed_raw_from_any_frame():
    register(FRAMES)
    for user in _replay({"xr_trace": FRAMES.reference}, users=4):
        order = [FRAMES.frame_bytes.tolist().index(size) for size in user[:, 1]]
        assert order == [(order[0] + step) % 4 for step in range(len(order))]
        np.testing.assert_allclose(np.diff(user[:, 0]), FRAMES.gaps_s[order[:-1]] * 1e3)
        assert len(user) == pytest.approx(20 * 50 / 50 * 4, abs=4)
    starts = {user[0, 1] for user in _replay({"xr_trace": FRAMES.reference}, users=16)}
    assert len(starts) > 1


def test_users_take_traces_in_turn_and_load_scales_bytes_alone():
    register(FRAMES, OTHER)
    users = _replay({"xr_trace": [OTHER.reference, FRAMES.reference], "load": 2.0}, users=4)
    assert set(users[0][:, 1]) == set(users[2][:, 1]) == {600.0}
    assert set(users[1][:, 1]) == set(users[3][:, 1]) == {2000.0, 4000.0, 8000.0, 16000.0}
    np.testing.assert_allclose(np.diff(users[0][:, 0]), 25.0)


def test_an_unknown_trace_is_an_error_that_says_how_to_give_it():
    task = SLICING.task({"xr_trace": "sha256:" + "0" * 64})
    with pytest.raises(ValueError, match="open"):
        SLICING.make_vec([task])


def test_a_recorded_snr_is_interpolated_and_fading_lies_on_top():
    flat = Trace("flat", "snr", snr_db=np.full(50, 12.0), period_s=1.0)
    ramp = Trace("ramp", "snr", snr_db=np.array([0.0, 30.0]), period_s=1.0)
    register(flat, ramp)
    still = {"stay": None, "speed_mps": 0.0, "users": [4, 4, 4]}
    means = _play(_env({"snr_trace": flat.reference}, count=64), 30, lambda env: env.efficiency)
    around = np.array([spectral_efficiency(12.0 + 3.0 * z) for z in np.random.default_rng(0).normal(size=40_000)])
    assert means[means > 0].mean() == pytest.approx(around.mean(), rel=0.02)
    env = _env({"snr_trace": ramp.reference, **still}, count=1)
    window = lanes.make_window(16, env.packets, 10)
    rows = []
    for number in range(4, 44):
        kernel.draw_window(env.users, 0, env.parameters[0, 0], env.traces, number * 50.0, number * 50.0 + 50.0, window)
        rows.append(window.efficiency[0].copy())
    user = env.users.slots[0, 0]
    now_ms = (4 * 50.0 + np.arange(400) * 5.0 - user["level_db"]) % 2000.0
    ramp_db = 30.0 * np.where(now_ms < 1000.0, now_ms / 1000.0, 2.0 - now_ms / 1000.0)
    expected = [spectral_efficiency(snr_db + user["fading_db"]) for snr_db in ramp_db]
    assert np.array_equal(np.concatenate(rows), expected)
