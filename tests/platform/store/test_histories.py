"""Publications, retractions, tags, snapshots and collections in any order, against a model that is a few sets."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from roamrl.algorithms.bundle import ModuleSpec
from roamrl.algorithms.population.modules.build import build_module, to_bundle
from roamrl.platform.store import ExpertStore, ManifestFields, StoreError
from roamrl.platform.store.garbage import Collector
from roamrl.platform.store.layout import blob_key
from roamrl.platform.store.limits import Limits

SPEC = ModuleSpec("mlp", spaces.Box(-1, 1, (2,), np.float32), spaces.Discrete(2), {"hidden": [2]})
BUNDLES = [to_bundle(build_module(SPEC, [seed]), 0) for seed in range(2)]
CONTENTS = st.tuples(st.integers(0, 1), st.integers(0, 2))
TAGS = st.sampled_from(["deployed", "stable"])


class Later(Collector):
    """A collector to which everything is older than the grace period."""

    def __init__(self, store: ExpertStore) -> None:
        super().__init__(store._backend, Limits(), -3600.0)


class Histories(RuleBasedStateMachine):
    """Two users of one store, and what it must hold."""

    where: Callable[[], str]

    @initialize()
    def open(self) -> None:
        place = self.where()
        self.stores = [ExpertStore.init(place), ExpertStore.open(place)]
        self.published: dict[str, tuple[int, int]] = {}
        self.retracted: set[str] = set()
        self.named: dict[str, str] = {}

    @property
    def shown(self) -> set[str]:
        return set(self.published) - self.retracted

    @rule(content=CONTENTS, user=st.integers(0, 1))
    def publish(self, content: tuple[int, int], user: int) -> None:
        known = next((entry_id for entry_id, of in self.published.items() if of == content), None)
        weights, seed = content
        fields = ManifestFields(
            family="slicing-v1", config={}, strategy="joint", env_steps=1, seed=seed, features=(seed,)
        )
        if known in self.retracted:
            with pytest.raises(StoreError, match="stays so"):
                self.stores[user].publish(BUNDLES[weights], fields)
            return
        entry_id = self.stores[user].publish(BUNDLES[weights], fields)
        assert known in (None, entry_id)
        self.published[entry_id] = content

    @precondition(lambda self: self.shown)
    @rule(data=st.data(), user=st.integers(0, 1))
    def retract(self, data: st.DataObject, user: int) -> None:
        entry_id = data.draw(st.sampled_from(sorted(self.shown)))
        self.stores[user].retract(entry_id, "told by the test")
        self.retracted.add(entry_id)

    @precondition(lambda self: self.shown)
    @rule(data=st.data(), name=TAGS, user=st.integers(0, 1))
    def tag(self, data: st.DataObject, name: str, user: int) -> None:
        entry_id = data.draw(st.sampled_from(sorted(self.shown)))
        self.stores[user].tag(name, entry_id)
        self.named[name] = entry_id

    @rule(user=st.integers(0, 1))
    def compact(self, user: int) -> None:
        assert (self.stores[user].compact() is None) == (not self.published)

    @rule(user=st.integers(0, 1), late=st.booleans())
    def collect(self, user: int, late: bool) -> None:
        store = self.stores[user]
        if late:
            Later(store).run()
            left = {BUNDLES[self.published[entry_id][0]] is BUNDLES[0] for entry_id in self.shown}
            assert len(store._backend.list("blobs/")) == len(left)
        else:
            assert store.gc().blobs == 0

    @invariant()
    def the_store_holds_what_the_model_says(self) -> None:
        if not hasattr(self, "stores"):
            return
        for store in self.stores:
            store.refresh()
            entries = store.ls()
            assert {entry.id for entry in entries} == self.shown and not store.problems
            assert store.tags() == self.named
            for entry in entries:
                assert store._backend.size(blob_key(entry.manifest.blob.sha256)) == entry.manifest.blob.size
        for name, entry_id in self.named.items():
            if entry_id in self.shown:
                assert self.stores[0].get(name).bundle().arrays.keys() == BUNDLES[0].arrays.keys()

    def teardown(self) -> None:
        if hasattr(self, "stores"):
            report = self.stores[0].verify()
            dangling = {name for name, entry_id in self.named.items() if entry_id in self.retracted}
            assert {problem.key for problem in report.problems} == {f"tags/{name}" for name in dangling}


@pytest.mark.parametrize(
    ("place", "examples", "steps"), [("folder", 20, 15), ("moto_server", 6, 12)], indirect=["place"]
)
def test_any_history_leaves_what_the_model_says(place, examples, steps, tmp_path: Path):
    base = place if "://" in place else str(tmp_path)
    machine = type("HereHistories", (Histories,), {"where": lambda self: f"{base}/{uuid.uuid4().hex}"})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )
