"""What a reader makes of files that strangers, bad disks or other versions left in a store."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pickle
import struct
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import save

from roamrl.envs.canonical import canonical_json
from roamrl.platform.store import ExpertStore, Manifest, StoreError
from roamrl.platform.store.entry import decode_entry, encode_entry, manifest_id
from roamrl.platform.store.folder import FolderBackend
from roamrl.platform.store.layout import blob_key, entry_key, tombstone_key
from roamrl.platform.store.limits import Limits, read_json
from roamrl.platform.store.manifest import Blob, TensorSpec
from roamrl.platform.store.publish import stamp
from roamrl.platform.store.tensors import decode_tensors, encode_tensors

LIMITS = Limits()


class Trap:
    """Leaves a mark if anybody unpickles it."""

    def __reduce__(self):
        return (os.mkdir, (os.environ["ROAMRL_TRAP"],))


def test_what_the_plant_makes_is_readable_if_it_is_honest(store, honest, plant):
    assert store.get(plant(store, *honest)).bundle().spec.kind == "mlp"
    assert store.verify().ok


def test_a_flipped_bit_in_a_blob_is_found(store, make_bundle, make_fields):
    expert = store.get(store.publish(make_bundle(), make_fields()))
    path = Path(store.location) / blob_key(expert.manifest.blob.sha256)
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    with pytest.raises(StoreError, match="was changed after it was published"):
        expert.bundle()
    report = store.verify()
    assert not report.ok and "was changed" in report.problems[0].message


def test_a_missing_blob_is_named(store, make_bundle, make_fields):
    expert = store.get(store.publish(make_bundle(), make_fields()))
    (Path(store.location) / blob_key(expert.manifest.blob.sha256)).unlink()
    with pytest.raises(StoreError, match=r"weights .* are not in"):
        expert.bundle()
    assert len(store.verify().problems) == 1


def test_a_damaged_entry_is_a_problem_and_hides_nothing_else(store, make_bundle, make_fields):
    good, bad = (store.publish(make_bundle(seed), make_fields()) for seed in (1, 2))
    (path,) = Path(store.location).glob(f"entries/*/{bad}.json")
    path.write_bytes(path.read_bytes().replace(b'"seed":3', b'"seed":4'))
    fresh = ExpertStore.open(store.location)
    assert [entry.id for entry in fresh.ls()] == [good]
    (problem,) = fresh.problems
    assert bad in problem.key and "was changed" in problem.message
    assert [problem.key for problem in fresh.verify().problems] == [problem.key]
    with pytest.raises(StoreError, match="was changed after it was published"):
        fresh.get(bad)


def test_pickle_bytes_as_a_blob_are_refused_and_run_nothing(store, honest, tmp_path, monkeypatch, plant):
    monkeypatch.setenv("ROAMRL_TRAP", str(tmp_path / "sprung"))
    entry_id = plant(store, honest[0], pickle.dumps(Trap()))
    with pytest.raises(StoreError, match="no safetensors file"):
        store.get(entry_id).bundle()
    assert not store.verify().ok and not (tmp_path / "sprung").exists()


def test_nan_in_a_consistent_blob_is_refused_at_loading(store, honest, make_bundle, plant):
    arrays = {name: np.array(array) for name, array in make_bundle().arrays.items()}
    arrays["actor.head.bias"][0] = np.nan
    with pytest.raises(StoreError, match=r"NaN .* is refused"):
        store.get(plant(store, honest[0], save(arrays))).bundle()


def test_tensors_other_than_the_manifest_says_are_refused(store, honest, make_bundle, plant):
    arrays = dict(make_bundle().arrays)
    bias = arrays["actor.head.bias"]
    for changed in ({"actor.head.bias": bias.astype(np.float64)}, {"actor.head.bias": bias[None]}, {"more": bias}):
        with pytest.raises(StoreError, match="other tensors than its manifest says"):
            store.get(plant(store, honest[0], save({**arrays, **changed}))).bundle()


def test_an_unknown_module_kind_is_refused(store, honest, plant):
    manifest, blob = honest
    entry_id = plant(store, {**manifest, "module": {**manifest["module"], "kind": "subprocess.run"}}, blob)
    with pytest.raises(StoreError, match=r"unknown module kind 'subprocess.run'"):
        store.get(entry_id).bundle()


@pytest.mark.parametrize(
    "module", [{}, {"kind": "mlp"}, {"observation_space": {"type": "Discrete", "n": -1}}, {"action_space": 3}]
)
def test_a_module_spec_that_makes_no_sense_is_refused(store, honest, module, plant):
    manifest, blob = honest
    given_module = {**manifest["module"], **module} if len(module) == 1 and "kind" not in module else module
    with pytest.raises(StoreError, match="spec"):
        store.get(plant(store, {**manifest, "module": given_module}, blob)).bundle()


def test_absurd_shapes_are_refused_before_anything_is_allocated(store, honest, plant):
    manifest, blob = honest
    tensors = {**manifest["tensors"], "huge": {"shape": [2**40, 2**10], "dtype": "float64"}}
    with pytest.raises(StoreError, match=r"the tensors take \d+ bytes"):
        store.get(plant(store, {**manifest, "tensors": tensors}, blob)).bundle()


def test_a_header_that_claims_more_than_there_is_is_refused(honest):
    manifest, blob = honest
    for data in (b"", b"\0" * 7, struct.pack("<Q", 2**60) + blob[8:], struct.pack("<Q", len(blob)) + blob[8:]):
        known = Blob(sha256=hashlib.sha256(data).hexdigest(), size=len(data))
        specs = {name: TensorSpec(**spec) for name, spec in manifest["tensors"].items()}
        with pytest.raises(StoreError, match="no safetensors file"):
            decode_tensors(data, known, specs, LIMITS)


def test_a_huge_entry_is_refused_by_its_size(store):
    path = Path(store.location) / "entries" / "20250101" / ("a" * 64 + ".json")
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        file.truncate(100_000_000)
    assert store.ls() == []
    assert "100000000 bytes; at most 1000000" in store.problems[0].message


@pytest.mark.timeout(20)
def test_a_pipe_in_an_entrys_place_does_not_hang_a_reader(store):
    path = Path(store.location) / "entries" / "20250101" / ("a" * 64 + ".json")
    path.parent.mkdir(parents=True)
    os.mkfifo(path)
    assert store.ls() == []
    assert "not a plain file" in store.problems[0].message


@pytest.mark.parametrize("depth", [40, 5_000, 400_000])
def test_deep_json_is_refused(depth):
    for opening, closing in ((b"[", b"]"), (b'{"a":', b"}")):
        data = opening * depth + b"1" + closing * depth
        with pytest.raises(StoreError, match=r"levels deep|at most 1000000"):
            read_json(data, "a document", LIMITS)


def test_json_at_the_limit_of_depth_is_read():
    small = dataclasses.replace(LIMITS, json_depth=4)
    assert read_json(b'[[{"a":[1,"x"]}]]', "a document", small) == [[{"a": [1, "x"]}]]
    with pytest.raises(StoreError, match="4 levels"):
        read_json(b'[[{"a":[[]]}]]', "a document", small)


@pytest.mark.parametrize("text", ["NaN", "-Infinity", "1e999", "-" + "9" * 400, r'"\ud800"', "{", "\x00", "1 2"])
def test_what_canonical_json_cannot_hold_is_refused(text):
    with pytest.raises(StoreError, match="not the JSON it should be"):
        read_json(text.encode(), "a document", LIMITS)


@pytest.mark.parametrize(
    "name",
    ["../../etc/passwd", "..", "A" * 64, "a" * 63 + "\n", "a" * 65, "", "/", "a/b", "\0", "a" * 63, "é" * 64],
)
def test_ids_and_keys_that_lead_elsewhere_are_refused(store, name):
    with pytest.raises(StoreError):
        store.get(name)
    for key_of in (blob_key, tombstone_key):
        with pytest.raises(StoreError, match="64 hexadecimal digits"):
            key_of(name)
    backend = FolderBackend(Path(store.location))
    for key in ("../x", "entries/../../x", "/etc/passwd", "entries//x", ".hidden", "a\0b"):
        with pytest.raises(StoreError, match="cannot name an object"):
            backend.get(key, 10)


def test_files_of_other_names_among_the_entries_are_problems(store, make_bundle, make_fields):
    entry_id = store.publish(make_bundle(), make_fields())
    stray = Path(store.location) / "entries" / "notes.txt"
    stray.write_text("hello")
    fresh = ExpertStore.open(store.location)
    assert [entry.id for entry in fresh.ls()] == [entry_id]
    assert [problem.key for problem in fresh.problems] == ["entries/notes.txt"]


@pytest.fixture(scope="module")
def document() -> tuple[bytes, str]:
    manifest = Manifest(
        family="slicing-v1",
        config={"a": [1, 2.5, None, True]},
        context={"load": 0.8},
        strategy="scratch",
        env_steps=5,
        seed=1,
        module={"kind": "mlp"},
        tensors={"w": {"shape": [2], "dtype": "float32"}},
        blob={"sha256": "0" * 64, "size": 8},
    )
    content = manifest.to_bytes()
    return encode_entry(content, stamp("tester")), manifest_id(content)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_change_to_an_entrys_manifest_is_found(document, data):
    content, entry_id = document
    original = decode_entry(content, entry_id, LIMITS)
    at = data.draw(st.integers(0, len(content) - 1))
    kept = data.draw(st.integers(0, 3))
    changed = content[:at] + data.draw(st.binary(max_size=4)) + content[at + kept :]
    try:
        read = decode_entry(changed, entry_id, LIMITS)
    except StoreError:
        assert changed != content
    else:
        assert read.manifest == original.manifest  # the envelope alone is not hashed


@settings(max_examples=80, deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=8))
def test_whatever_is_read_has_a_canonical_form(value):
    try:
        read = read_json(json.dumps(value).encode(), "a document", LIMITS)
    except StoreError:
        return
    assert read_json(canonical_json(read), "a document", LIMITS) == read


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(
        st.text(min_size=1, max_size=20).filter(lambda name: name != "__metadata__"),
        hnp.arrays(
            st.one_of(
                hnp.floating_dtypes(endianness="<"), hnp.integer_dtypes(endianness="<"), hnp.boolean_dtypes()
            ).filter(lambda dtype: dtype.itemsize <= 8),
            hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
            elements={"allow_nan": False, "allow_infinity": False},
        ),
        min_size=1,
        max_size=4,
    )
)
def test_tensors_survive_whatever_their_names_dtypes_layout_and_order(arrays):
    data, specs = encode_tensors(arrays, LIMITS)
    backwards = {name: np.asfortranarray(arrays[name]) for name in reversed(arrays)}
    backwards = {name: array.reshape(arrays[name].shape) for name, array in backwards.items()}
    assert encode_tensors(backwards, LIMITS)[0] == data
    read = decode_tensors(data, Blob(sha256=hashlib.sha256(data).hexdigest(), size=len(data)), specs, LIMITS)
    assert set(read) == set(arrays)
    for name, array in arrays.items():
        assert read[name].dtype == array.dtype and read[name].shape == array.shape
        assert read[name].tobytes() == array.tobytes()


def test_the_day_in_a_key_is_the_publishers_and_in_utc():
    east = timezone(timedelta(hours=9))
    assert entry_key("a" * 64, datetime(2025, 3, 1, 5, 0, tzinfo=east)) == f"entries/20250228/{'a' * 64}.json"
