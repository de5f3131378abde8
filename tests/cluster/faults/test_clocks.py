"""Publishers whose clocks are a day apart: the same content is one entry, and no answer depends on the clocks."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from roamrl.algorithms.bundle import ModuleSpec, PolicyBundle
from roamrl.algorithms.population.modules.build import build_module, to_bundle
from roamrl.platform.store import ExpertStore, ManifestFields

MODULE = ModuleSpec("mlp", spaces.Box(-np.inf, np.inf, (3,), np.float32), spaces.Discrete(2), {"hidden": [4]})
TIES = (0.5, 0.5, 0.5)
TODAY = datetime(2026, 3, 1, 23, 59, 59, tzinfo=UTC)


def bundle(seed: int) -> PolicyBundle:
    return to_bundle(build_module(MODULE, [seed]), 0)


def fields(seed: int, feature: float = 0.5) -> ManifestFields:
    return ManifestFields(
        family="slicing-v1",
        config={},
        context={"load": feature},
        features=(feature,),
        strategy="scratch",
        env_steps=9,
        seed=seed,
    )


def clock(days: int) -> type[datetime]:
    """Return a clock that is so many days off."""

    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return TODAY + timedelta(days=days)

    return Clock


def publish_with_clocks(
    place: Path, monkeypatch: pytest.MonkeyPatch, days: Sequence[int], features: Sequence[float]
) -> ExpertStore:
    """Publish experts whose publishers' clocks are so many days off."""
    store = ExpertStore.init(place)
    for seed, (day, feature) in enumerate(zip(days, features, strict=True)):
        with monkeypatch.context() as there:
            there.setattr("roamrl.platform.store.publish.datetime", clock(day))
            store.publish(bundle(seed), fields(seed, feature))
    return store


def test_a_day_apart_the_same_content_is_one_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ExpertStore.init(tmp_path)
    ids = set()
    for day in (0, 1, -1):
        with monkeypatch.context() as there:
            there.setattr("roamrl.platform.store.publish.datetime", clock(day))
            ids.add(store.publish(bundle(1), fields(1)))
    assert len(ids) == 1
    again = ExpertStore.open(tmp_path)
    assert [entry.id for entry in again.ls()] == list(ids) and again.verify().ok


def answers_of(store: ExpertStore) -> tuple[Any, ...]:
    near = [(found.entry.id, found.distance) for found in store.nearest([0.5], "slicing-v1", k=3)]
    of_load = {entry.id for entry in store.find(context={"load": (0.4, 0.6)})}
    return near, of_load, {entry.id for entry in store.ls()}


@pytest.mark.parametrize("features", [(0.1, 0.45, 0.8), TIES])
def test_no_answer_depends_on_the_publishers_clocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, features: tuple[float, ...]
) -> None:
    """Two of three publishers live a day ahead or behind, in every arrangement, with and without a snapshot."""
    found = []
    for number, days in enumerate(itertools.permutations((-1, 0, 1))):
        store = publish_with_clocks(tmp_path / str(number), monkeypatch, days, features)
        found.append(answers_of(store))
        store.compact()
        found.append(answers_of(ExpertStore.open(tmp_path / str(number))))
    assert all(answers == found[0] for answers in found)
