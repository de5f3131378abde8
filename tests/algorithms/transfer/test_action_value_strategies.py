"""dqn, max_q, gpi: what they ask of a learner, what they refuse, and that experts carry over to new weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from gymnasium import spaces

from roamrl.algorithms.bundle import ModuleSpec
from roamrl.algorithms.learner_spec import DQNSettings, LearnerSpec, MemberSpec, Phase
from roamrl.algorithms.population.acting import StackedPolicy
from roamrl.algorithms.population.members import start_population
from roamrl.algorithms.population.modules.build import build_module, to_bundle
from roamrl.algorithms.strategy import Setting, make_strategy
from roamrl.envs.errors import InputError
from roamrl.envs.reward import RewardParts
from roamrl.envs.task import Task

TASKS = [Task("f-v1", {}, {"load": load}) for load in (0.5, 1.0)]
STUDY = ModuleSpec(
    "mlp", spaces.Box(-1, 1, (4,), np.float32), spaces.Discrete(3), {"hidden": [8], "shared_trunk": True}
)
PARTS = RewardParts(("first", "second"), (2, 4))
BASE = MemberSpec(seed=7, lr=0.5)


def start(strategy_name, experts, **settings):
    strategy = make_strategy(strategy_name, settings)
    module = strategy.module(STUDY, Setting(parts=PARTS, sources=len(experts)))
    member = strategy.adapt(TASKS[0], experts, BASE)
    spec = LearnerSpec(module, (member,), (Phase(1, 1, 1),), algorithm=strategy.algorithm, dqn=DQNSettings())
    return start_population(spec)[0]


def expert(strategy_name, seed, head_bias):
    """An expert whose values are the given ones everywhere."""
    spec = make_strategy(strategy_name, {}).module(STUDY, Setting(parts=PARTS))
    bundle = to_bundle(build_module(spec, [seed]), 0)
    arrays = {**bundle.arrays, "q.head.weight": np.zeros_like(bundle.arrays["q.head.weight"])}
    return replace(bundle, arrays={**arrays, "q.head.bias": np.asarray(head_bias, np.float32).ravel()})


def test_dqn_starts_fresh_on_action_values() -> None:
    strategy = make_strategy("dqn", {})
    module = strategy.module(STUDY, Setting())
    assert (module.kind, dict(module.model)) == ("q", {"hidden": [8]})
    assert strategy.algorithm == "dqn"
    assert strategy.adapt(TASKS[0], [], BASE).initial is None
    assert strategy.pretrain(TASKS, BASE) == ()


def test_max_q_acts_by_the_best_expert_zero_shot() -> None:
    experts = [expert("max_q", 1, [0.2, 0.9, 0.1]), expert("max_q", 2, [0.5, 0.3, 0.95])]
    module = start("max_q", experts, starts_from="random")
    obs = np.random.default_rng(0).uniform(-1, 1, (1, 6, 4)).astype(np.float32)
    np.testing.assert_array_equal(StackedPolicy([to_bundle(module, 0)]).act(obs)[0], [2] * 6)
    torch.testing.assert_close(
        module.logits(torch.from_numpy(obs)), torch.tensor([0.5, 0.9, 0.95]).expand(1, 6, 3), rtol=0, atol=1e-6
    )


def test_gpi_weighs_experts_by_the_weights_it_sees() -> None:
    # action 0 earns of the first part, action 1 of the second, action 2 a little of both
    experts = [
        expert("gpi", 1, [[1.0, 0.0], [0.0, 0.0], [0.6, 0.6]]),
        expert("gpi", 2, [[0.0, 0.0], [0.0, 1.0], [0.0, 0.0]]),
    ]
    module = start("gpi", experts, starts_from="random")
    obs = np.zeros((1, 3, 4), np.float32)
    obs[0, :, 2:] = [[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]]
    np.testing.assert_array_equal(StackedPolicy([to_bundle(module, 0)]).act(obs)[0], [0, 1, 2])


@pytest.mark.parametrize("name", ["max_q", "gpi"])
def test_the_learners_own_network_starts_as_the_first_expert_if_asked(name: str) -> None:
    parts = 2 if name == "gpi" else 1
    experts = [expert(name, seed, np.full((3, parts), 0.1 * seed)) for seed in (1, 2)]
    state = start(name, experts, starts_from="expert").member_state(0)
    for array in ("q.0.weight", "q.head.bias"):
        np.testing.assert_array_equal(state[array], experts[0].arrays[array])
    assert state["expert1.head.bias"] == pytest.approx(experts[1].arrays["q.head.bias"])
    fresh = start(name, experts, starts_from="random").member_state(0)
    assert np.abs(fresh["q.head.bias"]).max() == 0


@pytest.mark.parametrize("name", ["dqn", "max_q", "gpi"])
def test_continuous_actions_are_refused(name: str) -> None:
    continuous = replace(STUDY, action_space=spaces.Box(-1, 1, (2,)))
    with pytest.raises(InputError, match="needs discrete ones"):
        make_strategy(name, {}).module(continuous, Setting(parts=PARTS))


def test_gpi_needs_parts_and_their_weights() -> None:
    with pytest.raises(InputError, match="this family has none"):
        make_strategy("gpi", {}).module(STUDY, Setting())
    with pytest.raises(InputError, match="hides them here"):
        make_strategy("gpi", {}).module(STUDY, Setting(parts=replace(PARTS, weights_at=None)))


def test_experts_need_room() -> None:
    bundle = expert("max_q", 1, [0.0, 0.0, 0.0])
    spec = LearnerSpec(
        make_strategy("max_q", {}).module(STUDY, Setting(sources=2)),
        (replace(BASE, experts=(bundle,)),),
        (Phase(1, 1, 1),),
        algorithm="dqn",
        dqn=DQNSettings(),
    )
    with pytest.raises(InputError, match=r"1 experts beside it, its module .* room for 2"):
        start_population(spec)
