"""The tasks on which an expert is evaluated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from gymnasium import spaces

from roamrl.algorithms.bundle import ModuleSpec
from roamrl.algorithms.population.modules.build import build_module, to_bundle
from roamrl.envs.errors import InputError
from roamrl.envs.family import get_family
from roamrl.platform.cli.experts import _tasks
from roamrl.platform.store import ExpertStore, ManifestFields
from roamrl.platform.store.manifest import Manifest

SPEC = ModuleSpec("mlp", spaces.Box(-np.inf, np.inf, (5,), np.float32), spaces.Discrete(3), {"hidden": [8]})


def published(place: Path, config: dict[str, object]) -> Manifest:
    """The manifest of an expert whose family's config is given in part."""
    store = ExpertStore.init(str(place))
    fields = ManifestFields(family="slicing-v1", config=config, strategy="joint", env_steps=1, seed=0)
    return store.get(store.publish(to_bundle(build_module(SPEC, [0]), 0), fields)).manifest


def test_what_a_manifest_does_not_say_of_the_config_is_the_familys_default(tmp_path: Path) -> None:
    family = get_family("slicing-v1")
    tasks, names = _tasks(published(tmp_path, {}), "val", None, ())
    assert tasks == list(family.splits(family.config())["val"]) and names[0] == "val-0"
    hidden = published(tmp_path / "hidden", {"variant": "hidden-sla"})
    assert _tasks(hidden, "val", None, ())[0] == list(family.splits(family.config({"variant": "hidden-sla"}))["val"])


def test_a_config_of_another_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="numerology"):
        _tasks(published(tmp_path, {"numerology": 3}), "val", None, ())
