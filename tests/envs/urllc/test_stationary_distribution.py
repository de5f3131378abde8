"""Stationary distributions: closed forms, several closed classes, and digits of rare states."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roamrl.envs.errors import InputError
from roamrl.envs.stationary_distribution import stationary_distribution


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 12))
def test_it_is_left_as_it_is_by_the_chain(seed, states):
    matrix = np.random.default_rng(seed).dirichlet(np.full(states, 0.4), states)
    share = stationary_distribution(matrix)
    assert share.sum() == pytest.approx(1.0) and (share >= 0.0).all()
    np.testing.assert_allclose(share @ matrix, share, atol=1e-12)


def test_rare_states_keep_their_digits():
    """A birth-death chain has ratios p/q; its last state is visited with probability 1e-58."""
    up, states = 1e-3, 21
    matrix = np.zeros((states, states))
    for state in range(states):
        matrix[state, min(state + 1, states - 1)] += up
        matrix[state, max(state - 1, 0)] += 1.0 - up
    ratio = up / (1.0 - up)
    expected = ratio ** np.arange(states) * (1.0 - ratio) / (1.0 - ratio**states)
    np.testing.assert_allclose(stationary_distribution(matrix), expected, rtol=1e-12)


def test_a_periodic_chain_spends_its_time_evenly():
    np.testing.assert_allclose(stationary_distribution(np.array([[0.0, 1.0], [1.0, 0.0]])), 0.5)


def test_closed_classes_count_by_the_probability_of_ending_there():
    matrix = np.array([[0.5, 0.1, 0.4, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.2, 0.8], [0.0, 0.0, 0.4, 0.6]])
    np.testing.assert_allclose(stationary_distribution(matrix), [0.0, 0.2, 0.8 / 3, 1.6 / 3])
    np.testing.assert_allclose(stationary_distribution(matrix, start=1), [0.0, 1.0, 0.0, 0.0])
    np.testing.assert_allclose(stationary_distribution(matrix, start=3), [0.0, 0.0, 1 / 3, 2 / 3])


@pytest.mark.parametrize("matrix", [[[0.5, 0.4], [0.0, 1.0]], [[1.5, -0.5], [0.0, 1.0]]])
def test_what_is_no_transition_matrix_is_refused(matrix):
    with pytest.raises(InputError, match="sum to one"):
        stationary_distribution(np.array(matrix))
