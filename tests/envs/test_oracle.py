"""The clairvoyant beam: exact on a tiny horizon, faithful to the environment, blind to nothing it may use."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

from roamrl.envs.placement import Placement
from roamrl.envs.slicing import SLICING
from roamrl.envs.slicing.allocation import allocation_grid
from roamrl.envs.slicing.env import SlicingEnv
from roamrl.envs.slicing.oracle import Clairvoyant, plan_episodes
from roamrl.envs.slicing.references import Static
from roamrl.envs.task import Task

TINY = {"slices": ["control", "xr"], "episode_windows": 3}


def same_cell(task: Task, rows: int, index: int = 0) -> SlicingEnv:
    """R rows that all play the same episode of the same task."""
    placement = Placement(np.full(rows, 5), np.full(rows, index), ((task,),) * rows, 1)
    env = SLICING.make_placed(placement, "Disabled")
    assert isinstance(env, SlicingEnv)
    env.reset()
    return env


def returns_of(env: SlicingEnv, plans: np.ndarray[Any, np.dtype[np.int64]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    return sum((env.step(plans[:, t])[1] for t in range(plans.shape[1])), np.zeros(len(plans)))


@pytest.mark.parametrize("scheduler", ["round-robin", "proportional-fair"])
@pytest.mark.parametrize("late_penalty", [0.0, 0.3])
def test_a_beam_that_need_not_prune_finds_what_exhaustive_search_finds(scheduler: str, late_penalty: float) -> None:
    config = {**TINY, "scheduler": scheduler, "late_penalty": late_penalty}
    task = SLICING.task({"prb": 25}, config)
    every = np.array(list(product(range(9), repeat=3)))
    for index in range(2):
        exhaustive = returns_of(same_cell(task, len(every), index), every)
        plan = plan_episodes(same_cell(task, 1, index), 81)
        found = returns_of(same_cell(task, 1, index), plan)[0]
        assert exhaustive.max() > np.median(exhaustive) + 1e-3
        assert found == pytest.approx(exhaustive.max(), abs=1e-9)


def test_one_window_without_terminal_cost_is_the_greedy_choice() -> None:
    task = SLICING.task({"load": 1.5})
    rewards = same_cell(task, 36).step(np.arange(36))[1]
    first = plan_episodes(same_cell(task, 1), 1, kappa=0.0)[0, 0]
    assert rewards[first] == pytest.approx(rewards.max(), abs=1e-12)


def test_the_terminal_cost_makes_one_window_ahead_better_over_an_episode() -> None:
    tasks = SLICING.splits(SLICING.config())["val"].tasks[:4]
    with_cost, without = (
        Clairvoyant("x", 1, kappa).play(SLICING, tasks, episodes=4, seed=2).returns.mean() for kappa in (0.8, 0.0)
    )
    assert with_cost > without + 0.5


def test_planning_leaves_the_environment_as_it_was() -> None:
    env = SLICING.make_vec(SLICING.sample(2, 0), 4, seed=3)
    assert isinstance(env, SlicingEnv)
    env.reset()
    env.step(np.array([1, 2, 3, 4]))
    before = env.get_state()
    plan = plan_episodes(env, 4)
    assert plan.shape == (4, 99)
    after = env.get_state()
    assert {name for name in before if not np.array_equal(before[name], after[name])} == set()


def test_a_plan_depends_on_its_own_row_alone() -> None:
    tasks = SLICING.sample(3, 4)
    together = Clairvoyant("x", 4).play(SLICING, tasks, episodes=2, seed=9).returns
    alone = Clairvoyant("x", 4).play(SLICING, tasks[2:], episodes=2, seed=9).returns
    np.testing.assert_array_equal(together[2:], alone)
    assert len(np.unique(together)) == together.size


def test_the_grid_plan_serves_continuous_actions() -> None:
    tasks = {action: SLICING.task({}, {"action": action}) for action in ("discrete", "continuous")}
    returns = {
        action: Clairvoyant("x", 2).play(SLICING, [task], episodes=4, seed=1).returns for action, task in tasks.items()
    }
    np.testing.assert_allclose(returns["continuous"], returns["discrete"], atol=1.5)


def test_a_hidden_context_changes_the_best_action() -> None:
    config = SLICING.config({"variant": "hidden-sla"})
    weights = [[0.7, 0.15, 0.15], [0.15, 0.7, 0.15], [0.15, 0.15, 0.7]]
    tasks = [SLICING.task({"weights": weight}, config) for weight in weights]
    assert "weights" not in config["observed"]
    first = [same_cell(task, 1).reset()[0] for task in tasks]
    np.testing.assert_array_equal(first[0], first[1])
    np.testing.assert_array_equal(first[0], first[2])
    fixed = allocation_grid(3)[::2]
    returns = np.array(
        [Static(shares).play(SLICING, tasks, episodes=3, seed=1).returns.mean(axis=1) for shares in fixed]
    )
    best = returns.argmax(axis=0)
    assert len(set(best.tolist())) == 3
    for mine, other in ((0, 2), (2, 0), (1, 2)):
        assert returns[best[mine], mine] > returns[best[other], mine] + 1.0
