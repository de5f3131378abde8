"""Policies of known size, for the store's benchmark."""

from __future__ import annotations

import numpy as np
from gymnasium import spaces

from roamrl.algorithms.bundle import ModuleSpec, PolicyBundle
from roamrl.algorithms.population.modules.build import build_module, to_bundle
from roamrl.platform.store import ManifestFields

WIDTHS = {0: 170, 1: 344, 50: 2495}
"""Width of two hidden layers of actor and critic, by megabytes of weights; 0 stands for a quarter of one."""


def policy(megabytes: int) -> PolicyBundle:
    """Return a policy of so many megabytes of weights."""
    width = WIDTHS[megabytes]
    box = spaces.Box(-1, 1, (16,), np.float32)
    spec = ModuleSpec("mlp", box, spaces.Discrete(15), {"hidden": [width, width], "activation": "tanh"})
    return to_bundle(build_module(spec, [0]), 0)


def policy_fields(seed: int) -> ManifestFields:
    """Return what is said of such a policy."""
    return ManifestFields(
        family="slicing-v1",
        config={"bandwidth_mhz": 40},
        context={"load": 0.5},
        features=(0.5, 0.5),
        strategy="joint",
        env_steps=1000,
        seed=seed,
    )
