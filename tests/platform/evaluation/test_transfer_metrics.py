"""Transfer metrics on hand-made curves."""

from __future__ import annotations

import numpy as np
import pytest

from roamrl.platform.evaluation.transfer_metrics import (
    convergence,
    covered_mean,
    episodes_to_ceiling,
    initial_reward,
    moving_average,
    score_at_steps,
    shortfall,
)

TEN = np.arange(1, 11) * 10.0


def test_covered_mean_weighs_points_by_what_they_cover() -> None:
    found = covered_mean([10, 30], [1.0, 4.0], [0, 0, 5], [10, 30, 15])
    np.testing.assert_allclose(found, [1.0, (10 * 1 + 20 * 4) / 30, (5 * 1 + 5 * 4) / 10])


def test_moving_average_over_equal_updates_is_the_plain_one() -> None:
    score = np.random.default_rng(0).normal(size=10)
    found = moving_average(TEN, score, 3)
    np.testing.assert_allclose(found[:3], [score[0], score[:2].mean(), score[:3].mean()])
    np.testing.assert_allclose(found[3:], np.convolve(score, np.ones(3) / 3, "valid")[1:])


def test_moving_average_longer_than_the_curve_is_the_mean_so_far() -> None:
    np.testing.assert_allclose(moving_average([1, 2, 5], [3.0, 1.0, 0.0], 50), [3.0, 2.0, 4.0 / 5.0])


def test_initial_reward_is_the_mean_over_the_first_hundredth() -> None:
    steps = np.arange(1, 1001) * 10.0
    score = np.arange(1000.0)
    assert initial_reward(steps, score, horizon=10_000, fraction=0.01) == pytest.approx(np.arange(10).mean())


def test_initial_reward_within_the_first_update_is_that_update() -> None:
    assert initial_reward([500, 1000], [0.3, 0.9], horizon=1000, fraction=0.01) == pytest.approx(0.3)


def test_a_run_converges_where_it_enters_the_band_for_good() -> None:
    score = np.array([0.0, 0.85, 0.2, 0.5, 0.85, 0.95, 0.85, 0.95, 0.85, 0.95])
    found = convergence(TEN, TEN * 50, score, ceiling=0.9, tolerance=0.1, window=1)
    assert found.converged
    assert (found.episode, found.step) == (50.0, 2500.0)
    assert found.variance == pytest.approx(np.var(score[4:]))


def test_a_run_that_leaves_the_band_at_the_end_has_not_converged() -> None:
    score = np.append(np.full(9, 0.9), 0.5)
    found = convergence(TEN, TEN, score, ceiling=0.9, tolerance=0.1, window=1)
    assert not found.converged
    assert np.isnan(found.variance)


def test_the_moving_average_decides_and_not_the_single_update() -> None:
    score = np.full(10, 0.9)
    score[7] = 0.6
    assert convergence(TEN, TEN, score, ceiling=0.9, tolerance=0.1, window=4).step == 10.0
    assert convergence(TEN, TEN, score, ceiling=0.9, tolerance=0.1, window=1).step == 90.0


def test_a_run_above_the_specialist_has_converged() -> None:
    assert convergence(TEN, TEN, np.full(10, 1.3), ceiling=0.9, tolerance=0.1, window=2).step == 10.0


def test_variance_weighs_updates_by_their_episodes_and_needs_two() -> None:
    found = convergence([1, 4], [1, 4], [1.0, 2.0], ceiling=1.0, tolerance=0.1, window=1)
    assert found.variance == pytest.approx(0.25 * 0.75**2 + 0.75 * 0.25**2)
    assert np.isnan(convergence([1, 4], [1, 4], [0.0, 2.0], ceiling=1.0, tolerance=0.1, window=1).variance)


def test_episodes_to_the_specialist() -> None:
    n = [0, 1, 10, 100]
    assert episodes_to_ceiling(n, [0.1, 0.5, 0.77, 0.9], 0.8) == 10
    assert episodes_to_ceiling(n, [0.1, 0.5, 0.75, 0.7], 0.8) == np.inf
    assert np.isnan(episodes_to_ceiling(n, [0.1, 0.5, 0.75, 0.7], -0.1))


def test_score_at_equal_steps_is_exact_where_measured_and_unknown_outside() -> None:
    steps, score = [0, 100, 1000], [0.0, 0.4, 0.6]
    between = np.expm1((np.log1p(100) + np.log1p(1000)) / 2)
    found = score_at_steps(steps, score, [0, 100, between, 1000, 1001])
    np.testing.assert_allclose(found, [0.0, 0.4, 0.5, 0.6, np.nan])


def test_shortfall_is_positive_below_scratch_at_equal_steps() -> None:
    found = shortfall([0, 100, 2000], [0.1, 0.2, 0.9], [0, 100, 1000], [0.0, 0.4, 0.6])
    np.testing.assert_allclose(found, [-0.1, 0.2, np.nan])
