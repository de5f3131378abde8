"""Least power of packets on blocks, and the states of a channel."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq

from roamrl.envs.urllc.channel import channel_state, channel_states, least_power, power_table

GAINS = np.array([0.1, 0.25, 0.45, 0.7, 1.0, 1.4, 2.0, 3.2])
NOISE = 1.0 / (4.0 * GAINS)


def water_filling(noise, packets):
    """Return the power at the water level at which the blocks' rates add up to the packets."""
    level = brentq(lambda log2: np.maximum(log2 - np.log2(noise), 0.0).sum() - packets, -30.0, 60.0, xtol=1e-13)
    return np.maximum(2.0**level - noise, 0.0).sum()


def test_one_block_takes_the_closed_form():
    table = power_table(np.eye(8, dtype=np.int64), NOISE, 8)
    packets = np.arange(9)
    np.testing.assert_allclose(table, (2.0**packets - 1.0) / (4.0 * GAINS[:, None]), rtol=1e-14)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 7), min_size=2, max_size=8), st.integers(1, 12))
def test_several_blocks_are_filled_to_a_common_level(levels, packets):
    counts = np.bincount(levels, minlength=8)
    power = least_power(counts, NOISE, np.log2(NOISE), packets)
    assert power == pytest.approx(water_filling(NOISE[levels], packets), rel=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 7), min_size=1, max_size=6), st.integers(0, 7))
def test_another_block_never_takes_more_power_and_more_packets_take_ever_more(levels, another):
    fewer, more = np.bincount(levels, minlength=8), np.bincount([*levels, another], minlength=8)
    few, many = power_table(np.stack([fewer, more]), NOISE, 10)
    assert (many <= few * (1.0 + 1e-12)).all()
    assert few[0] == 0.0 and (np.diff(few) > 0.0).all() and (np.diff(few, n=2) > -1e-9).all()


def test_packets_without_a_block_take_infinite_power():
    assert least_power(np.zeros(8, np.int64), NOISE, np.log2(NOISE), 0) == 0.0
    assert np.isinf(least_power(np.zeros(8, np.int64), NOISE, np.log2(NOISE), 1))


@pytest.mark.parametrize(("levels", "blocks"), [(8, 1), (3, 2), (4, 3), (2, 5)])
def test_channel_states_are_all_multisets_with_their_probabilities(levels, blocks):
    counts, probabilities = channel_states(levels, blocks)
    every = np.array(list(product(range(levels), repeat=blocks)))
    numbers = channel_state(every, levels)
    assert set(numbers) == set(range(len(counts)))
    np.testing.assert_allclose(np.bincount(numbers) / levels**blocks, probabilities)
    for outcome, number in zip(every, numbers, strict=True):
        assert np.bincount(outcome, minlength=levels).tolist() == counts[number].tolist()
