"""Policies as safetensors: encoding, and decoding that trusts nothing."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from roamrl.platform.store.errors import StoreError
from roamrl.platform.store.limits import Limits, read_json
from roamrl.platform.store.manifest import Blob, TensorSpec

Arrays = dict[str, NDArray[np.generic]]

_CODES = {
    "float16": "F16",
    "float32": "F32",
    "float64": "F64",
    "int8": "I8",
    "int16": "I16",
    "int32": "I32",
    "int64": "I64",
    "uint8": "U8",
    "uint16": "U16",
    "uint32": "U32",
    "uint64": "U64",
    "bool": "BOOL",
}


def encode_tensors(arrays: Mapping[str, NDArray[np.generic]], limits: Limits) -> tuple[bytes, dict[str, TensorSpec]]:
    """Serialise arrays in memory.

    Returns:
        The safetensors bytes (equal arrays give equal bytes), and shape and dtype by name.

    Raises:
        StoreError: If there are none, a limit is exceeded, a dtype has no place in a policy, or a value is not finite.
    """
    specs = {name: _spec(name, array) for name, array in arrays.items()}
    check_specs(specs, limits)
    dense = {
        name: np.asarray(array, dtype=np.dtype(specs[name].dtype).newbyteorder("<"), order="C")
        for name, array in arrays.items()
    }
    _check_finite(dense, "cannot be published")
    return save(dense), specs


def decode_tensors(data: bytes, blob: Blob, specs: Mapping[str, TensorSpec], limits: Limits) -> Arrays:
    """Read safetensors bytes, whose digest was checked, and check them against what the manifest says of them.

    Raises:
        StoreError: If names, shapes or dtypes differ, or a value is not finite.
    """
    check_specs(specs, limits)
    header = _header(data, limits)
    expected = {name: {"dtype": _CODES[spec.dtype], "shape": list(spec.shape)} for name, spec in specs.items()}
    if header != expected:
        raise StoreError(f"blob {blob.sha256[:12]} holds other tensors than its manifest says; publish the expert anew")
    try:
        arrays = load(data)
    except SafetensorError as error:
        raise StoreError(f"blob {blob.sha256[:12]} is no safetensors file: {error}; publish the expert anew") from error
    _check_finite(arrays, "is refused")
    return {name: np.asarray(array) for name, array in arrays.items()}


def check_specs(specs: Mapping[str, TensorSpec], limits: Limits) -> None:
    """Check names and shapes against the limits, before anything is allocated.

    Raises:
        StoreError: If there are no tensors, or a limit is exceeded.
    """
    if not 1 <= len(specs) <= limits.tensors:
        raise StoreError(f"a policy has 1 to {limits.tensors} tensors; this one has {len(specs)}")
    total = 0
    for name, spec in specs.items():
        if not 1 <= len(name) <= limits.tensor_name or name == "__metadata__":
            raise StoreError(f"tensor name {name[:40]!r}: use 1 to {limits.tensor_name} characters, not '__metadata__'")
        if len(spec.shape) > limits.tensor_dims:
            raise StoreError(f"tensor {name!r} has {len(spec.shape)} dimensions; at most {limits.tensor_dims}")
        # An axis of none counts as one: NumPy refuses what would be too large without it.
        total += math.prod(max(axis, 1) for axis in spec.shape) * np.dtype(spec.dtype).itemsize
    if total > limits.blob_bytes:
        raise StoreError(f"the tensors take {total} bytes; a policy has at most {limits.blob_bytes}")


def _spec(name: str, array: NDArray[np.generic]) -> TensorSpec:
    dtype = np.asarray(array).dtype.name
    if dtype not in _CODES:
        raise StoreError(f"tensor {name!r} is of dtype {dtype}; the store takes {', '.join(_CODES)}")
    return TensorSpec.model_validate({"shape": np.shape(array), "dtype": dtype})


def _header(data: bytes, limits: Limits) -> dict[str, Any]:
    """Return dtype code and shape by name from a safetensors header."""
    size = struct.unpack("<Q", data[:8])[0] if len(data) >= 8 else len(data)
    if size > min(limits.manifest_bytes, len(data) - 8):
        raise StoreError(f"a blob's header claims {size} bytes; it is no safetensors file within the limits")
    header = read_json(data[8 : 8 + size], "a blob's header", limits)
    if not isinstance(header, dict) or not all(isinstance(value, dict) for value in header.values()):
        raise StoreError("a blob's header is no map of tensors; it is no safetensors file")
    return {name: {key: value.get(key) for key in ("dtype", "shape")} for name, value in header.items()}


def _check_finite(arrays: Mapping[str, NDArray[np.generic]], verdict: str) -> None:
    for name, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise StoreError(f"tensor {name!r} holds NaN or an infinity: the policy {verdict}; train it anew")
