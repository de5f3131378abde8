"""Evaluation of a policy of sets where cells have room for another number of entities."""

from __future__ import annotations

import numpy as np
import pytest

from roamrl.algorithms.bundle import ModuleSpec, PolicyBundle
from roamrl.algorithms.population.modules.build import build_module, to_bundle
from roamrl.envs.errors import InputError
from roamrl.envs.mac import MAC
from roamrl.envs.task import Task
from roamrl.platform.evaluation.evaluate import evaluate_bundles

CONFIG = {"history": 2, "episode_slots": 200}


def task(entities: int, **config: int) -> Task:
    return MAC.task({"stations": 3}, {**CONFIG, "n_max": entities, **config})


def policy(entities: int) -> PolicyBundle:
    observation, action = MAC.spaces(dict(task(entities).config))
    spec = ModuleSpec("entity", observation, action, {"hidden": [8], "interaction": "deepsets"})
    return to_bundle(build_module(spec, [3]), 0)


@pytest.mark.parametrize(("trained", "met"), [(4, 9), (9, 4)])
def test_it_plays_the_same_episodes_in_cells_with_other_room(trained: int, met: int) -> None:
    found = [
        evaluate_bundles([policy(trained)], [task(entities)], episodes=5, seed=2).returns for entities in (trained, met)
    ]
    np.testing.assert_array_equal(*found)
    assert found[0].any()


def test_another_observation_of_a_station_is_refused() -> None:
    with pytest.raises(InputError, match="number of entities apart"):
        evaluate_bundles([policy(4)], [task(4, history=3)], episodes=1, seed=2)
