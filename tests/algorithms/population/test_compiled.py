"""The compiled gradient against the plain one: same learning, same independence, and a clear word where it fails."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from gymnasium import spaces

from roamrl.algorithms.bundle import ModuleSpec
from roamrl.algorithms.learner_spec import MemberSpec, PPOSettings
from roamrl.algorithms.population import compiled
from roamrl.algorithms.population import fit as fit_module
from roamrl.algorithms.population.gradient import even_length

COMPILED = PPOSettings(compiled=True)
ACTIONS = {"discrete": spaces.Discrete(4), "continuous": spaces.Box(-1.0, 1.0, (2,))}
MEMBERS = (
    MemberSpec(3, lr=1e-3, clip=0.2, entropy_coeff=0.0),
    MemberSpec(11, lr=3e-3, clip=0.1, entropy_coeff=0.02, max_grad_norm=0.1),
    MemberSpec(3, lr=3e-4, clip=0.3, entropy_coeff=0.005),
)


@pytest.fixture
def traced(monkeypatch):
    """Trace and differentiate as compiling does, but run the graph without making machine code of it."""
    monkeypatch.setattr(compiled, "BACKEND", "aot_eager")


def module_spec(kind, activation, shared):
    model = {"hidden": [16, 16], "activation": activation, "shared_trunk": shared}
    return ModuleSpec("mlp", spaces.Box(-np.inf, np.inf, (3,)), ACTIONS[kind], model)


def assert_same_learning(learner, members, spec):
    plain = learner(members, spec, PPOSettings()).iterate(2)
    fast = learner(members, spec, COMPILED).iterate(2)
    weights = [run.module.weights.detach() for run in (fast, plain)]
    torch.testing.assert_close(*weights, rtol=1e-4, atol=1e-5)
    for name, value in plain.stats[-1].items():
        np.testing.assert_allclose(fast.stats[-1][name], value, rtol=1e-3, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("kind", ["discrete", "continuous"])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("activation", ["tanh", "relu", "silu"])
def test_the_traced_gradient_is_the_plain_one(learner, traced, activation, shared, kind, members):
    assert_same_learning(learner, MEMBERS[:members], module_spec(kind, activation, shared))


@pytest.mark.parametrize(
    ("activation", "shared", "kind", "members"), [("tanh", False, "discrete", 3), ("silu", True, "continuous", 1)]
)
def test_machine_code_learns_as_the_plain_path(learner, activation, shared, kind, members):
    assert_same_learning(learner, MEMBERS[:members], module_spec(kind, activation, shared))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("activation", "shared", "kind", "members"),
    [
        ("tanh", True, "continuous", 3),
        ("relu", False, "continuous", 3),
        ("relu", True, "discrete", 1),
        ("silu", False, "discrete", 3),
    ],
)
def test_machine_code_of_every_kind_learns_as_the_plain_path(learner, activation, shared, kind, members):
    assert_same_learning(learner, MEMBERS[:members], module_spec(kind, activation, shared))


def test_machine_code_is_deterministic_and_keeps_members_apart(learner):
    spec = module_spec("discrete", "tanh", False)

    def spoil(iteration, rollout):
        if iteration == 1:
            rollout.rewards[4, 1, 2] = np.nan

    clean, again, spoiled = (learner(MEMBERS, spec, COMPILED) for _ in range(3))
    clean.iterate(3), again.iterate(3), spoiled.iterate(3, spoil)
    weights = [run.module.weights.detach() for run in (clean, again, spoiled)]
    assert torch.equal(weights[0], weights[1])
    assert torch.equal(weights[0][[0, 2]], weights[2][[0, 2]])
    assert [stats["skipped"].tolist() for stats in spoiled.stats] == [[0, 0, 0], [0, 16, 0], [0, 0, 0]]
    for number, member in enumerate(MEMBERS):
        alone = learner([member], spec).iterate(3)
        torch.testing.assert_close(weights[0][number], alone.module.weights[0].detach(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("block_rows", [7, 60, 100])
def test_traced_blocks_give_the_gradient_of_the_whole(learner, traced, monkeypatch, block_rows):
    whole = learner(MEMBERS).iterate(1)
    monkeypatch.setattr(fit_module, "BLOCK_ROWS", block_rows)
    blocks = learner(MEMBERS, ppo=COMPILED).iterate(1)
    torch.testing.assert_close(blocks.module.weights.detach(), whole.module.weights.detach(), rtol=0, atol=1e-5)


def test_equal_learners_share_a_program_and_compile_each_shape_once(learner, traced):
    spec = module_spec("discrete", "relu", True)
    graphs = torch._dynamo.utils.counters["stats"]
    learner(MEMBERS, spec, COMPILED).iterate(1)
    made = graphs["unique_graphs"]
    learner(MEMBERS, spec, COMPILED).iterate(3)
    assert graphs["unique_graphs"] == made


@pytest.mark.parametrize(
    ("count", "most", "length"), [(16, 16, 16), (20, 16, 10), (64, 16, 16), (10000, 4096, 2500), (7, 3, 3), (5, 8, 5)]
)
def test_blocks_are_cut_evenly_where_that_costs_little(count, most, length):
    assert even_length(count, most) == length


WITHOUT_COMPILER = """
import numpy as np, torch
from gymnasium import spaces
from roamrl.algorithms.bundle import ModuleSpec
from roamrl.algorithms.learner_spec import PPOSettings
from roamrl.algorithms.population.compiled import compiled_gradient
from roamrl.algorithms.population.losses import LossWeights, Minibatch
from roamrl.algorithms.population.modules.build import build_module
from roamrl.envs.errors import InputError

module = build_module(ModuleSpec("mlp", spaces.Box(-1, 1, (3,)), spaces.Discrete(2), {"hidden": [4]}), [1])
numbers = torch.zeros(1, 8)
rows = Minibatch(torch.zeros(1, 8, 3), torch.zeros(1, 8, dtype=torch.int64), numbers, numbers, numbers)
try:
    compiled_gradient(module, PPOSettings(compiled=True))(module.weights, rows, LossWeights(*torch.ones(4, 1)))
except InputError as error:
    print("refused:", error)
"""


def test_without_a_compiler_the_message_says_what_mends_it(tmp_path):
    environment = {key: value for key, value in os.environ.items() if key != "TORCHINDUCTOR_CACHE_DIR"}
    environment |= {"CXX": str(tmp_path / "no-compiler"), "ROAMRL_CACHE": str(tmp_path)}
    told = subprocess.run([sys.executable, "-c", WITHOUT_COMPILER], env=environment, capture_output=True, text=True)
    assert told.stdout.startswith("refused: the loss could not be compiled"), told.stderr
    assert "'compiled: false'" in told.stdout
    assert "C++ compiler" in told.stdout
    assert (tmp_path / "inductor").is_dir()
