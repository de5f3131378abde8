"""Configs, contexts and features of mac-v1: what is refused and why, what depends on what."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from roamrl.envs.errors import InputError
from roamrl.envs.family import get_family
from roamrl.envs.mac import MAC


def test_the_family_is_found_by_its_entry_point() -> None:
    assert get_family("mac-v1") is MAC


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"n_macs": 4}, "did you mean 'n_max'"),
        ({"n_max": 0}, "n_max: a number from 1"),
        ({"history": 2.5}, "whole number"),
        ({"others_d2lt": "lost"}, "did you mean 'last'"),
        ({"fairness": 1.5}, "from 0 to 1"),
        ({"episode_slots": 3_000_000}, "from 1 to 2e"),
    ],
)
def test_a_config_that_cannot_be_is_refused(config: dict[str, Any], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        MAC.config(config)


@pytest.mark.parametrize(
    ("context", "reason"),
    [
        ({"station": 4}, "did you mean 'stations'"),
        ({"stations": 41}, "raise n_max"),
        ({"stations": 0}, "from 1 to 40"),
        ({"arrival": "possion"}, "did you mean 'poisson'"),
        ({"load": 0.0}, "from 0.01"),
        ({"packet_slots": 10.5}, "whole number"),
        ({"dynamic": 5}, "a map of slots"),
        ({"dynamic": {"slots": [5], "mean_gap": 9, "stations": [3]}}, "either slots"),
        ({"dynamic": {"slots": [5, 4], "stations": [3, 4]}}, "in order of time"),
        ({"dynamic": {"slots": [5], "stations": [3, 4]}}, "one slot for each of 2 jumps"),
        ({"dynamic": {"slots": [20_000], "stations": [3]}}, "from 1 to 19999"),
        ({"dynamic": {"slots": [5], "stations": [41]}}, "raise n_max"),
        ({"dynamic": {"mean_gap": 100, "stations": [3]}}, "at least two"),
        ({"dynamic": {"mean_gaps": 100, "stations": [3, 4]}}, "did you mean 'mean_gap'"),
    ],
)
def test_a_context_value_that_cannot_be_is_refused(context: dict[str, Any], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        MAC.task(context)


def test_spaces_and_steps_follow_the_config() -> None:
    config = MAC.config({"n_max": 8, "history": 4, "episode_slots": 500})
    observation, action = MAC.spaces(config)
    assert observation.shape == (8, 22) and isinstance(action, spaces.MultiBinary) and action.n == 8
    assert MAC.episode_steps(config) == 500


def test_ranges_hold_what_fits_into_n_max() -> None:
    space = MAC.context_space(MAC.config({"n_max": 6}))
    drawn = {space.sample(np.random.default_rng(seed))["stations"] for seed in range(40)}
    assert drawn == {2, 4, 6} and space["stations"].ood is None
    assert MAC.task(config={"n_max": 3}).context["stations"] == 3
    with pytest.raises(InputError, match="no out-of-distribution"):
        MAC.sample(1, 0, config={"n_max": 8}, outside=["stations"])


def test_number_of_stations_and_load_are_hidden() -> None:
    space = MAC.context_space(MAC.config())
    seen = {name: space[name].visibility for name in space.names}
    assert {seen[name] for name in ("stations", "load", "arrival", "dynamic")} == {"hidden"}
    assert seen["packet_slots"] == "inferable"


def test_features_tell_contexts_apart_but_not_the_loads_of_saturated_cells() -> None:
    contexts: list[dict[str, Any]] = [{}, {"load": 1.3}, {"stations": 40}, {"arrival": "bursts"}, {"packet_slots": 40}]
    contexts += [{"arrival": "saturated"}, {"dynamic": {"mean_gap": 500, "stations": [2, 8]}}]
    features = np.array([MAC.features(MAC.task(context)) for context in contexts])
    distance = np.linalg.norm(features[:, None] - features[None], axis=2)
    assert (distance[~np.eye(len(contexts), dtype=bool)] > 0.1).all() and np.abs(features).max() < 3
    full = [MAC.features(MAC.task({"arrival": "saturated", "load": load})) for load in (0.4, 1.2)]
    assert np.array_equal(*full)
