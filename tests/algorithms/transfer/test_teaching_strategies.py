"""Guided, distill, hybrid: what they ask of a learner."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces

from roamrl.algorithms.bundle import ModuleSpec, PolicyBundle
from roamrl.algorithms.learner_spec import MemberSpec
from roamrl.algorithms.strategy import make_strategy
from roamrl.envs.errors import InputError
from roamrl.envs.task import Task

TASKS = [Task("f-v1", {}, {"load": load}) for load in (0.5, 1.0)]
SPEC = ModuleSpec("mlp", spaces.Box(-1, 1, (3,), np.float32), spaces.Discrete(2), {})
EXPERTS = [PolicyBundle(SPEC, {"w": np.full(2, number, np.float32)}) for number in range(2)]
BASE = MemberSpec(seed=7, lr=0.5)


def adapted(name: str, **settings: object) -> MemberSpec:
    member = make_strategy(name, settings).adapt(TASKS[1], EXPERTS, BASE)
    assert (member.tasks, member.seed, member.lr) == ((TASKS[1],), 7, 0.5)
    assert member.teaching is not None
    assert member.teaching.teachers == tuple(EXPERTS)
    return member


@pytest.mark.parametrize("name", ["guided", "distill", "hybrid"])
def test_they_train_an_expert_a_source_and_need_one(name: str) -> None:
    assert [m.tasks for m in make_strategy(name, {}).pretrain(TASKS, BASE)] == [(task,) for task in TASKS]
    with pytest.raises(InputError, match="given none"):
        make_strategy(name, {}).adapt(TASKS[0], [], BASE)


def test_guided_lets_experts_act_less_and_less() -> None:
    member = adapted("guided", guide=0.8, guided_steps=100)
    assert member.initial is None
    assert [member.teaching.guide.at(steps) for steps in (0, 50, 100)] == pytest.approx([0.8, 0.4, 0.0])
    assert member.teaching.imitate.at(0) == 0
    assert adapted("guided", starts_from="expert").initial is EXPERTS[0]


def test_distill_imitates_first_or_beside() -> None:
    first = adapted("distill", mode="pretraining", visited_by="expert", weight=2.0, distill_steps=100)
    assert first.initial is None
    assert [first.teaching.imitate.at(steps) for steps in (0, 99, 100)] == [2.0, 2.0, 0.0]
    assert [first.teaching.guide.at(steps) for steps in (0, 99, 100)] == [1.0, 1.0, 0.0]
    assert first.teaching.reinforce_from == 100
    beside = adapted("distill", weight=2.0, distill_steps=100)
    assert [beside.teaching.imitate.at(steps) for steps in (0, 50, 100)] == pytest.approx([2.0, 1.0, 0.0])
    assert beside.teaching.guide.at(0) == 0
    assert beside.teaching.reinforce_from == 0


def test_hybrid_guides_then_distils() -> None:
    member = adapted("hybrid", guide=0.6, guided_steps=100, weight=3.0, distill_steps=200)
    assert member.initial is EXPERTS[0]
    assert adapted("hybrid", starts_from="random").initial is None
    steps = (0, 50, 99, 100, 200, 300)
    assert [member.teaching.guide.at(at) for at in steps] == pytest.approx([0.6, 0.3, 0.006, 0.0, 0.0, 0.0])
    assert [member.teaching.imitate.at(at) for at in steps] == pytest.approx([0.0, 0.0, 0.0, 3.0, 1.5, 0.0])
