"""Selectors on arrays whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from roamrl.algorithms.transfer.selection.chance import draw
from roamrl.algorithms.transfer.selection.choice import highest, in_turn
from roamrl.algorithms.transfer.selection.nearest import closeness
from roamrl.algorithms.transfer.selection.predicted import (
    fit_gain_predictor,
    left_out_predictions,
    pair_features,
)
from roamrl.algorithms.transfer.selection.probe import mean_return
from roamrl.algorithms.transfer.selection.regret import explained_share, rank_correlation, regret
from roamrl.algorithms.transfer.selection.ridge import fit_ridge
from roamrl.algorithms.transfer.selection.validation import mean_gain
from roamrl.envs.errors import InputError

RNG = np.random.default_rng(3)
SOURCES = RNG.uniform(0.0, 1.0, (6, 3))
TASKS = RNG.uniform(0.0, 1.0, (12, 3))


def steep(sources: np.ndarray, tasks: np.ndarray) -> np.ndarray:
    """A world in which only the first variable matters, and the more a source has of it the better, whatever is near.

    Gain = 0.2 + 0.5 s_0 - 0.3 |s_1 - t_1| + 0.1 t_2: linear in what the regression sees.
    """
    gap = np.abs(sources[:, None, 1] - tasks[None, :, 1])
    return 0.2 + 0.5 * sources[:, None, 0] - 0.3 * gap + 0.1 * tasks[None, :, 2]


def test_the_highest_keeps_its_ties_and_they_are_taken_in_turn() -> None:
    assert highest([0.1, 0.7, 0.7, -1.0]) == (1, 2)
    assert [in_turn((1, 2), number) for number in range(4)] == [1, 2, 1, 2]
    for nothing in ([], [0.1, float("nan")]):
        with pytest.raises(InputError, match="every source needs one"):
            highest(nothing)


def test_random_is_the_same_for_the_same_seed_and_even_over_seeds() -> None:
    drawn = [draw(4, seed) for seed in range(2000)]
    assert drawn == [draw(4, seed) for seed in range(2000)]
    shares = np.bincount(drawn, minlength=4) / 2000
    assert np.all(np.abs(shares - 0.25) < 5 * np.sqrt(0.25 * 0.75 / 2000))


def test_nearest_is_the_least_distance() -> None:
    sources = np.array([[0.0, 0.0], [3.0, 4.0], [1.0, 1.0]])
    assert closeness(sources, np.array([0.0, 0.0])) == pytest.approx([0.0, -5.0, -np.sqrt(2.0)])
    assert highest(closeness(sources, np.array([2.0, 2.0]))) == (2,)


def test_best_on_val_does_not_look_at_the_task_left_out() -> None:
    gains = np.array([[0.9, 0.1, 0.1], [0.2, 0.3, 0.3]])
    assert highest(mean_gain(gains)) == (0,)
    assert highest(mean_gain(gains, left_out=0)) == (1,)
    poisoned = gains.copy()
    poisoned[:, 0] = np.nan
    assert mean_gain(poisoned, left_out=0) == pytest.approx([0.1, 0.3])
    with pytest.raises(InputError, match="at least two tasks"):
        mean_gain(gains[:, :1], left_out=0)


def test_probe_takes_each_sources_own_mean() -> None:
    assert mean_return([[1.0, 3.0], [2.0, 2.5]]) == pytest.approx([2.0, 2.25])


def test_ridge_solves_the_normal_equations() -> None:
    x, y = RNG.normal(size=(40, 5)), RNG.normal(size=40)
    x[:, 4] = 7.0  # never changes: no weight, no division by zero
    for penalty, fit in zip((1e-3, 2.0), fit_ridge(x, y, (1e-3, 2.0)), strict=True):
        z = (x[:, :4] - x[:, :4].mean(axis=0)) / x[:, :4].std(axis=0)
        weights = np.linalg.solve(z.T @ z / 40 + penalty * np.eye(4), z.T @ (y - y.mean()) / 40)
        assert fit.predict(x) == pytest.approx(y.mean() + z @ weights, abs=1e-10)


def test_pair_features_are_source_target_differences_and_distance() -> None:
    features = pair_features(np.array([[3.0, 0.0]]), np.array([[0.0, 4.0]]))
    assert features.shape == (1, 1, 9)
    assert features[0, 0] == pytest.approx([3, 0, 0, 4, 3, -4, 3, 4, 5])


def test_predicted_finds_the_right_source_where_the_nearest_is_wrong() -> None:
    fresh = RNG.uniform(0.0, 1.0, (40, 3))
    truth = steep(SOURCES, fresh)
    predicted = fit_gain_predictor(SOURCES, TASKS, steep(SOURCES, TASKS)).predict(SOURCES, fresh)
    assert np.abs(predicted - truth).max() < 0.02
    by_prediction = np.mean([regret(truth[:, t], highest(predicted[:, t])) for t in range(40)])
    by_distance = np.mean([regret(truth[:, t], highest(closeness(SOURCES, fresh[t]))) for t in range(40)])
    assert by_prediction < 0.005
    assert by_distance > 0.1


def test_a_task_left_out_has_no_say_in_its_own_prediction() -> None:
    """Poison: whatever the gains on a task are, what is foretold for it stays bit for bit, and nothing else does."""
    gains = steep(SOURCES, TASKS) + 0.05 * RNG.normal(size=(6, 12))
    clean = left_out_predictions(SOURCES, TASKS, gains)
    poisoned = gains.copy()
    poisoned[:, 4] = 1e3 * RNG.normal(size=6)
    dirty = left_out_predictions(SOURCES, TASKS, poisoned)
    assert np.array_equal(dirty[:, 4], clean[:, 4])
    assert all(not np.allclose(dirty[:, task], clean[:, task]) for task in range(12) if task != 4)
    others = fit_gain_predictor(SOURCES, np.delete(TASKS, 4, axis=0), np.delete(gains, 4, axis=1))
    assert np.array_equal(others.predict(SOURCES, TASKS[4:5])[:, 0], clean[:, 4])


def test_pure_noise_is_shrunk_to_nothing() -> None:
    gains = np.random.default_rng(0).normal(size=(6, 12))
    fitted = fit_gain_predictor(SOURCES, TASKS, gains)
    assert fitted.penalty >= 1.0
    assert explained_share(gains, left_out_predictions(SOURCES, TASKS, gains)) < 0.2


def test_too_few_tasks_are_refused_with_what_to_do() -> None:
    with pytest.raises(InputError, match="more tasks"):
        left_out_predictions(SOURCES, TASKS[:2], steep(SOURCES, TASKS[:2]))
    with pytest.raises(InputError, match="at least 2 tasks"):
        fit_gain_predictor(SOURCES, TASKS[:1], steep(SOURCES, TASKS[:1]))


def test_regret_is_zero_for_the_best_and_the_mean_of_choices_alike() -> None:
    scores = [0.2, 0.8, 0.5]
    assert regret(scores, [1]) == 0.0
    assert regret(scores, [0]) == pytest.approx(0.6)
    assert regret(scores, [0, 1, 2]) == pytest.approx(0.3)


def test_explained_share_is_against_the_mean_of_the_other_tasks() -> None:
    gains = np.array([[0.0, 1.0, 2.0], [1.0, 2.0, 3.0]])
    others = np.array([2.0, 1.5, 1.0])
    assert explained_share(gains, np.tile(others, (2, 1))) == pytest.approx(0.0)
    assert explained_share(gains, gains) == 1.0
    assert np.isnan(explained_share(np.ones((2, 3)), np.ones((2, 3))))


def test_rank_correlation_is_over_sources_within_a_task() -> None:
    gains = np.array([[0.1, 5.0], [0.2, 6.0], [0.3, 7.0]])
    assert rank_correlation(gains, np.exp(gains)) == pytest.approx(1.0)
    assert rank_correlation(gains, np.stack([gains[:, 0], -gains[:, 1]], axis=1)) == pytest.approx(0.0)
    assert np.isnan(rank_correlation(gains, np.zeros_like(gains)))
