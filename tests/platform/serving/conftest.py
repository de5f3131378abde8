from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from gymnasium import spaces

from roamrl.algorithms.bundle import ModuleSpec
from roamrl.algorithms.extras import Extras
from roamrl.algorithms.feedback import with_feedback
from roamrl.algorithms.population.modules.build import build_module, to_bundle
from roamrl.platform.store.expert import Expert
from roamrl.platform.store.manifest import ManifestFields
from roamrl.platform.store.store import ExpertStore

OBSERVATIONS = spaces.Box(np.array([-np.inf, 0, -1], np.float32), np.array([np.inf, 5, 1], np.float32))
CELLS = spaces.Box(0.0, 9.0, (4, 3), np.float32)
BODY = {"hidden": [8]}
SPECS = {
    "plain": ModuleSpec("mlp", OBSERVATIONS, spaces.Discrete(3, start=1), BODY),
    "box": ModuleSpec("mlp", OBSERVATIONS, spaces.Box(-0.5, 0.5, (2,), np.float32), BODY),
    "memory": ModuleSpec("gru", OBSERVATIONS, spaces.Discrete(3), {**BODY, "memory": 4}),
    "trials": with_feedback(ModuleSpec("gru", OBSERVATIONS, spaces.Discrete(3), {**BODY, "memory": 4})),
    "tasks": ModuleSpec("multihead", OBSERVATIONS, spaces.Discrete(3), {**BODY, "tasks": 2}, Extras("number")),
    "cells": ModuleSpec("entity", CELLS, spaces.MultiBinary(4), {**BODY, "interaction": "deepsets"}),
}


@pytest.fixture
def store(tmp_path) -> ExpertStore:
    return ExpertStore.init(tmp_path / "store")


@pytest.fixture
def publish(store: ExpertStore) -> Callable[..., Expert]:
    """Publish policies with weights of their own, each tagged by its name."""

    def published(*names: str) -> list[Expert]:
        experts = []
        for name in names:
            bundle = to_bundle(build_module(SPECS[name], [3]), 0)
            weights = {
                key: 150 * array if key == "actor.head.weight" else array for key, array in bundle.arrays.items()
            }
            fields = ManifestFields(family="slicing-v1", config={}, strategy="scratch", env_steps=1, seed=0)
            expert_id = store.publish(type(bundle)(bundle.spec, weights), fields)
            store.tag(name, expert_id)
            experts.append(store.get(expert_id))
        return experts

    return published
