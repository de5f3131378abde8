"""Arrival laws: probabilities, canonical form, errors, and that the environment draws from them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import poisson as scipy_poisson

from roamrl.envs.errors import InputError
from roamrl.envs.urllc import URLLC
from roamrl.envs.urllc.arrival_law import batches, check_law, mixture, poisson, probabilities

laws = st.recursive(
    st.one_of(
        st.floats(0.0, 4.0).map(poisson),
        st.tuples(st.floats(0.0, 1.0), st.integers(1, 8)).map(lambda pair: batches(pair[0] * pair[1], pair[1])),
        st.lists(st.floats(0.01, 1.0), min_size=1, max_size=9).map(
            lambda share: {"kind": "empirical", "probabilities": [entry / sum(share) for entry in share]}
        ),
    ),
    lambda inner: st.lists(inner, min_size=1, max_size=3).map(lambda parts: mixture(*parts)),
    max_leaves=4,
)


@settings(max_examples=60, deadline=None)
@given(laws)
def test_every_law_is_a_distribution_over_at_most_eight(law):
    checked = check_law(law, 8)
    share = probabilities(checked, 8)
    assert share.shape == (9,) and (share >= 0.0).all() and share.sum() == pytest.approx(1.0)
    assert check_law(checked, 8) == checked


@pytest.mark.parametrize("mean", [0.0, 0.5, 0.8, 2.0, 4.0])
def test_poisson_is_cut_at_eight_and_normalised(mean):
    counts = np.arange(9)
    share = probabilities(check_law(poisson(mean), 8), 8)
    np.testing.assert_allclose(share, scipy_poisson.pmf(counts, mean) / scipy_poisson.cdf(8, mean), rtol=1e-12)


def test_the_cut_moves_the_mean_as_little_as_is_said():
    share = probabilities(poisson(2.0), 8)
    assert float(share @ np.arange(9)) == pytest.approx(1.9983, abs=5e-5)
    assert scipy_poisson.sf(8, 2.0) == pytest.approx(2.4e-4, abs=5e-6)


def test_batches_come_whole_or_not_at_all():
    share = probabilities(check_law({"kind": "batch", "mean": 0.9}, 8), 8)
    assert np.flatnonzero(share).tolist() == [0, 6] and share[6] == pytest.approx(0.15)


def test_a_mixture_weighs_its_parts():
    parts = [{"weight": 0.25, "law": poisson(1.0)}, {"weight": 0.75, "law": batches(2.0)}]
    share = probabilities(check_law({"kind": "mixture", "parts": parts}, 8), 8)
    np.testing.assert_allclose(share, 0.25 * probabilities(poisson(1.0), 8) + 0.75 * probabilities(batches(2.0), 8))


def test_spellings_of_one_law_are_one_task():
    short, padded = [0.5, 0.5], [0.5, 0.5] + [0.0] * 7
    tasks = [URLLC.task({"arrivals": {"kind": "empirical", "probabilities": given}}) for given in (short, padded)]
    assert tasks[0] == tasks[1]
    assert URLLC.task({"arrivals": {"kind": "batch", "mean": 1}}) == URLLC.task({"arrivals": batches(1.0, 6)})


@pytest.mark.parametrize(
    ("law", "reason"),
    [
        (0.8, "an arrival law is needed"),
        ({"mean": 0.8}, "an arrival law is needed"),
        ({"kind": "poison", "mean": 0.8}, "did you mean 'poisson'"),
        ({"kind": "poisson", "maen": 0.8}, "did you mean 'mean'"),
        ({"kind": "poisson"}, "mean missing"),
        ({"kind": "poisson", "mean": 5.0}, "cut at 8 arrivals"),
        ({"kind": "poisson", "mean": -1.0}, "a number from 0 to 4"),
        ({"kind": "batch", "mean": 7.0}, "a number from 0 to 6"),
        ({"kind": "batch", "mean": 1.0, "size": 9}, "a number from 1 to 8"),
        ({"kind": "batch", "mean": 1.0, "size": 2.5}, "whole number"),
        ({"kind": "empirical", "probabilities": [0.5, 0.4]}, "sum to 0.9"),
        ({"kind": "empirical", "probabilities": [0.1] * 10}, "1 to 9 numbers"),
        ({"kind": "empirical", "probabilities": [1.5, -0.5]}, "a number from 0 to 1"),
        ({"kind": "mixture", "parts": []}, "a list of"),
        ({"kind": "mixture", "parts": [{"weight": 1.0}]}, "a weight and a law"),
        ({"kind": "mixture", "parts": [{"weight": 0.5, "law": poisson(1.0)}]}, "sum to 0.5"),
        (mixture(mixture(mixture(mixture(poisson(1.0))))), "nested deeper than 3"),
        ({"kind": "empirical", "probabilities": [0.0] * 8 + [1.0]}, "never shrinks"),
    ],
)
def test_what_is_no_law_is_refused(law, reason):
    with pytest.raises(InputError, match=f"'arrivals'.*{reason}"):
        URLLC.task({"arrivals": law})


@pytest.mark.parametrize("law", [poisson(2.0), batches(0.8), mixture(poisson(0.5), batches(2.0))])
def test_the_environment_draws_from_the_law(law):
    """Frequencies over 200,000 slots lie within five standard errors of the probabilities."""
    env = URLLC.make_vec([URLLC.task({"arrivals": law}, {"history": 1})], 1000, seed=4)
    env.reset()
    counts = np.zeros(9)
    for _ in range(200):
        arrivals = np.rint(env.step(np.full(1000, 8))[0][:, 2] * 6.0).astype(int)
        counts += np.bincount(arrivals, minlength=9)
    share = probabilities(law, 8)
    error = np.sqrt(share * (1.0 - share) / counts.sum())
    assert (np.abs(counts / counts.sum() - share) <= 5.0 * error + 1e-12).all()


def test_more_load_never_brings_fewer_packets_on_the_same_streams():
    arrivals = []
    for mean in (0.8, 2.0):
        env = URLLC.make_vec([URLLC.task({"arrivals": poisson(mean)}, {"history": 1})], 64, seed=9)
        env.reset()
        arrivals.append(np.array([env.step(np.full(64, 8))[0][:, 2] for _ in range(50)]))
    assert (arrivals[1] >= arrivals[0]).all() and (arrivals[1] > arrivals[0]).any()
