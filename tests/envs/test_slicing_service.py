"""Service of a lane: hand-computed FIFO arithmetic, conservation, and what more resource blocks do."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roamrl.envs.placement import Placement
from roamrl.envs.radio.link import bits_per_ms
from roamrl.envs.slicing import SLICING, kernel, lanes, service
from roamrl.envs.slicing.env import SlicingEnv

WINDOW_MS = 50.0
PRB = 50.0


class Lane:
    """One lane with packets given by hand; at efficiency 1 and share 1 it serves 1,000 bits a ms."""

    def __init__(self, slots=3, buffer=64, timer=100.0, scheduler=lanes.ROUND_ROBIN):
        self.queues = lanes.make_queues(1, slots, buffer)
        self.window = lanes.make_window(slots, 32, 10)
        self.p = np.zeros(lanes.PARAMETERS)
        self.p[lanes.PRB] = PRB
        self.p[lanes.TIMER_MS] = timer
        self.p[lanes.C2] = 5.0
        self.p[lanes.SCHEDULER] = scheduler
        self.unit = 1000.0 / bits_per_ms(1.0, PRB)
        self.out = np.zeros(lanes.MEASURED)
        self.now = 0.0

    def serve(self, packets, share=1.0, efficiency=1.0):
        """Serve one window; packets: a list of (ms within the window, bits) for each user."""
        self.arrive(packets, efficiency)
        end = self.now + WINDOW_MS
        kernel.serve_window(self.queues, 0, self.p, share, self.now, end, self.window, self.out)
        self.now = end
        return self.out

    def arrive(self, packets, efficiency):
        """Write what the next window brings."""
        self.window.visits["user"] = np.arange(len(self.window.visits))
        self.window.visits["arrivals"] = 0
        for user, arriving in enumerate(packets):
            self.window.visits[user]["arrivals"] = len(arriving)
            for number, (at, bits) in enumerate(arriving):
                self.window.packets[user, number] = (self.now + at, bits)
        self.window.efficiency[:] = np.asarray(efficiency) * self.unit


def test_one_user_waits_as_fifo_arithmetic_says():
    out = Lane().serve([[(0, 5000), (1, 2000), (2, 1000), (30, 400)]])
    assert out[lanes.DELIVERED] == 4
    assert out[lanes.DELAY_SUM_MS] == pytest.approx(5 + 6 + 6 + 0.4)
    assert out[lanes.BUSY_MS] == pytest.approx(8.4)
    assert out[lanes.LATE] == 2  # 6 ms twice against a target of 5; exactly 5 is in time


def test_half_the_share_takes_twice_as_long():
    out = Lane().serve([[(0, 5000), (1, 2000)]], share=0.5)
    assert out[lanes.DELAY_SUM_MS] == pytest.approx(10 + 13)


def test_round_robin_takes_slots_in_turn_and_gives_on_what_is_left_of_a_slot():
    # Turn starts after user 0. Slots of 500 bits: user 1, user 0, user 1 (200 bits, till 1.2) and user 0 (300), user 0.
    out = Lane().serve([[(0, 1000)], [(0, 700)]])
    assert out[lanes.DELAY_SUM_MS] == pytest.approx(1.2 + 1.7)


def test_more_users_than_a_word_has_bits_take_their_slots_in_turn():
    # A packet of one slot each. Turn starts after user 0: user 1 ends after .5 ms, user 69 after 34.5, user 0 after 35.
    out = Lane(slots=80).serve([[(0, 500)]] * 70)
    assert out[lanes.DELIVERED] == 70
    assert out[lanes.DELAY_SUM_MS] == pytest.approx(0.5 * 70 * 71 / 2)
    assert out[lanes.BUSY_MS] == pytest.approx(35.0)


@pytest.mark.parametrize("seed", range(8))
def test_looking_one_by_one_serves_as_the_bits_of_a_word_do(seed):
    rng = np.random.default_rng(seed)
    users = int(rng.integers(1, 17))
    lists = [sorted((float(at), float(rng.integers(50, 3000))) for at in rng.uniform(0, 50, 8)) for _ in range(users)]
    efficiency = rng.choice([0.0, 0.5, 1.0, 2.0], (16, 10))
    outcomes = []
    for serve in (service._round_robin, service._round_robin_many):
        lane = Lane(slots=16, timer=30.0)
        lane.arrive(lists, efficiency)
        queues, window = lane.queues, lane.window
        count = service._open(queues.packets[0], queues.lines[0], lane.p, window)
        rate = bits_per_ms(1.0, PRB)
        last = serve(queues.packets[0], queues.lines[0], 3, lane.p, rate, 0.0, WINDOW_MS, window, count, lane.out)
        outcomes.append((last, lane.out, queues.lines["count"].copy()))
    assert outcomes[0][1][lanes.DELIVERED] > 0
    assert outcomes[0][0] == outcomes[1][0]
    np.testing.assert_allclose(outcomes[0][1], outcomes[1][1], rtol=1e-9)
    np.testing.assert_array_equal(outcomes[0][2], outcomes[1][2])


def test_the_turn_is_kept_over_windows():
    lane = Lane()
    lane.serve([[], [(49.4, 300)]])
    out = lane.serve([[(0, 500)], [(0, 500)], [(0, 500)]])
    assert lane.queues.turn[0] == 1  # user 2, user 0, user 1
    assert out[lanes.DELAY_SUM_MS] == pytest.approx(0.5 + 1.0 + 1.5)


def test_a_packet_is_carried_over_and_ages():
    lane = Lane(timer=300.0)
    out = lane.serve([[(0, 60_000), (10, 1000)]])
    assert (out[lanes.WAITING], out[lanes.DELIVERED]) == (2, 0)
    assert out[lanes.DELAY_SUM_MS] == pytest.approx(50 + 40)
    assert out[lanes.OLDEST_MS] == pytest.approx(50)
    assert out[lanes.BACKLOG_BITS] == pytest.approx(11_000)
    assert out[lanes.QUEUED_BITS] == pytest.approx(61_000)
    out = lane.serve([[]])
    assert out[lanes.DELAY_SUM_MS] == pytest.approx(60 + 51)
    assert (out[lanes.DELIVERED], out[lanes.BACKLOG_BITS], out[lanes.OLDEST_MS]) == (2, 0, 0)


def test_a_packet_past_its_timer_is_dropped_in_the_middle_and_counts_as_its_timer():
    out = Lane(timer=10.0).serve([[(0, 20_000), (3, 1000)]])
    assert (out[lanes.DELIVERED], out[lanes.DROPPED]) == (1, 1)
    assert out[lanes.DROPPED_BITS] == 20_000
    assert out[lanes.DELAY_SUM_MS] == pytest.approx(10 + 8)
    assert out[lanes.BUSY_MS] == pytest.approx(11)


def test_a_full_buffer_drops_what_comes_and_frees_a_place_on_completion():
    out = Lane(buffer=4, timer=90.0).serve([[(0, 1000)] * 6 + [(1.5, 1000)]])
    assert (out[lanes.DELIVERED], out[lanes.DROPPED]) == (5, 2)
    assert out[lanes.DELAY_SUM_MS] == pytest.approx(1 + 2 + 3 + 4 + 3.5 + 2 * 90)


def test_arrivals_during_a_transmission_find_its_packet_in_the_buffer():
    out = Lane(buffer=2, timer=90.0).serve([[(0, 10_000), (1, 1000), (2, 1000)]])
    assert (out[lanes.DELIVERED], out[lanes.DROPPED]) == (2, 1)


def test_out_of_range_is_passed_over_until_the_next_fading_period():
    efficiency = np.ones((3, 10))
    efficiency[0, 0] = 0.0
    out = Lane().serve([[(0, 1000)], [(0, 2000)]], efficiency=efficiency)
    assert out[lanes.DELAY_SUM_MS] == pytest.approx(2 + 6)


def test_no_resource_blocks_deliver_nothing():
    out = Lane(timer=20.0).serve([[(0, 1000), (40, 1000)]], share=0.0)
    assert (out[lanes.DELIVERED], out[lanes.DROPPED], out[lanes.WAITING]) == (0, 1, 1)


def test_proportional_fair_rides_the_fading_where_round_robin_does_not():
    efficiency = np.ones((3, 10))
    efficiency[0, ::2] = 3.0
    efficiency[1, 1::2] = 3.0
    served = {}
    for scheduler in (lanes.ROUND_ROBIN, lanes.PROPORTIONAL_FAIR):
        lane = Lane(scheduler=scheduler, timer=1e4)
        lane.serve([[(0, 40_000)] * 32] * 2, efficiency=efficiency)
        backlog = [lane.serve([[], []], efficiency=efficiency)[lanes.BACKLOG_BITS] for _ in range(8)]
        served[scheduler] = (backlog[2] - backlog[-1]) / 5
    assert served[lanes.ROUND_ROBIN] == pytest.approx(100_000)
    assert served[lanes.PROPORTIONAL_FAIR] > 1.4 * served[lanes.ROUND_ROBIN]


def test_proportional_fair_shares_time_among_unequal_users():
    lane = Lane(slots=2, scheduler=lanes.PROPORTIONAL_FAIR, timer=1000.0)
    efficiency = np.array([[2.0] * 10, [1.0] * 10])
    packets = [[(0, 40_000)] * 32, [(0, 40_000)] * 32]
    left = np.array([32.0, 32.0]) * 40_000
    for _ in range(10):
        lane.serve(packets, efficiency=efficiency)
        packets = [[], []]
    heads = lane.queues.lines[0]
    sent = left - (heads["count"] - 1) * 40_000 - heads["left_bits"]
    assert sent[0] / sent[1] == pytest.approx(2.0, rel=0.1)


packet_lists = st.lists(
    st.lists(st.tuples(st.floats(0, 49.99), st.floats(1, 30_000)), max_size=12).map(sorted), min_size=3, max_size=3
)


@settings(max_examples=150, deadline=None)
@given(
    windows=st.lists(st.tuples(packet_lists, st.sampled_from([0.0, 0.1, 0.5, 1.0])), min_size=1, max_size=5),
    buffer=st.sampled_from([1, 3, 64]),
    timer=st.sampled_from([5.0, 30.0, 120.0]),
    scheduler=st.sampled_from([lanes.ROUND_ROBIN, lanes.PROPORTIONAL_FAIR]),
    efficiency=st.lists(st.sampled_from([0.0, 0.5, 1.0, 3.0]), min_size=30, max_size=30),
)
def test_what_comes_in_goes_out_waits_or_is_dropped(windows, buffer, timer, scheduler, efficiency):
    lane = Lane(buffer=buffer, timer=timer, scheduler=scheduler)
    arrived = offered = left = gone = 0.0
    for packets, share in windows:
        out = lane.serve(packets, share, np.reshape(efficiency, (3, 10)))
        arrived += sum(len(arriving) for arriving in packets)
        offered += sum(bits for arriving in packets for _, bits in arriving)
        left += out[lanes.DELIVERED] + out[lanes.DROPPED]
        gone += out[lanes.DELIVERED_BITS] + out[lanes.DROPPED_BITS]
        assert arrived == left + out[lanes.WAITING]
        assert offered == pytest.approx(gone + out[lanes.QUEUED_BITS])
        assert 0.0 <= out[lanes.BACKLOG_BITS] <= out[lanes.QUEUED_BITS] + 1e-6
        assert 0.0 <= out[lanes.BUSY_MS] <= WINDOW_MS + 1e-9
        assert out[lanes.OLDEST_MS] < timer
        assert lane.queues.lines["count"].max() <= buffer


@settings(max_examples=150, deadline=None)
@given(packets=packet_lists, shares=st.tuples(st.floats(0.05, 1.0), st.floats(0.05, 1.0)))
def test_more_resource_blocks_delay_no_packet_of_a_user(packets, shares):
    less, more = (Lane(timer=1e6).serve([packets[0]], share).copy() for share in sorted(shares))
    assert more[lanes.DELAY_SUM_MS] <= less[lanes.DELAY_SUM_MS] + 1e-6
    assert more[lanes.DELIVERED] >= less[lanes.DELIVERED]


@pytest.mark.parametrize("scheduler", ["round-robin", "proportional-fair"])
def test_more_resource_blocks_never_hurt_a_slice_alone(scheduler):
    means = []
    for prb in (30, 51, 80, 130):
        task = SLICING.task({"prb": prb}, {"scheduler": scheduler, "episode_windows": 25})
        env = SLICING.make_vec([task], 24, seed=4)
        assert isinstance(env, SlicingEnv)
        env.reset()
        delays = []
        for _ in range(24):
            env.step(np.full(24, 20))
            delays.append(env.delay_ms)
        means.append(np.mean(delays, axis=(0, 1)))
    assert (np.diff(means, axis=0) < 0).all()


def test_bits_are_conserved_over_episodes_of_the_environment():
    task = SLICING.task({"load": 1.4}, {"warmup_windows": 1, "slices": ["control", "video", "xr", "voice"]})
    env = SLICING.make_placed(Placement.spread([task], 8, seed=2), "Disabled")
    assert isinstance(env, SlicingEnv)
    env.reset()
    rng = np.random.default_rng(0)
    offered = gone = 0.0
    for _ in range(60):
        out = env.outcome
        offered = offered + out[..., lanes.OFFERED_BITS]
        gone = gone + out[..., lanes.DELIVERED_BITS] + out[..., lanes.DROPPED_BITS]
        np.testing.assert_allclose(offered, gone + out[..., lanes.QUEUED_BITS], rtol=1e-9, atol=1e-3)
        env.step(rng.integers(0, 84, 8))
    assert np.min(gone) > 0
