"""Detached signatures beside the entries: opaque bytes here, one file an entry and key."""

from __future__ import annotations

from roamrl.platform.store.backend import Backend
from roamrl.platform.store.errors import StoreError
from roamrl.platform.store.layout import SIGNATURES, check_id, signature_key
from roamrl.platform.store.limits import Limits


def read_signatures(backend: Backend, entry_id: str, limits: Limits) -> dict[str, bytes]:
    """Return an entry's signature files by the id of the key that made them.

    Raises:
        StoreError: If one is larger than a JSON document may be.
    """
    prefix = f"{SIGNATURES}{check_id(entry_id)}/"
    found = {}
    for key in backend.list(prefix):
        name = key.removeprefix(prefix)
        if name.endswith(".json") and "/" not in name:
            data = backend.get(key, limits.manifest_bytes)
            if data is not None:
                found[name.removesuffix(".json")] = data
    return found


def write_signature(backend: Backend, entry_id: str, key_id: str, data: bytes, limits: Limits) -> bool:
    """Keep an entry's signature unless one by that key is there; say whether this call's is there.

    Raises:
        StoreError: If it is larger than a JSON document may be, or the key's id cannot name a file.
    """
    key = signature_key(entry_id, key_id)
    if len(data) > limits.manifest_bytes:
        raise StoreError(f"a signature of {len(data)} bytes; at most {limits.manifest_bytes} are kept")
    there = backend.get(key, limits.manifest_bytes)  # asked first for endpoints that ignore If-None-Match
    return there == data if there is not None else backend.put_if_absent(key, data)
