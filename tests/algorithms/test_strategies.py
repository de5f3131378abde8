"""Strategies: what they describe, what they refuse, and how they are found."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces

from roamrl.algorithms.bundle import ModuleSpec, PolicyBundle
from roamrl.algorithms.learner_spec import LearnerSpec, MemberSpec, Phase, episode_phases, steady_phases
from roamrl.algorithms.strategy import get_strategy, make_strategy, strategy_names
from roamrl.envs.errors import InputError
from roamrl.envs.task import Task

TASKS = [Task("f-v1", {}, {"load": load}) for load in (0.5, 1.0, 1.5)]
SPEC = ModuleSpec("mlp", spaces.Box(-1, 1, (3,), np.float32), spaces.Discrete(2), {})
EXPERT = PolicyBundle(SPEC, {"w": np.ones(2, np.float32)})
BASE = MemberSpec(seed=7, lr=0.5)


def test_our_strategies_are_found_with_their_papers() -> None:
    assert {"scratch", "specialist", "joint", "reuse"} <= set(strategy_names())
    for name in strategy_names():
        strategy = get_strategy(name)
        assert strategy.name == name
        assert strategy.paper
        assert strategy.about


def test_scratch_starts_fresh_and_reuse_from_the_expert() -> None:
    assert make_strategy("scratch", {}).adapt(TASKS[0], [], BASE).initial is None
    member = make_strategy("reuse", {"layers": "trunk", "frozen_steps": 300}).adapt(TASKS[1], [EXPERT], BASE)
    assert member.initial is EXPERT
    assert (member.layers, member.frozen_steps) == ("trunk", 300)
    assert (member.tasks, member.seed, member.lr) == ((TASKS[1],), 7, 0.5)


def test_who_trains_on_what() -> None:
    assert [m.tasks for m in make_strategy("reuse", {}).pretrain(TASKS, BASE)] == [(task,) for task in TASKS]
    assert [m.tasks for m in make_strategy("specialist", {}).pretrain(TASKS, BASE)] == [(task,) for task in TASKS]
    assert [m.tasks for m in make_strategy("joint", {}).pretrain(TASKS, BASE)] == [tuple(TASKS)]
    assert make_strategy("scratch", {}).pretrain(TASKS, BASE) == ()


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(InputError, match="given none"):
        make_strategy("reuse", {}).adapt(TASKS[0], [], BASE)
    with pytest.raises(InputError, match="does not adapt"):
        make_strategy("specialist", {}).adapt(TASKS[0], [], BASE)
    with pytest.raises(InputError, match="did you mean 'reuse'"):
        get_strategy("reus")
    with pytest.raises(InputError, match="did you mean 'frozen_steps'"):
        make_strategy("reuse", {"frozen_step": 1})


def test_episode_phases_reach_every_point() -> None:
    phases, reached = episode_phases([0, 1, 2, 5, 10, 37], 100, 10)
    assert reached == (0, 1, 2, 3, 4, 7)
    assert [p.envs_per_member for p in phases] == [1, 1, 3, 5, 10, 7]
    learner = LearnerSpec(SPEC, (BASE,), phases, snapshots=reached)
    assert [learner.member_steps(at) for at in reached] == [0, 100, 200, 500, 1000, 3700]


@pytest.mark.parametrize("points", [[], [0], [5, 3], [1, 1], [-1, 4]])
def test_senseless_points_are_refused(points: list[int]) -> None:
    with pytest.raises(InputError, match="must be increasing"):
        episode_phases(points, 100, 10)


def test_steady_phases_make_at_least_the_steps_asked_for() -> None:
    (phase,) = steady_phases(1000, 8, 16)
    assert (phase.iterations, phase.rows) == (8, 128)


def test_phase_of_iteration() -> None:
    learner = LearnerSpec(SPEC, (BASE,), (Phase(2, 1, 10), Phase(1, 4, 10)))
    assert [learner.phase_of(i).envs_per_member for i in range(3)] == [1, 1, 4]
    with pytest.raises(IndexError):
        learner.phase_of(3)
    with pytest.raises(InputError, match="snapshots"):
        LearnerSpec(SPEC, (BASE,), (Phase(2, 1, 10),), snapshots=(5,))
