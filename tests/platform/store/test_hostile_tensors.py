"""What a reader makes of weights that lie: about their place, their size, the module that they belong to."""

from __future__ import annotations

import hashlib
import json
import pickle
import struct
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from safetensors.numpy import save

from roamrl.algorithms.bundle import ModuleSpec
from roamrl.algorithms.extras import Extras
from roamrl.algorithms.feedback import with_feedback
from roamrl.algorithms.population.modules.build import MODULE_KINDS, build_module, to_bundle
from roamrl.platform.store import ExpertStore, StoreError
from roamrl.platform.store.limits import Limits
from roamrl.platform.store.manifest import Blob, TensorSpec
from roamrl.platform.store.tensors import check_specs, decode_tensors

LIMITS = Limits()
IN_A_BUCKET = pytest.mark.parametrize("place", ["moto_server"], indirect=True)
BODY = {"hidden": [8, 6]}
FLAT, CHOICE = spaces.Box(-1.0, 1.0, (5,), np.float32), spaces.Discrete(3)
SPECS = {
    "mlp": ModuleSpec("mlp", FLAT, CHOICE, BODY),
    "mlp_rates": ModuleSpec("mlp_rates", FLAT, CHOICE, BODY),
    "multihead": ModuleSpec("multihead", FLAT, CHOICE, {**BODY, "tasks": 3}, Extras("number")),
    "conditioned": ModuleSpec("conditioned", FLAT, CHOICE, {**BODY, "tasks": 3, "code": "one-hot"}, Extras("number")),
    "entity": ModuleSpec("entity", spaces.Box(0.0, 1.0, (4, 3), np.float32), spaces.MultiBinary(4), BODY),
    "gru": ModuleSpec("gru", FLAT, CHOICE, {**BODY, "memory": 4}),
    "latent": with_feedback(
        ModuleSpec("latent", FLAT, CHOICE, {**BODY, "latent": 2, "encoder": [9]}), noise=2, trial_episodes=2
    ),
    "q": ModuleSpec("q", FLAT, CHOICE, BODY),
}


def tensor(shape: list[Any], start: int, end: int, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


def blob_of(header: Any, body: bytes) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


HEADERS = {
    "overlapping": ({"a": tensor([4], 0, 16), "b": tensor([4], 0, 16)}, 16),
    "overlapping in part": ({"a": tensor([4], 0, 16), "b": tensor([4], 8, 24)}, 24),
    "with a gap": ({"a": tensor([4], 0, 16), "b": tensor([4], 20, 36)}, 36),
    "beyond the end": ({"a": tensor([4], 0, 16), "b": tensor([4], 16, 32)}, 20),
    "before the beginning": ({"a": tensor([4], -16, 0), "b": tensor([4], 0, 16)}, 32),
    "backwards": ({"a": tensor([4], 16, 0), "b": tensor([4], 16, 32)}, 32),
    "more bytes than numbers": ({"a": tensor([4], 0, 16), "b": tensor([4], 16, 36)}, 36),
    "bytes that belong to none": ({"a": tensor([4], 0, 16), "b": tensor([4], 16, 32)}, 40),
    "offsets beyond 64 bits": ({"a": tensor([4], 0, 16), "b": tensor([4], 16, 2**70)}, 32),
    "fractional shape": ({"a": tensor([4], 0, 16), "b": tensor([4.0], 16, 32)}, 32),
    "logical shape": ({"a": tensor([4], 0, 16), "b": tensor([4, True], 16, 32)}, 32),
    "no offsets": ({"a": tensor([4], 0, 16), "b": {"dtype": "F32", "shape": [4]}}, 32),
    "of another type": ({"a": tensor([4], 0, 16), "b": tensor([4], 16, 32, "I32")}, 32),
    "of an unknown type": ({"a": tensor([4], 0, 16), "b": tensor([4], 16, 32, "F33")}, 32),
    "with metadata": ({"__metadata__": {"x": "y"}, "a": tensor([4], 0, 16), "b": tensor([4], 16, 32)}, 32),
    "twice": (b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},"b":{"dtype":"F32","shape":[4],'
              b'"data_offsets":[0,16]},"b":{"dtype":"F32","shape":[4],"data_offsets":[16,32]}}', 32),
    "deep": (b'{"a":' * 2000 + b"1" + b"}" * 2000, 0),
    "no map": (b"[1]", 0),
    "no text": (b"\xff\xfe", 0),
}  # fmt: skip


@pytest.mark.parametrize("lie", HEADERS)
def test_a_header_that_lies_is_refused(lie):
    header, body = HEADERS[lie]
    data = blob_of(header, bytes(body))
    specs = {name: TensorSpec(shape=(4,), dtype="float32") for name in "ab"}
    with pytest.raises(StoreError, match=r"safetensors|other tensors|not the JSON|nested"):
        decode_tensors(data, Blob(sha256=hashlib.sha256(data).hexdigest(), size=len(data)), specs, LIMITS)


def test_a_header_that_tells_the_truth_is_read():
    data = blob_of({"a": tensor([4], 0, 16), "b": tensor([4], 16, 32)}, np.arange(8, dtype="<f4").tobytes())
    specs = {name: TensorSpec(shape=(4,), dtype="float32") for name in "ab"}
    read = decode_tensors(data, Blob(sha256=hashlib.sha256(data).hexdigest(), size=len(data)), specs, LIMITS)
    assert read["b"].tolist() == [4, 5, 6, 7]


@pytest.mark.parametrize(
    "shape",
    [
        *([2**53 - 1] * 8, [2**32, 2**32], [2**28 + 1], [0, 2**40, 2**40], [2**40, 0, 2**40]),
        *([2**40, 2**40, 0], [0, 2**31, 2**31], [1] * 9),
    ],
    ids=str,
)
def test_shapes_that_overflow_or_fill_the_memory_are_refused(shape, store, honest, plant):
    manifest, _ = honest
    with pytest.raises(StoreError, match=r"the tensors take \d+ bytes|dimensions"):
        check_specs({"a": TensorSpec(shape=tuple(shape), dtype="float32")}, LIMITS)
    data = blob_of({"a": tensor(shape, 0, 0)}, b"")
    entry_id = plant(store, {**manifest, "tensors": {"a": {"shape": shape, "dtype": "float32"}}}, data)
    with pytest.raises(StoreError):
        store.get(entry_id).bundle()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_numbers_that_are_not_finite_are_refused(value, dtype):
    data = save({"a": np.array([0.0, value], dtype)})
    specs = {"a": TensorSpec(shape=(2,), dtype=np.dtype(dtype).name)}
    with pytest.raises(StoreError, match="NaN or an infinity: the policy is refused"):
        decode_tensors(data, Blob(sha256=hashlib.sha256(data).hexdigest(), size=len(data)), specs, LIMITS)


@pytest.mark.parametrize("kind", sorted(MODULE_KINDS))
def test_policies_of_every_kind_come_back(store, make_fields, kind):
    bundle = to_bundle(build_module(SPECS[kind], [0]), 0)
    read = ExpertStore.open(store.location).get(store.publish(bundle, make_fields())).bundle()
    assert read.spec.to_json() == bundle.spec.to_json()
    assert all(np.array_equal(read.arrays[name], bundle.arrays[name]) for name in bundle.arrays)


@pytest.mark.parametrize("kind", sorted(MODULE_KINDS))
def test_a_module_larger_than_its_weights_is_refused_before_it_is_built(store, make_fields, plant, kind, monkeypatch):
    from roamrl.platform.store.bundle import encode_bundle

    bundle = to_bundle(build_module(SPECS[kind], [0]), 0)
    manifest, blob = encode_bundle(bundle, make_fields(), LIMITS)
    value = manifest.model_dump(mode="json")
    huge = {**value["module"], "model": {**value["module"]["model"], "hidden": [4096] * 8}}
    entry_id = plant(store, {**value, "module": huge}, blob)
    taken = []
    zeros = torch.zeros
    monkeypatch.setattr(torch, "zeros", lambda *a, **k: taken.append(found := zeros(*a, **k)) or found)
    with pytest.raises(StoreError, match=r"spec asks for \d{9} numbers"):
        store.get(entry_id).bundle()
    assert sum(each.numel() for each in taken if each.device.type != "meta") < 1000


@pytest.mark.parametrize(
    "change",
    [
        {"hidden": [2**52]},
        {"hidden": [True]},
        {"hidden": "8"},
        {"hidden": 8},
        {"hidden": [8.5]},
        {"hidden": []},
        {"hidden": [8], "code": "import os"},
        {"hidden": {"a": 1}},
    ],
    ids=str,
)
def test_settings_that_make_no_module_are_refused(store, honest, plant, change):
    manifest, blob = honest
    entry_id = plant(store, {**manifest, "module": {**manifest["module"], "model": change}}, blob)
    with pytest.raises(StoreError, match="spec"):
        store.get(entry_id).bundle()


@IN_A_BUCKET
def test_lies_in_a_bucket_are_found_too(place, honest, plant, make_bundle):
    store, (manifest, blob) = ExpertStore.init(place), honest
    arrays = {name: np.array(array) for name, array in make_bundle().arrays.items()}
    broken = {**arrays, "actor.head.bias": np.full(3, np.nan, np.float32)}
    changed = plant(store, {**manifest, "seed": 9}, blob)
    store._backend.put(
        f"blobs/sha256/{hashlib.sha256(blob).hexdigest()[:2]}/{hashlib.sha256(blob).hexdigest()}", blob[:-1]
    )
    cases = {
        "no safetensors file": plant(store, {**manifest, "seed": 5}, pickle.dumps({"a": 1})),
        "NaN": plant(store, {**manifest, "seed": 6}, save(broken)),
        "other tensors than": plant(
            store, {**manifest, "seed": 7}, save({**arrays, "more": arrays["actor.head.bias"]})
        ),
        "was changed after": changed,
    }
    for said, entry_id in cases.items():
        with pytest.raises(StoreError, match=said):
            store.get(entry_id).bundle()
    assert len(store.verify().problems) == len(cases)
