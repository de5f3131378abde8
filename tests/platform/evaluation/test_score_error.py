"""The standard error of a score is what scores of other episodes scatter by."""

from __future__ import annotations

import numpy as np
import pytest

from roamrl.platform.evaluation.references import ReferenceReturns

EPISODES = 50


def drawn(rng: np.random.Generator, shared: float) -> tuple[np.ndarray, ReferenceReturns]:
    """A policy worth .7 on episodes whose difficulty, of some spread, all policies share."""
    difficulty = rng.normal(0.0, shared, EPISODES)
    trivial, oracle, policy = (mean + difficulty + rng.normal(0.0, 3.0, EPISODES) for mean in (-20.0, 10.0, 1.0))
    return policy, ReferenceReturns({"trivial": trivial, "oracle": oracle}, {})


@pytest.mark.parametrize("shared", [0.0, 30.0])
def test_it_is_the_scatter_of_scores_over_other_episodes(shared: float) -> None:
    rng = np.random.default_rng(7)
    draws = [drawn(rng, shared) for _ in range(2000)]
    scatter = np.std([reference.score(policy) for policy, reference in draws])
    said = np.mean([reference.score_error(policy) for policy, reference in draws])
    assert said == pytest.approx(scatter, rel=0.05)


def test_a_single_episode_or_no_oracle_tells_nothing() -> None:
    policy, reference = drawn(np.random.default_rng(1), 1.0)
    assert np.isnan(reference.score_error(policy[:1]))
    assert np.isnan(ReferenceReturns({"trivial": reference.returns["trivial"]}, {}).score_error(policy))
