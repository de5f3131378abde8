"""References of slicing-v1: what they compute, and their order on common seeds."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from roamrl.envs.episodes import play
from roamrl.envs.slicing import SLICING
from roamrl.envs.slicing.allocation import allocation_grid, softmax_shares
from roamrl.envs.slicing.env import SlicingEnv
from roamrl.envs.slicing.references import Backlog, Demand, DemandGains, EqualSplit, MaxWeight, Static, to_actions
from roamrl.envs.slicing.tuning import tune_demand, tune_static

EPISODES = 4
SEED = 11


def cell(**values: list[float]) -> SlicingEnv:
    arrays = {name: np.array([value]) for name, value in values.items()}
    return cast(SlicingEnv, SimpleNamespace(**arrays, allocations=allocation_grid(3)))


def test_demand_follows_its_formula() -> None:
    env = cell(offered_bits=[10, 20, 30], backlog_bits=[0, 10, 0], efficiency=[1, 5, 2], weights=[0.5, 0.3, 0.2])
    need = np.array([2.0 * 0.5 * 20 / 1, 1.0 * 0.3 * 50 / 5, 1.0 * 0.2 * 60 / 2])
    shares = need / need.sum() + 0.25
    np.testing.assert_allclose(Demand(DemandGains((2, 1, 1), 0.25)).shares(env)[0], shares / shares.sum())


def test_a_slice_without_users_counts_at_the_others_efficiency_and_silence_is_shared_equally() -> None:
    env = cell(offered_bits=[0, 20, 20], backlog_bits=[20, 0, 0], efficiency=[0, 2, 4], weights=[1 / 3] * 3)
    np.testing.assert_allclose(Backlog().shares(env)[0], [1, 0, 0])
    need = np.array([20 / 3, 40 / 2, 40 / 4])
    np.testing.assert_allclose(Demand(DemandGains((1, 1, 1), 0.0)).shares(env)[0], need / need.sum())
    silent = cell(offered_bits=[0, 0, 0], backlog_bits=[0, 0, 0], efficiency=[0, 0, 0], weights=[0.2, 0.3, 0.5])
    for reference in (Demand(DemandGains((1, 1, 1), 0.1)), Backlog(), MaxWeight()):
        np.testing.assert_allclose(reference.shares(silent)[0], 1 / 3)


def test_max_weight_gives_the_largest_backlog_times_rate_all_it_can() -> None:
    env = cell(offered_bits=[0, 0, 0], backlog_bits=[10, 6, 1], efficiency=[1, 2, 7], weights=[1, 0, 0])
    np.testing.assert_allclose(MaxWeight().shares(env)[0], [0.1, 0.8, 0.1])


def test_discrete_actions_are_the_nearest_allocations() -> None:
    shares = np.random.default_rng(0).dirichlet([1, 1, 1], 50)
    env = SLICING.make_vec([SLICING.task()], 50)
    assert isinstance(env, SlicingEnv)
    chosen = env.allocations[to_actions(env, shares)]
    for wanted, got in zip(shares, chosen, strict=True):
        nearest = min(np.linalg.norm(wanted - other) for other in env.allocations)
        assert np.linalg.norm(wanted - got) == pytest.approx(nearest, abs=1e-6)
    np.testing.assert_allclose(env.allocations[EqualSplit().act(env)], [[0.3, 0.3, 0.4]] * 50)


def test_continuous_actions_reach_the_wanted_shares() -> None:
    env = SLICING.make_vec([SLICING.task(config={"action": "continuous"})], 3)
    assert isinstance(env, SlicingEnv)
    shares = np.array([[1 / 3, 1 / 3, 1 / 3], [0.15, 0.25, 0.6], [0.12, 0.12, 0.76]])
    actions = to_actions(env, shares)
    assert all(env.single_action_space.contains(action) for action in actions)
    np.testing.assert_allclose(softmax_shares(actions.astype(float)), shares, atol=5e-3)


@pytest.fixture(scope="module")
def returns() -> dict[str, np.ndarray[Any, np.dtype[np.float64]]]:
    config = SLICING.config()
    tasks = SLICING.splits(config)["val"].tasks[:6]
    references = SLICING.references(config)
    arms: dict[str, Any] = {f"static-{number}": Static(shares) for number, shares in enumerate(allocation_grid(3))}
    played = {
        name: reference.play(SLICING, tasks, episodes=EPISODES, seed=SEED).returns
        for name, reference in {**references, **arms}.items()
    }
    rng = np.random.default_rng(0)
    random = play(SLICING, tasks, lambda obs, _: rng.integers(36, size=obs.shape[:2]), episodes=EPISODES, seed=SEED)
    return {**played, "random": random.returns}


def test_no_arm_exceeds_the_oracle_on_any_task(returns: dict[str, Any]) -> None:
    oracle = returns["oracle"].mean(axis=1)
    above = {name: played.mean(axis=1) - oracle for name, played in returns.items() if name != "oracle"}
    assert {name: gap.max() for name, gap in above.items() if gap.max() > 0.0} == {}


def test_trivial_below_static_below_classical_below_cheap_oracle_below_oracle(returns: dict[str, Any]) -> None:
    trivial, oracle = returns["equal-split"].mean(axis=1), returns["oracle"].mean(axis=1)
    score = {name: ((played.mean(axis=1) - trivial) / (oracle - trivial)).mean() for name, played in returns.items()}
    static = max(value for name, value in score.items() if name.startswith("static"))
    assert 0.0 <= static < score["demand"] - 0.05
    assert max(score["backlog"], score["max-weight"], score["random"]) < score["demand"] - 0.05
    assert score["demand"] < score["oracle-window"] - 0.1
    assert 0.8 < score["oracle-window"] < 1.0


def test_the_first_reference_of_each_role_stands_for_it() -> None:
    config = SLICING.config()
    found = {role: SLICING.reference(config, role).name for role in ("trivial", "classical", "oracle")}
    assert found == {"trivial": "equal-split", "classical": "demand", "oracle": "oracle"}


def test_tuning_improves_on_what_it_starts_from_and_repeats_itself() -> None:
    tasks = SLICING.splits(SLICING.config())["val"].tasks[:4]
    tuned = [tune_demand(SLICING, tasks, episodes=2, seed=3, rounds=2, candidates=6) for _ in range(2)]
    assert tuned[0] == tuned[1]

    def mean_return(gains: DemandGains) -> float:
        return float(Demand(gains).play(SLICING, tasks, episodes=2, seed=3).returns.mean())

    assert mean_return(tuned[0]) > mean_return(DemandGains((1.0, 1.0, 1.0), 0.2))


def test_fixed_shares_are_the_best_of_the_grid_on_what_they_are_tuned_on() -> None:
    tasks = SLICING.splits(SLICING.config())["val"].tasks[:2]
    worth = np.array([0.0, 1.0])
    shares = tune_static(SLICING, tasks, episodes=1, seed=3, worth=worth)
    assert sum(shares) == pytest.approx(1.0) and min(shares) >= 0.1

    def reward(fixed: Any) -> float:
        return float(Static(fixed).play(SLICING, tasks[1:], episodes=1, seed=3).returns.mean())

    assert reward(shares) >= max(reward(fixed) for fixed in allocation_grid(3)[::5])


@pytest.mark.parametrize("variant", ["default", "hidden-sla"])
def test_the_published_fixed_shares_stand_beside_the_roles(variant: str) -> None:
    static = SLICING.references(SLICING.config({"variant": variant}))["static"]
    assert isinstance(static, Static) and static.role == "other"
    assert any(np.allclose(static.fixed, shares) for shares in allocation_grid(3))
    turned = SLICING.references(SLICING.config({"variant": variant, "slices": ["xr", "video", "control"]}))["static"]
    assert isinstance(turned, Static)
    np.testing.assert_array_equal(turned.fixed, static.fixed[::-1])
    assert "static" not in SLICING.references(SLICING.config({"variant": variant, "slices": ["control", "xr"]}))


def test_the_published_fixed_shares_lie_between_equal_ones_and_the_best_of_these_tasks(returns: dict[str, Any]) -> None:
    trivial, oracle = returns["equal-split"].mean(axis=1), returns["oracle"].mean(axis=1)
    score = {name: ((played.mean(axis=1) - trivial) / (oracle - trivial)).mean() for name, played in returns.items()}
    best = max(value for name, value in score.items() if name.startswith("static-"))
    assert 0.0 <= score["static"] <= best


def test_equal_split_is_the_same_in_every_window() -> None:
    env = SLICING.make_vec([SLICING.task()], 2)
    env.reset()
    before = EqualSplit().act(env)
    env.step(np.array([0, 35]))
    np.testing.assert_array_equal(EqualSplit().act(env), before)
