"""Finding experts: by conditions, by nearness, through snapshots or without."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roamrl.platform.store import Entry, ExpertStore, Manifest, StoreError
from roamrl.platform.store.index import index_row, index_table
from roamrl.platform.store.manifest import Envelope
from roamrl.platform.store.query import Query, nearest_rows

BLOB = {"sha256": "0" * 64, "size": 8}
SCORES = st.dictionaries(st.sampled_from(["val", "iid"]), st.sampled_from([0.1, 0.5, 0.9]), max_size=2)
CONTEXTS = st.fixed_dictionaries(
    {},
    optional={
        "load": st.sampled_from([0.5, 1, 1.5]),
        "scheduler": st.sampled_from(["pf", "rr"]),
        "weights": st.lists(st.sampled_from([0.25, 0.75]), min_size=2, max_size=2),
        "bursty": st.booleans(),
        "trace": st.none(),
    },
)
ENTRIES = st.lists(
    st.builds(
        lambda family, strategy, study, seed, scores, context: entry(
            family=family, strategy=strategy, study=study, seed=seed, context=context, scores=score_fields(scores)
        ),
        st.sampled_from(["slicing-v1", "mac-v1"]),
        st.sampled_from(["joint", "scratch"]),
        st.sampled_from([None, "quick"]),
        st.integers(0, 2),
        SCORES,
        CONTEXTS,
    ),
    max_size=12,
)


def score_fields(scores: dict[str, float]) -> dict[str, dict[str, float]]:
    return {split: {"mean": mean, "low": mean, "high": mean} for split, mean in scores.items()}


def entry(**fields) -> Entry:
    given = {"family": "slicing-v1", "config": {}, "strategy": "joint", "env_steps": 1, "seed": 0, **fields}
    manifest = Manifest(**given, module={}, tensors={}, blob=BLOB)
    return Entry("0" * 64, manifest, Envelope(published="2025-01-01", publisher="tester"))


def table_of(entries: list[Entry]):
    return index_table(index_row(one) for one in entries)


@settings(max_examples=60, deadline=None)
@given(
    ENTRIES,
    st.sampled_from([None, "slicing-v1", "mac-v1", "other"]),
    st.sampled_from([None, "quick"]),
    st.sampled_from([None, 0, 2]),
    st.sampled_from([None, ("val", 0.5), ("iid", 0.6), ("none", 0.0)]),
)
def test_conditions_mean_what_they_say(entries, family, study, seed, split_score):
    def fits(manifest: Manifest) -> bool:
        scored = split_score is None or (
            split_score[0] in manifest.scores and manifest.scores[split_score[0]].mean >= split_score[1]
        )
        return (
            scored
            and family in (None, manifest.family)
            and study in (None, manifest.study)
            and seed in (None, manifest.seed)
        )

    query = Query(family=family, study=study, seed=seed, split_score=split_score)
    assert query.mask(table_of(entries)).tolist() == [fits(one.manifest) for one in entries]


@settings(max_examples=60, deadline=None)
@given(
    ENTRIES,
    st.sampled_from(
        [
            ("load", 1),
            ("load", (0.6, 1.5)),
            ("scheduler", "pf"),
            ("weights.1", (0.5, 1.0)),
            ("bursty", True),
            ("load", "1"),
        ]
    ),
)
def test_context_conditions_mean_what_they_say(entries, condition):
    name, wanted = condition

    def value_of(manifest: Manifest):
        return manifest.context.get("weights", [None, None])[1] if name == "weights.1" else manifest.context.get(name)

    def fits(value) -> bool:
        if value is None or isinstance(value, str) or isinstance(wanted, str):
            return value is not None and value == wanted
        low, high = wanted if isinstance(wanted, tuple) else (wanted, wanted)
        return low <= value <= high

    values = [value_of(one.manifest) for one in entries]
    query = Query(context={name: wanted})
    if all(value is None for value in values) and any(index_row(one)["context_names"] for one in entries):
        with pytest.raises(StoreError, match=f"unknown context variable '{name}'"):
            query.mask(table_of(entries))
    else:
        assert query.mask(table_of(entries)).tolist() == [fits(value) for value in values]


def test_an_unknown_context_variable_names_the_nearest():
    with pytest.raises(StoreError, match="did you mean 'load'"):
        Query(context={"laod": 1.0}).mask(table_of([entry(context={"load": 1.0, "snr_db": 3.0})]))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=1, max_size=10), st.integers(1, 4))
def test_the_nearest_are_nearest(points, k):
    others = [entry(features=(1.0, 2.0, 3.0)), entry(features=())]
    table = table_of([*others, *(entry(features=point) for point in points)])
    found = nearest_rows(table, np.arange(table.num_rows), [0.3, 0.4], k)
    distances = [math.dist(point, (0.3, 0.4)) for point in points]
    assert [distance for _, distance in found] == pytest.approx(sorted(distances)[:k])
    assert [distances[row - 2] for row, _ in found] == pytest.approx([distance for _, distance in found])


def test_nearest_refuses_features_it_cannot_compare():
    table = table_of([entry(features=(1.0, 2.0))])
    rows = np.arange(1)
    for features, k in (([1.0], 1), ([np.nan, 1.0], 1), ([[1.0, 2.0]], 1), ([], 1), ([1.0, 2.0], 0)):
        with pytest.raises(StoreError, match=r"features|feature vector"):
            nearest_rows(table, rows, features, k)
    assert nearest_rows(table, rows[:0], [1.0], 1) == []


@pytest.fixture
def filled(store, make_bundle, make_fields) -> tuple[ExpertStore, Callable[[], dict]]:
    bundle = make_bundle()
    for number in range(6):
        store.publish(
            bundle,
            make_fields(
                seed=number,
                strategy=("joint", "scratch")[number % 2],
                features=(float(number), 0.0),
                context={"load": number / 10},
                config={"bandwidth_mhz": (40, 20)[number == 5]},
            ),
        )
    config_hash = store.find(seed=0)[0].manifest.config_hash

    def answers() -> dict:
        fresh = ExpertStore.open(store.location)
        near = fresh.nearest([3.2, 0.0], "slicing-v1", config_hash, k=3)
        return {
            "ls": [entry.id for entry in fresh.ls()],
            "seeds": [entry.manifest.seed for entry in fresh.ls()],
            "scratch": [entry.manifest.seed for entry in fresh.find(strategy="scratch", config_hash=config_hash)],
            "load": [entry.manifest.seed for entry in fresh.find(context={"load": (0.15, 0.45)})],
            "near": [(neighbour.entry.manifest.seed, round(neighbour.distance, 6)) for neighbour in near],
            "entries": fresh.ls(),
            "problems": fresh.problems,
        }

    return store, answers


def test_a_store_answers_alike_with_and_without_snapshots(filled, make_bundle, make_fields):
    store, answers = filled
    before = answers()
    assert before["seeds"] == [0, 1, 2, 3, 4, 5]
    assert before["scratch"] == [1, 3] and before["load"] == [2, 3, 4]
    assert before["near"] == [(3, 0.2), (4, 0.8), (2, 1.2)]
    assert store.compact() is not None
    assert answers() == before
    late = store.publish(make_bundle(), make_fields(seed=9, context={"load": 0.2}))
    after = answers()
    assert after["ls"] == [*before["ls"], late] and after["load"] == [2, 3, 4, 9]
    store.compact()
    assert answers() == after


def test_readers_of_a_snapshot_open_no_entry_in_it(filled, make_bundle, make_fields, monkeypatch):
    store, _ = filled
    store.compact()
    late = store.publish(make_bundle(), make_fields(seed=9))
    fresh = ExpertStore.open(store.location)
    opened = []
    get = fresh._backend.get
    monkeypatch.setattr(fresh._backend, "get", lambda key, most: opened.append(key) or get(key, most))
    assert len(fresh.ls()) == 7
    assert [key.split("/")[-1] for key in opened if key.startswith("entries/")] == [f"{late}.json"]


def test_what_others_publish_is_seen_after_a_refresh(store, make_bundle, make_fields):
    reader = ExpertStore.open(store.location)
    assert reader.ls() == []
    entry_id = store.publish(make_bundle(), make_fields())
    assert reader.ls() == []
    reader.refresh()
    assert [entry.id for entry in reader.ls()] == [entry_id]
    assert [entry.id for entry in store.ls()] == [entry_id]


def test_experts_are_had_by_id_by_its_beginning_and_never_by_chance(store, make_bundle, make_fields):
    reader = ExpertStore.open(store.location)
    with pytest.raises(StoreError, match=r"no expert .* has the id abcd"):
        reader.get("abcd")
    ids = [store.publish(make_bundle(), make_fields(seed=seed)) for seed in range(3)]
    for entry_id in ids:
        assert reader.get(entry_id).id == reader.get(entry_id[:12]).id == entry_id


def test_a_beginning_that_several_ids_share_is_refused(store, make_bundle, make_fields, monkeypatch):
    ids = [store.publish(make_bundle(), make_fields(seed=seed)) for seed in range(3)]
    store.refresh()
    monkeypatch.setattr(store._catalogue, "starting_with", lambda start: ids[:2])
    with pytest.raises(StoreError, match=rf"2 experts begin with abcd \({ids[0][:16]}, {ids[1][:16]}\); give more"):
        store.get("abcd")
