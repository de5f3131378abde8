"""Multi-task strategies: what they ask of a learner, and with what they meet a target."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium import spaces

from roamrl.algorithms.bundle import ModuleSpec, PolicyBundle
from roamrl.algorithms.extras import Extras
from roamrl.algorithms.learner_spec import LearnerSpec, MemberSpec, Phase
from roamrl.algorithms.population.members import start_population
from roamrl.algorithms.population.modules.build import build_module, to_bundle
from roamrl.algorithms.population.teachers import Teachers
from roamrl.algorithms.strategy import Setting, make_strategy
from roamrl.envs.errors import InputError
from roamrl.envs.slicing import SLICING

TASKS = SLICING.sample(3, 0)
OBSERVATION, ACTION = SLICING.spaces(dict(TASKS[0].config))
STUDY = ModuleSpec("mlp", OBSERVATION, ACTION, {"hidden": [8]})
BASE = MemberSpec(seed=7, lr=0.5)
POOL = Setting(tasks=3, contexts=len(SLICING.features(TASKS[0])))
TARGET = Setting(tasks=1, contexts=POOL.contexts, sources=1, adapting=True)

ONE_POLICY = [
    ("joint", {}),
    ("joint", {"condition": "context"}),
    ("joint", {"condition": "one-hot"}),
    ("joint", {"condition": "embedding", "width": 2}),
    ("joint", {"condition": "embedding", "learned": "code"}),
    ("multihead", {}),
    ("multihead", {"head": "fresh"}),
    ("popart", {}),
    ("pcgrad", {}),
]


def trained(strategy) -> PolicyBundle:
    """Return the policy of a strategy's pretraining as it is before learning."""
    (member,) = strategy.pretrain(TASKS, BASE)
    assert member.tasks == TASKS
    return to_bundle(build_module(strategy.module(STUDY, POOL), [member.seed]), 0)


@pytest.mark.parametrize(("name", "settings"), ONE_POLICY)
def test_one_policy_is_trained_on_all_tasks_and_starts_the_learner(name, settings):
    strategy = make_strategy(name, settings)
    source = trained(strategy)
    member = strategy.adapt(TASKS[2], [source], BASE)
    spec = strategy.module(STUDY, TARGET)
    assert member.tasks == (TASKS[2],) and member.initial is not None
    module, _ = start_population(LearnerSpec(spec, (member,), (Phase(1, 1, 1),)))
    obs = torch.randn(1, 5, OBSERVATION.shape[0] + spec.extras.columns)
    if settings.get("head") == "fresh":
        taken = {name for name in module.trunk_names() if name.endswith("weight")}
        state = module.member_state(0)
        assert taken and all(np.array_equal(state[name], source.arrays[name]) for name in taken)
        return
    if spec.extras.task == "number":
        obs[..., -1] = 0  # the target is the only task of its pool
    told = Extras("number") if source.spec.extras.task == "number" else spec.extras
    shown = obs[..., : OBSERVATION.shape[0]]
    if told.task == "number":
        shown = torch.cat([shown, torch.full((1, 5, 1), -1.0)], dim=-1)
    elif told.columns:
        shown = obs
    before = build_module(source.spec, [0])
    before.load_member_state(0, source.arrays)
    torch.testing.assert_close(module.logits(obs), before.logits(shown), rtol=1e-4, atol=1e-5)


def test_pcgrad_projects_and_the_others_measure():
    uses = {
        name: make_strategy(name, {}).task_gradients for name in ("joint", "multihead", "popart", "pcgrad", "reuse")
    }
    assert uses == {
        "joint": "measure",
        "multihead": "measure",
        "popart": "measure",
        "pcgrad": "project",
        "reuse": "none",
    }


def test_only_the_targets_code_learns():
    strategy = make_strategy("joint", {"condition": "embedding", "width": 2, "learned": "code"})
    member = strategy.adapt(TASKS[0], [trained(strategy)], BASE)
    module, optimiser = start_population(LearnerSpec(strategy.module(STUDY, TARGET), (member,), (Phase(1, 1, 1),)))
    before = module.member_state(0)
    for _ in range(3):
        optimiser.step(torch.ones_like(module.weights), torch.zeros(1), torch.tensor([0.1]), torch.tensor([1e9]))
        optimiser.advance(10**6)
    after = module.member_state(0)
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    assert changed == {"task.embedding"} and before["task.embedding"].shape == (1, 2)
    with pytest.raises(InputError, match="condition: embedding"):
        make_strategy("joint", {"learned": "code"})
    with pytest.raises(InputError, match="no learned code"):
        start_population(LearnerSpec(STUDY, (MemberSpec(1, (TASKS[0],), learned="code"),), (Phase(1, 1, 1),)))


def test_a_student_listens_in_each_task_to_its_specialist():
    strategy = make_strategy("distill-multi", {})
    experts = [to_bundle(build_module(STUDY, [seed]), 0) for seed in (1, 2, 3)]
    assert [member.tasks for member in strategy.pretrain(TASKS, BASE)] == [(task,) for task in TASKS]
    student = strategy.consolidate(TASKS, experts, BASE)
    assert student.tasks == TASKS and student.teaching is not None
    teachers = Teachers.of(LearnerSpec(STUDY, (student,), (Phase(1, 1, 1),)))
    assert teachers is not None and teachers.reinforce(10**9).tolist() == [0.0]
    obs, tasks = torch.randn(1, 9, OBSERVATION.shape[0]), torch.tensor([[0, 2, 1, 1, 2, 0, 0, 1, 2]])
    target = teachers.target(obs, tasks)
    for row, task in enumerate(tasks[0].tolist()):
        expert = build_module(STUDY, [task + 1])
        expected = torch.softmax(expert.logits(obs[:, row : row + 1]), dim=-1)
        torch.testing.assert_close(target[:, row : row + 1], expected, rtol=1e-4, atol=1e-6)
    with pytest.raises(InputError, match="need to know the task"):
        teachers.target(obs)
    with pytest.raises(InputError, match="give each task of the pool one teacher"):
        short = strategy.consolidate(TASKS[:2], experts, BASE)
        Teachers.of(LearnerSpec(STUDY, (short,), (Phase(1, 1, 1),)))
    auxiliary = make_strategy("distill-multi", {"mode": "auxiliary", "distill_steps": 100})
    teaching = auxiliary.consolidate(TASKS, experts, BASE).teaching
    assert (teaching.imitate.at(0), teaching.imitate.at(50), teaching.imitate.at(100)) == (1.0, 0.5, 0.0)
    assert teaching.reinforce_from == 0


@pytest.mark.parametrize("name", ["multihead", "popart"])
def test_kinds_that_cannot_have_heads_are_refused(name):
    other = ModuleSpec("entity", spaces.Box(-1, 1, (4, 3)), spaces.MultiBinary(4), {})
    with pytest.raises(InputError, match="builds on a module of kind 'mlp'"):
        make_strategy(name, {}).module(other, POOL)
    with pytest.raises(InputError, match="builds on a module of kind 'mlp'"):
        make_strategy("joint", {"condition": "one-hot"}).module(other, POOL)
