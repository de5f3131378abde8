"""Search in episodes that are played once: what it asks for, where it ends, and how noise holds it back."""

from __future__ import annotations

import numpy as np
import pytest

from roamrl.envs.episodes import Episodes
from roamrl.envs.live_search import LEAST_EPISODES, Surface, search_live, summit

SURFACE = Surface(slope=5.0, curvature=10.0)
SLOPE = np.array([4.0, -2.0, 0.0])
RNG_SEED = 3


def returns_at(points: np.ndarray) -> np.ndarray:
    return 70.0 + points @ SLOPE - SURFACE.curvature / 2 * (points**2).sum(axis=1)


def points(pairs: int) -> np.ndarray:
    step = SURFACE.spread * np.random.default_rng(0).standard_normal((pairs, 3))
    return np.concatenate([step, -step])


def test_the_summit_is_that_of_the_surface_where_nothing_else_moves_returns() -> None:
    tried = points(2000)
    np.testing.assert_allclose(summit(tried, returns_at(tried), SURFACE), SLOPE / 10.0, rtol=0.02, atol=0.002)


def test_no_number_moves_farther_than_allowed() -> None:
    tried = points(2000)
    steep = summit(tried, 100.0 * tried[:, 0] - 30.0 * tried[:, 1], SURFACE)
    np.testing.assert_array_equal(steep[:2], [1.0, -1.0])


def test_the_noisier_the_episodes_the_nearer_it_stays_to_where_it_began() -> None:
    tried = points(10)
    noise = np.random.default_rng(1).standard_normal(20)
    lengths = [np.linalg.norm(summit(tried, returns_at(tried) + spread * noise, SURFACE)) for spread in (1, 20, 200)]
    assert lengths[0] > 0.3
    assert lengths[2] < 0.1 * lengths[0]


@pytest.mark.parametrize("dimensions", [3, 8])
def test_returns_that_never_differ_move_nothing(dimensions: int) -> None:
    step = np.random.default_rng(0).standard_normal((5, dimensions))
    tried = np.concatenate([step, -step])
    np.testing.assert_allclose(summit(tried, np.full(10, 3.0), SURFACE), 0.0, atol=1e-6)


@pytest.mark.parametrize("episodes", [0, LEAST_EPISODES - 1, LEAST_EPISODES, 49, 50, 101, 500])
def test_blocks_follow_each_other_and_no_more_is_played_than_allowed(episodes: int) -> None:
    asked: list[int] = []

    def play(points: np.ndarray, block: range) -> Episodes:
        assert len(points) == len(block)
        asked.extend(block)
        return Episodes(returns_at(points)[None], {"violation_rate": np.zeros((1, len(block)))})

    best, searched = search_live(play, 3, SURFACE, episodes, RNG_SEED)
    if episodes < LEAST_EPISODES:
        assert (asked, searched, best.tolist()) == ([], None, [0.0, 0.0, 0.0])
        return
    assert asked == list(range(episodes - episodes % 2))
    assert searched is not None and searched.returns.shape == (1, len(asked))


def test_more_episodes_end_nearer_to_the_summit_in_spite_of_noise() -> None:
    far: dict[int, list[float]] = {20: [], 2000: []}
    for number in range(10):
        rng = np.random.default_rng(number)

        def play(points: np.ndarray, block: range, rng: np.random.Generator = rng) -> Episodes:
            return Episodes((returns_at(points) + 10.0 * rng.standard_normal(len(block)))[None], {})

        for episodes, found in far.items():
            best, _ = search_live(play, 3, SURFACE, episodes, number)
            found.append(float(np.linalg.norm(best - SLOPE / 10.0)))
    assert np.mean(far[2000]) < 0.15  # three slopes, each known to 10 / (.4 sqrt(2000)) = .56 of a curvature of 10
    assert np.mean(far[2000]) < 0.5 * np.mean(far[20])
