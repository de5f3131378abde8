"""Statistics against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import binom, binomtest, norm

from roamrl.platform.evaluation.statistics import (
    Bootstrap,
    area_under_adaptation_curve,
    curve_band,
    iqm,
    iqm_above,
    iqm_difference,
    performance_profile,
    permutation_p_value,
    probability_above,
    probability_of_improvement,
    sign_flip_p_value,
    stratified_bootstrap_interval,
    wilson_interval,
    worst_share_mean,
)

MANY = Bootstrap(resamples=20_000)
scores = st.floats(-5, 5, allow_nan=False)


def mean(values: np.ndarray) -> np.ndarray:
    return values.mean(axis=-1)


def test_iqm_is_the_mean_of_the_middle_half() -> None:
    assert iqm([0, 1, 2, 3, 4, 5, 6, 7]) == pytest.approx((2 + 3 + 4 + 5) / 4)
    assert iqm([1e9, 0, 2, -1e9]) == pytest.approx(1.0)


def test_iqm_cuts_whole_runs_only_so_that_below_four_it_is_the_mean() -> None:
    assert iqm([0, 3, 9]) == pytest.approx(4.0)
    assert iqm([0, 1, 2, 3, 104]) == pytest.approx(2.0)


def test_iqm_works_along_any_axis() -> None:
    values = np.random.default_rng(0).normal(size=(9, 5))
    np.testing.assert_allclose(iqm(values, axis=0), [iqm(values[:, column]) for column in range(5)])


def test_iqm_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="nothing"):
        iqm([])


def test_bootstrap_interval_of_the_mean_is_the_normal_one_for_many_runs() -> None:
    runs = np.random.default_rng(3).normal(2.0, 0.5, 1000)
    found = stratified_bootstrap_interval([runs], mean, MANY)
    half = 1.96 * runs.std() / np.sqrt(1000)
    assert found.value == pytest.approx(runs.mean())
    assert found.low == pytest.approx(runs.mean() - half, abs=0.002)
    assert found.high == pytest.approx(runs.mean() + half, abs=0.002)


def test_bootstrap_resamples_runs_within_tasks_and_never_tasks() -> None:
    apart = [np.full(5, 0.0), np.full(5, 10.0)]
    found = stratified_bootstrap_interval(apart, mean)
    assert (found.low, found.value, found.high) == (5.0, 5.0, 5.0)
    pooled = stratified_bootstrap_interval([np.concatenate(apart)], mean)
    assert pooled.high - pooled.low > 4.0


def test_interval_is_not_available_where_a_task_has_one_run() -> None:
    found = stratified_bootstrap_interval([[0.1, 0.2], [0.3]])
    assert found.value == pytest.approx(0.2)
    assert not found.has_interval


def test_interval_is_the_same_for_the_same_seed_and_moves_with_it() -> None:
    strata = [np.random.default_rng(0).normal(size=12), np.random.default_rng(1).normal(size=7)]
    again = [stratified_bootstrap_interval(strata, iqm, Bootstrap(seed=seed)) for seed in (5, 5, 6)]
    assert again[0] == again[1]
    assert again[0].low != again[2].low


def test_runs_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match="not finite"):
        stratified_bootstrap_interval([[0.1, np.nan]])
    with pytest.raises(ValueError, match="no runs"):
        stratified_bootstrap_interval([[]])


def test_curve_band_is_the_interval_at_each_point() -> None:
    curves = [np.random.default_rng(0).normal(size=(6, 3)), np.random.default_rng(1).normal(size=(4, 3))]
    band = curve_band(curves)
    for point in range(3):
        alone = stratified_bootstrap_interval([stratum[:, point] for stratum in curves])
        assert (band.value[point], band.low[point], band.high[point]) == (alone.value, alone.low, alone.high)


def test_probability_of_improvement_counts_pairs_within_tasks() -> None:
    found = probability_of_improvement([[1.0, 3.0], [5.0, 5.0]], [[2.0, 2.0], [5.0, 1.0]])
    assert found.value == pytest.approx((0.5 + 0.75) / 2)


def test_probability_of_improvement_of_shifted_normals() -> None:
    rng = np.random.default_rng(0)
    found = probability_of_improvement([rng.normal(0.5, 1.0, 1500)], [rng.normal(0.0, 1.0, 1500)], Bootstrap(500))
    truth = norm.cdf(0.5 / np.sqrt(2.0))
    assert found.low < truth < found.high
    assert found.value == pytest.approx(truth, abs=0.02)


@settings(max_examples=40, deadline=None)
@given(arrays(float, 5, elements=scores), arrays(float, 4, elements=scores))
def test_probabilities_of_both_directions_add_up_to_one(a: np.ndarray, b: np.ndarray) -> None:
    few = Bootstrap(resamples=10)
    there, back = probability_of_improvement([a], [b], few), probability_of_improvement([b], [a], few)
    assert there.value + back.value == pytest.approx(1.0)


def test_probability_above_a_level_has_the_binomial_interval() -> None:
    found = probability_above([np.repeat([0.0, 1.0], [40, 60])], [0.5], MANY)
    low, high = binom.ppf([0.025, 0.975], 100, 0.6) / 100
    assert found.value == pytest.approx(0.6)
    assert found.low == pytest.approx(low, abs=0.011)
    assert found.high == pytest.approx(high, abs=0.011)


def test_probability_needs_the_same_tasks_on_both_sides() -> None:
    with pytest.raises(ValueError, match="same tasks"):
        probability_of_improvement([[1.0, 2.0]], [[1.0], [2.0]])


def test_iqm_difference_to_a_sample_and_to_levels() -> None:
    ours = [[1.0, 2.0, 3.0, 4.0], [11.0, 12.0, 13.0, 14.0]]
    theirs = [[0.0, 1.0, 2.0, 3.0], [10.0, 11.0, 12.0, 13.0]]
    assert iqm_difference(ours, theirs).value == pytest.approx(1.0)
    above = iqm_above(ours, [2.5, 12.5])
    assert above.value == pytest.approx(0.0)
    assert above.low < 0.0 < above.high


def test_interval_of_a_difference_turns_round_with_it() -> None:
    found = iqm_difference([[1.0, 2.0, 4.0]], [[0.0, 0.5, 2.0]])
    turned = found.negative()
    assert (turned.value, turned.low, turned.high) == (-found.value, -found.high, -found.low)


def test_permutation_test_knows_how_little_few_runs_can_say() -> None:
    two = permutation_p_value([[10.0, 11.0]], [[0.0, 1.0]], MANY)
    three = permutation_p_value([[10.0, 11.0, 12.0]], [[0.0, 1.0, 2.0]], MANY)
    assert two == pytest.approx(2 / 6, abs=0.015)
    assert three == pytest.approx(2 / 20, abs=0.01)
    assert probability_of_improvement([[10.0, 11.0]], [[0.0, 1.0]]).low == 1.0


def test_permutation_test_calls_equal_arms_different_in_few_cases_only() -> None:
    rng = np.random.default_rng(0)
    found = [
        permutation_p_value(rng.normal(size=(3, 4)), rng.normal(size=(3, 4)), Bootstrap(resamples=200))
        for _ in range(300)
    ]
    assert np.mean(np.array(found) <= 0.05) == pytest.approx(0.05, abs=0.035)


def test_sign_flip_test_of_five_gains() -> None:
    assert sign_flip_p_value([[0.1, 0.2, 0.3, 0.4, 0.5]], MANY) == pytest.approx(2 / 32, abs=0.006)


def test_performance_profile_is_the_share_above_with_binomial_interval() -> None:
    runs = np.arange(100) / 100.0
    band = performance_profile([runs], [-1.0, 0.395, 2.0], MANY)
    np.testing.assert_allclose(band.value, [1.0, 0.6, 0.0])
    low, high = binom.ppf([0.025, 0.975], 100, 0.6) / 100
    assert band.low[1] == pytest.approx(low, abs=0.011)
    assert band.high[1] == pytest.approx(high, abs=0.011)
    assert (band.low[0], band.high[2]) == (1.0, 0.0)


@given(scores, scores)
def test_area_of_a_straight_line_over_log_is_its_middle(start: float, end: float) -> None:
    n = np.array([0, 1, 2, 5, 10, 100, 10_000])
    line = start + (end - start) * np.log1p(n) / np.log1p(n[-1])
    assert area_under_adaptation_curve(n, line) == pytest.approx((start + end) / 2, abs=1e-9)


def test_area_by_hand() -> None:
    found = area_under_adaptation_curve([0, 1, 3], [0.0, 1.0, 1.0])
    assert found == pytest.approx((0.5 * np.log(2) + 1.0 * np.log(2)) / np.log(4))


def test_area_needs_increasing_points() -> None:
    with pytest.raises(ValueError, match="increasing"):
        area_under_adaptation_curve([0, 5, 5], [0, 1, 1])
    with pytest.raises(ValueError, match="two"):
        area_under_adaptation_curve([0], [0])


def test_worst_decile_is_the_mean_of_the_lowest_tenth() -> None:
    assert worst_share_mean(np.arange(20)) == pytest.approx(0.5)
    assert worst_share_mean([3.0, 1.0, 2.0]) == 1.0
    assert worst_share_mean(np.arange(30)) == pytest.approx(1.0)


@pytest.mark.parametrize(("successes", "trials"), [(0, 10), (10, 10), (3, 17), (1, 1)])
def test_wilson_interval_is_scipys(successes: int, trials: int) -> None:
    ours = wilson_interval(successes, trials)
    theirs = binomtest(successes, trials).proportion_ci(0.95, method="wilson")
    assert ours.value == successes / trials
    assert ours.low == pytest.approx(theirs.low, abs=1e-12)
    assert ours.high == pytest.approx(theirs.high, abs=1e-12)


def test_wilson_interval_refuses_what_is_no_share() -> None:
    with pytest.raises(ValueError, match="trials"):
        wilson_interval(3, 2)
