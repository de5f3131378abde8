from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from roamrl.algorithms.bundle import ModuleSpec, PolicyBundle
from roamrl.algorithms.extras import Extras
from roamrl.algorithms.feedback import with_feedback
from roamrl.algorithms.population.modules.build import build_module, to_bundle

FLAT = spaces.Box(np.array([-np.inf, -1, 0, 0, 0], np.float32), np.array([np.inf, 1, 5, 1e9, 1], np.float32))
TABLE = spaces.Box(0.0, 20.0, (6, 4), np.float32)
ACTIONS: dict[str, spaces.Space[Any]] = {
    "discrete": spaces.Discrete(4),
    "discrete-from-3": spaces.Discrete(4, start=3),
    "box": spaces.Box(np.array([-0.2, -np.inf, 0], np.float32), np.array([0.3, np.inf, 0.1], np.float32)),
    "box-of-doubles": spaces.Box(-0.1, 0.1, (2, 2), np.float64),
    "box-of-one": spaces.Box(-0.1, 0.1, (), np.float32),
    "binary": spaces.MultiBinary(5),
    "binary-table": spaces.MultiBinary([2, 3]),
}
BODY = {"hidden": [16, 12]}


def random_bundle(spec: ModuleSpec, seed: int = 0) -> PolicyBundle:
    """A policy whose every array matters: heads as large as hidden layers, biases, statistics as after training."""
    rng = np.random.default_rng(seed)
    bundle = to_bundle(build_module(spec, [seed]), 0)
    arrays: dict[str, Any] = {}
    for name, array in bundle.arrays.items():
        fresh = rng.standard_normal(array.shape).astype(array.dtype)
        scale = 1.0 if name.startswith(("observations", "returns")) else 0.6 / max(1, array.ndim - 1)
        arrays[name] = np.abs(fresh) + 0.3 if name.endswith((".var", ".count")) else (fresh * scale).astype(array.dtype)
    return PolicyBundle(spec, arrays)


def module_specs() -> Iterator[tuple[str, ModuleSpec]]:
    """A spec of every module kind with every action space it takes, and of every extra."""
    number, context = Extras("number"), Extras("context", contexts=3)
    for action, space in ACTIONS.items():
        for activation in ("tanh", "relu", "silu"):
            yield f"mlp-{activation}-{action}", ModuleSpec("mlp", FLAT, space, {**BODY, "activation": activation})
        yield f"mlp-shared-{action}", ModuleSpec("mlp", TABLE, space, {**BODY, "shared_trunk": True}, context)
        yield f"mlp_rates-{action}", ModuleSpec("mlp_rates", FLAT, space, BODY)
        yield f"multihead-{action}", ModuleSpec("multihead", FLAT, space, {**BODY, "tasks": 3}, number)
        for code in ("one-hot", "embedding"):
            model = {**BODY, "tasks": 3, "code": code, "width": 5}
            yield f"conditioned-{code}-{action}", ModuleSpec("conditioned", FLAT, space, model, number)
        yield f"gru-{action}", ModuleSpec("gru", FLAT, space, {**BODY, "memory": 7})
        yield f"gru-feedback-{action}", with_feedback(ModuleSpec("gru", FLAT, space, {**BODY, "memory": 7}))
        latent = ModuleSpec("latent", FLAT, space, {**BODY, "latent": 2, "encoder": [9]})
        yield f"latent-{action}", with_feedback(latent, noise=2, trial_episodes=4)
    plain = {**BODY, "normalise": False}
    yield "mlp-plain", ModuleSpec("mlp", FLAT, ACTIONS["discrete"], plain)
    yield "mlp-number", ModuleSpec("mlp", FLAT, ACTIONS["discrete"], BODY, number)
    yield "gru-plain", with_feedback(ModuleSpec("gru", FLAT, ACTIONS["box"], plain))
    context_latent = ModuleSpec("latent", FLAT, ACTIONS["box"], {**plain, "latent": 2}, context)
    yield "latent-context", with_feedback(context_latent, noise=2)
    yield (
        "multihead-one-actor",
        ModuleSpec("multihead", FLAT, ACTIONS["box"], {**BODY, "tasks": 3, "actor_heads": False}, number),
    )
    yield "q", ModuleSpec("q", FLAT, ACTIONS["discrete"], BODY)
    yield "q-context-experts", ModuleSpec("q", FLAT, ACTIONS["discrete-from-3"], {**BODY, "experts": 2}, context)
    parts = {**BODY, "reward_weights": [1, 4], "experts": 2}
    yield "q-reward-parts", ModuleSpec("q", FLAT, ACTIONS["discrete"], parts)
    cell_actions = {**{name: ACTIONS[name] for name in ("discrete", "box")}, "binary": spaces.MultiBinary(6)}
    for action, space in cell_actions.items():
        for interaction in ("none", "deepsets", "attention"):
            model = {**BODY, "interaction": interaction}
            yield f"entity-{interaction}-{action}", ModuleSpec("entity", TABLE, space, model)
    everything = {**plain, "interaction": "attention", "attention_heads": 3, "shared_trunk": True}
    yield "entity-context", ModuleSpec("entity", TABLE, cell_actions["binary"], everything, context)


SPECS = dict(module_specs())


@pytest.fixture
def make_policy() -> Callable[..., PolicyBundle]:
    return random_bundle


@pytest.fixture
def specs() -> dict[str, ModuleSpec]:
    return SPECS


def carries(spec: ModuleSpec) -> bool:
    return spec.kind in ("gru", "latent") and spec.extras.task == "none"


CHOICES: dict[str, Callable[[ModuleSpec], bool]] = {
    "spec": lambda spec: True,
    "carrying_spec": carries,
    "entity_spec": lambda spec: spec.kind == "entity",
}
"""Which specs a test gets one by one, by the name of its argument."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    for argument, wanted in CHOICES.items():
        if argument in metafunc.fixturenames:
            chosen = {name: spec for name, spec in SPECS.items() if wanted(spec)}
            metafunc.parametrize(argument, chosen.values(), ids=chosen)
