"""Random streams: right distributions, and draws that depend on key and counter alone."""

import numpy as np
from numba import njit
from scipy.special import ndtri

from roamrl.envs.streams import episode_key, exponential, fold, noise, normal, normal_quantile, uniform

COUNT = 200_000


@njit
def _draw(kind, key, count):
    drawn = np.zeros(count)
    for counter in range(count):
        if kind == 0:
            drawn[counter] = uniform(key, counter)
        elif kind == 1:
            drawn[counter] = exponential(key, counter)
        elif kind == 2:
            drawn[counter] = normal(key, counter)
        else:
            drawn[counter] = noise(key, counter)
    return drawn


@njit
def _keys(seeds, episodes, indices):
    keys = np.zeros((seeds, episodes, indices), np.uint64)
    for seed in range(seeds):
        for episode in range(episodes):
            for index in range(indices):
                keys[seed, episode, index] = fold(episode_key(seed, episode, index), np.uint64(0))
    return keys


def test_moments_of_the_draws():
    key = np.uint64(12345)
    draws = [_draw(kind, key, COUNT) for kind in range(4)]
    tolerance = 5 / np.sqrt(COUNT)
    assert abs(draws[0].mean() - 0.5) < tolerance and abs(draws[0].var() - 1 / 12) < tolerance
    assert abs(draws[1].mean() - 1) < tolerance and abs(draws[1].var() - 1) < 4 * tolerance
    for drawn in draws[2:]:
        assert abs(drawn.mean()) < tolerance and abs(drawn.var() - 1) < 2 * tolerance
    assert abs((draws[2] ** 4).mean() - 3.0) < 0.1
    assert abs((draws[3] ** 4).mean() - 2.85) < 0.1


def test_successive_and_neighbouring_draws_are_uncorrelated():
    a, b = _draw(0, np.uint64(1), COUNT), _draw(0, np.uint64(2), COUNT)
    for first, second in ((a[1:], a[:-1]), (a, b), (a[10:], b[:-10])):
        assert abs(np.corrcoef(first, second)[0, 1]) < 5 / np.sqrt(COUNT)


def test_normal_quantile_is_the_normal_quantile():
    p = np.concatenate([np.linspace(1e-9, 1 - 1e-9, 5001), 10.0 ** -np.arange(1, 200, 7)])
    ours = np.array([normal_quantile(value) for value in p])
    np.testing.assert_allclose(ours, ndtri(p), rtol=2e-6, atol=2e-6)


def test_keys_of_seeds_episodes_and_indices_differ():
    assert len(np.unique(_keys(20, 20, 20))) == 8000
