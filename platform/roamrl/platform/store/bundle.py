"""Between policy bundles and what the store keeps of them: module JSON, tensors, blob."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import Any

from roamrl.algorithms.bundle import ModuleSpec, PolicyBundle
from roamrl.envs.canonical import plain
from roamrl.envs.errors import InputError, unknown_name
from roamrl.platform.store.backend import Backend
from roamrl.platform.store.cache import BlobCache, check_blob
from roamrl.platform.store.errors import StoreError
from roamrl.platform.store.layout import blob_key
from roamrl.platform.store.limits import Limits
from roamrl.platform.store.manifest import Blob, Manifest, ManifestFields, TensorSpec
from roamrl.platform.store.tensors import decode_tensors, encode_tensors


def encode_bundle(bundle: PolicyBundle, fields: ManifestFields, limits: Limits) -> tuple[Manifest, bytes]:
    """Return the manifest and the blob under which a policy is published.

    Raises:
        StoreError: If the module's kind is not on the allow-list, the weights do not fit it or are not finite, or a
            limit is exceeded.
    """
    data, tensors = encode_tensors(bundle.arrays, limits)
    module = plain(bundle.spec.to_json())
    check_loads(PolicyBundle(_module_spec(module), bundle.arrays))
    blob = Blob(sha256=hashlib.sha256(data).hexdigest(), size=len(data))
    stated = {name: getattr(fields, name) for name in ManifestFields.model_fields}
    return Manifest(**stated, module=module, tensors=tensors, blob=blob), data


def decode_bundle(manifest: Manifest, data: bytes, limits: Limits) -> PolicyBundle:
    """Return the policy a manifest and its blob, as :func:`read_blob` gives it, describe.

    Raises:
        StoreError: If the module's kind is not on the allow-list or it would be larger than its weights, or the blob
            holds other tensors than the manifest says.
    """
    spec = _module_spec(manifest.module)
    _check_size(spec, manifest.tensors)
    return PolicyBundle(spec, decode_tensors(data, manifest.blob, manifest.tensors, limits))


def check_loads(bundle: PolicyBundle) -> None:
    """Check that a module can be built from a policy.

    Raises:
        StoreError: If names, shapes or dtypes of its weights are not those of its module.
    """
    from roamrl.algorithms.population.modules.build import from_bundles

    try:
        from_bundles([bundle])
    except InputError as error:
        raise StoreError(f"the policy does not load: {error}; publish what StackedModule.member_state gives") from error


def read_blob(backend: Backend, manifest: Manifest, limits: Limits, cache: BlobCache | None = None) -> bytes:
    """Return the blob a manifest refers to, checked against its digest: once a node where there is a cache.

    Raises:
        StoreError: If it is missing or was changed.
    """
    blob = manifest.blob

    def fetch() -> bytes:
        data = backend.get(blob_key(blob.sha256), limits.blob_bytes + limits.manifest_bytes)
        if data is None:
            raise StoreError(
                f"the weights (blob {blob.sha256[:12]}) are not in {backend.location}; publish the expert anew"
            )
        return data

    if cache is not None:
        return cache.read(blob, fetch)
    data = fetch()
    check_blob(data, blob)
    return data


def _module_spec(module: Mapping[str, Any]) -> ModuleSpec:
    if set(module) - {"extras"} != {"kind", "observation_space", "action_space", "model"}:
        raise StoreError("a module's spec has kind, observation_space, action_space and model; publish a PolicyBundle")
    kinds = _module_kinds()
    if module["kind"] not in kinds:
        raise StoreError(str(unknown_name("module kind", str(module["kind"]), kinds)))
    try:
        return ModuleSpec.from_json(module)
    except (InputError, KeyError, TypeError, ValueError) as error:
        raise StoreError(f"the module's spec cannot be read ({error}); publish the expert anew") from error


def _check_size(spec: ModuleSpec, tensors: Mapping[str, TensorSpec]) -> None:
    """Check that a module needs no more numbers than its weights hold, before memory is taken for one.

    Raises:
        StoreError: If it does, or its settings make no module.
    """
    import torch

    from roamrl.algorithms.population.modules.build import MODULE_KINDS

    held = sum(math.prod(tensor.shape) for tensor in tensors.values())
    try:
        with torch.device("meta"):
            module = MODULE_KINDS[spec.kind](spec, 1)
        needed = sum(parameter.numel() for parameter in module.parameters())
    except (InputError, RuntimeError, TypeError, ValueError, OverflowError) as error:
        words = str(error).splitlines()[0]
        raise StoreError(f"the module's spec makes no module ({words}); publish the expert anew") from error
    if needed > held:
        raise StoreError(
            f"the module's spec asks for {needed} numbers, its weights hold {held}; publish the expert anew"
        )


def _module_kinds() -> frozenset[str]:
    from roamrl.algorithms.population.modules.build import MODULE_KINDS  # imports torch: not for listings

    return frozenset(MODULE_KINDS)
