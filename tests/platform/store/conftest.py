from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from roamrl.algorithms.bundle import ModuleSpec, PolicyBundle
from roamrl.algorithms.population.modules.build import build_module, to_bundle
from roamrl.platform.store import ExpertStore, ManifestFields

SPEC = ModuleSpec(
    "mlp", spaces.Box(-np.inf, np.inf, (5,), np.float32), spaces.Discrete(3), {"hidden": [8], "activation": "tanh"}
)


@pytest.fixture
def store(tmp_path: Path) -> ExpertStore:
    return ExpertStore.init(tmp_path / "store")


@pytest.fixture
def make_bundle() -> Callable[[int], PolicyBundle]:
    def make(seed: int = 0) -> PolicyBundle:
        return to_bundle(build_module(SPEC, [seed]), 0)

    return make


@pytest.fixture
def make_fields() -> Callable[..., ManifestFields]:
    def make(**overrides: Any) -> ManifestFields:
        return ManifestFields(
            **{
                "family": "slicing-v1",
                "config": {"bandwidth_mhz": 40},
                "context": {"load": 0.8, "weights": [0.2, 0.8], "scheduler": "pf"},
                "features": (0.8, 0.2),
                "strategy": "scratch",
                "env_steps": 1000,
                "seed": 3,
                "scores": {"val": {"mean": 0.5, "low": 0.4, "high": 0.6, "seeds": [1], "episodes": 100}},
                **overrides,
            }
        )

    return make
