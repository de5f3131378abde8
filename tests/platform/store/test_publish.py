"""Publishing, and getting back what was published."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import rfc8785
from gymnasium import spaces

from roamrl.algorithms.bundle import ModuleSpec, PolicyBundle
from roamrl.algorithms.population.acting import StackedPolicy
from roamrl.envs.task import Task
from roamrl.platform.store import ExpertStore, StoreError
from roamrl.platform.store.limits import Limits


def files(store: ExpertStore, folder: str) -> list[Path]:
    return sorted(path for path in (Path(store.location) / folder).rglob("*") if path.is_file())


def test_the_weights_come_back_bit_for_bit(store, make_bundle, make_fields):
    bundle = make_bundle(7)
    expert = ExpertStore.open(store.location).get(store.publish(bundle, make_fields()))
    loaded = expert.bundle()
    assert loaded.spec.to_json() == bundle.spec.to_json()
    assert set(loaded.arrays) == set(bundle.arrays)
    for name, array in bundle.arrays.items():
        assert loaded.arrays[name].dtype == array.dtype and loaded.arrays[name].tobytes() == array.tobytes()


def test_the_id_is_the_sha256_of_the_manifest_in_canonical_json(store, make_bundle, make_fields):
    entry_id = store.publish(make_bundle(), make_fields())
    (path,) = files(store, "entries")
    assert path.stem == entry_id
    document = json.loads(path.read_bytes())
    assert hashlib.sha256(rfc8785.dumps(document["manifest"])).hexdigest() == entry_id
    assert path.read_bytes() == rfc8785.dumps(document)
    (blob,) = files(store, "blobs")
    assert blob.name == document["manifest"]["blob"]["sha256"] == hashlib.sha256(blob.read_bytes()).hexdigest()
    assert blob.parent.name == blob.name[:2] and blob.stat().st_size == document["manifest"]["blob"]["size"]


def test_the_same_content_twice_is_one_entry_and_other_content_another(store, make_bundle, make_fields):
    first = store.publish(make_bundle(1), make_fields(), publisher="one")
    assert store.publish(make_bundle(1), make_fields(), publisher="two") == first
    other_weights = store.publish(make_bundle(2), make_fields())
    other_words = store.publish(make_bundle(1), make_fields(strategy="joint"))
    assert len({first, other_weights, other_words}) == 3
    assert len(files(store, "entries")) == 3 and len(files(store, "blobs")) == 2
    assert store.get(first).entry.envelope.publisher == "one"


def test_an_expert_acts_as_the_policy_that_was_published(store, make_bundle, make_fields):
    bundle = make_bundle(4)
    expert = store.get(store.publish(bundle, make_fields()))
    obs = np.random.default_rng(0).normal(size=(50, 5)).astype(np.float32)
    expected = StackedPolicy([bundle]).act(obs[None])[0]
    assert len(set(expected.tolist())) > 1
    np.testing.assert_array_equal(expert.act(obs), expected)
    assert [int(expert.act(row)) for row in obs] == expected.tolist()
    assert expert.act(np.zeros((0, 5))).shape == (0,)
    drawn = expert.act(obs, greedy=False, rng=np.random.default_rng(1))
    np.testing.assert_array_equal(drawn, expert.act(obs, greedy=False, rng=np.random.default_rng(1)))
    assert (drawn != expected).any()


def test_the_ready_module_has_the_published_weights(store, make_bundle, make_fields):
    bundle = make_bundle(4)
    expert = store.get(store.publish(bundle, make_fields()))
    state = expert.policy().member_state(0)
    for name, array in bundle.arrays.items():
        np.testing.assert_array_equal(state[name], array)
    assert expert.policy() is not expert.policy()


def test_loaded_policies_stack_with_fresh_ones(store, make_bundle, make_fields):
    fresh = make_bundle(1)
    spec = ModuleSpec("mlp", fresh.spec.observation_space, fresh.spec.action_space, {"hidden": (8,), "normalise": True})
    fresh = PolicyBundle(spec, fresh.arrays)
    loaded = store.get(store.publish(fresh, make_fields())).bundle()
    obs = np.random.default_rng(0).normal(size=(2, 9, 5)).astype(np.float32)
    both = StackedPolicy([fresh, loaded]).act(np.stack([obs[0], obs[0]]))
    np.testing.assert_array_equal(both[0], both[1])


@pytest.mark.parametrize("obs", [np.zeros(4), np.zeros((2, 6)), np.zeros((1, 2, 5)), np.full(5, np.nan), np.float32(1)])
def test_observations_of_another_shape_or_with_nan_are_refused(store, make_bundle, make_fields, obs):
    expert = store.get(store.publish(make_bundle(), make_fields()))
    with pytest.raises(StoreError, match=r"observ"):
        expert.act(obs)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_refused_and_leave_no_trace(store, make_bundle, make_fields, bad):
    bundle = make_bundle()
    arrays = {name: np.array(array) for name, array in bundle.arrays.items()}
    arrays["actor.head.bias"][1] = bad
    with pytest.raises(StoreError, match=r"'actor.head.bias' holds NaN or an infinity"):
        store.publish(PolicyBundle(bundle.spec, arrays), make_fields())
    assert not files(store, "blobs") and not files(store, "entries")


def test_weights_that_do_not_fit_the_module_are_refused(store, make_bundle, make_fields):
    bundle = make_bundle()
    name = "actor.head.bias"
    without = {key: array for key, array in bundle.arrays.items() if key != name}
    for arrays in (
        without,
        {**bundle.arrays, "stray": np.zeros(1)},
        {**bundle.arrays, name: np.zeros(4, np.float32)},
        {**bundle.arrays, name: bundle.arrays[name].astype(np.float64)},
    ):
        with pytest.raises(StoreError, match="does not load"):
            store.publish(PolicyBundle(bundle.spec, arrays), make_fields())
    assert store.ls() == []


def test_module_kinds_and_dtypes_beyond_the_lists_are_refused(store, make_bundle, make_fields):
    bundle = make_bundle()
    spec = bundle.spec
    stranger = ModuleSpec("os.system", spec.observation_space, spec.action_space, spec.model)
    with pytest.raises(StoreError, match=r"unknown module kind 'os.system'.*known: .*mlp"):
        store.publish(PolicyBundle(stranger, bundle.arrays), make_fields())
    textual = ModuleSpec("mlp", spaces.Text(5), spec.action_space, spec.model)
    with pytest.raises(ValueError, match="space"):
        store.publish(PolicyBundle(textual, bundle.arrays), make_fields())
    for array in (np.array([object()]), np.array(["text"]), np.zeros(2, np.complex64)):
        with pytest.raises(StoreError, match=r"dtype .*the store takes float16"):
            store.publish(PolicyBundle(spec, {**bundle.arrays, "x": array}), make_fields())


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (Limits(tensors=3), "1 to 3 tensors"),
        (Limits(blob_bytes=50), "at most 50"),
        (Limits(tensor_dims=1), "dimensions; at most 1"),
        (Limits(manifest_bytes=600), "at most 600 are accepted"),
        (Limits(json_depth=3), "more than 3 levels"),
    ],
)
def test_limits_hold_at_publishing(tmp_path, make_bundle, make_fields, limits, words):
    ExpertStore.init(tmp_path / "s")
    store = ExpertStore.open(tmp_path / "s", limits)
    with pytest.raises(StoreError, match=words):
        store.publish(make_bundle(), make_fields())
    assert not files(store, "entries")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"strateggy": "joint"}, "did you mean 'strategy'"),
        ({"seed": 2**53}, "seed"),
        ({"env_steps": -1}, "env_steps"),
        ({"features": [float("nan")]}, "features.0"),
        ({"context": {"load": float("nan")}}, "NaN|finite"),
        ({"context": {"load": object()}}, "no JSON form"),
        ({"parents": ["abc"]}, "parents.0"),
        ({"scores": {"val": {"mean": 0.5, "low": 0.7, "high": 0.6}}}, "low end"),
        ({"scores": {"val": {"mean": 0.5, "low": 0.4, "high": 0.6, "median": 1}}}, "scores.val.median"),
        ({"tasks": [{"family": "slicing-v1", "config": {}, "context": {}}]}, "another family or config"),
        ({"tasks": [{"family": "slicing-v1"}]}, "give family, config and context"),
        ({"notes": {"text": "\ud800"}}, "manifest"),
    ],
)
def test_fields_that_make_no_sense_are_named(store, make_bundle, make_fields, change, words):
    fields = {**make_fields().model_dump(), **change}
    with pytest.raises(StoreError, match=words):
        store.publish(make_bundle(), fields)
    assert store.ls() == []


def test_tasks_are_kept_in_full(store, make_bundle, make_fields):
    task = Task("slicing-v1", {"bandwidth_mhz": 40}, {"load": 0.8, "kinds": ("video", "xr")})
    fields = make_fields(tasks=(task,))
    manifest = store.get(store.publish(make_bundle(), fields)).manifest
    assert manifest.task_list() == [task]
    assert manifest.config_hash == task.config_hash


def test_a_store_that_cannot_be_written_is_a_typed_error(store, make_bundle, make_fields):
    (Path(store.location) / "blobs").write_text("in the way")
    with pytest.raises(StoreError, match="cannot write"):
        store.publish(make_bundle(), make_fields())
    assert store.ls() == []


def test_a_full_disk_leaves_neither_an_entry_nor_temporary_files(store, make_bundle, make_fields, monkeypatch):
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    bundle, fields = make_bundle(), make_fields()
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="No space left on device"):
        store.publish(bundle, fields)
    assert [path.name for path in files(store, ".")] == ["store.json"]
    monkeypatch.undo()
    assert store.get(store.publish(bundle, fields)).bundle().spec.kind == "mlp"


def test_stores_and_experts_travel_between_processes(store, make_bundle, make_fields):
    expert = store.get(store.publish(make_bundle(), make_fields()))
    obs = np.ones((4, 5))
    action = expert.act(obs)
    far = pickle.loads(pickle.dumps(expert))
    assert far.entry == expert.entry and "_stacked" not in far.__dict__
    np.testing.assert_array_equal(far.act(obs), action)
    assert [entry.id for entry in pickle.loads(pickle.dumps(store)).ls()] == [expert.id]


def test_publishing_again_mends_a_damaged_entry_and_leaves_a_sound_one(store, make_bundle, make_fields):
    entry_id = store.publish(make_bundle(), make_fields(), publisher="one")
    (path,) = files(store, "entries")
    sound = path.read_bytes()
    for damaged in (sound[:-40], sound + b"}", b""):
        path.write_bytes(damaged)
        assert store.publish(make_bundle(), make_fields(), publisher="two") == entry_id
        assert store.verify().ok and store.get(entry_id).entry.envelope.publisher == "two"
    path.write_bytes(sound)
    store.publish(make_bundle(), make_fields(), publisher="two")
    assert path.read_bytes() == sound


def test_an_entry_is_not_written_over_where_creation_ignores_conditions(store, make_bundle, make_fields):
    backend = store._backend
    store.publish(make_bundle(), make_fields(), publisher="one")
    (path,) = files(store, "entries")
    sound = path.read_bytes()
    backend.put_if_absent = lambda key, data: backend.put(key, data) or True
    store.publish(make_bundle(), make_fields(), publisher="two")
    assert path.read_bytes() == sound
