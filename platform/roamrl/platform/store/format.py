"""The file by which a store is known, and its version."""

from __future__ import annotations

from roamrl.envs.canonical import canonical_json
from roamrl.platform.store.backend import Backend
from roamrl.platform.store.errors import StoreError
from roamrl.platform.store.layout import FORMAT_KEY
from roamrl.platform.store.limits import Limits, read_json

FORMAT = {"format": "roamrl-store", "version": 1}


def make_store(backend: Backend) -> None:
    """Make a store in a new or empty place; one that is there already stays as it is.

    Raises:
        StoreError: If the place holds something else, or cannot be written.
    """
    backend.prepare()
    if backend.size(FORMAT_KEY) is None:
        backend.put_if_absent(FORMAT_KEY, canonical_json(FORMAT))


def check_store(backend: Backend, limits: Limits) -> None:
    """Check that a store of this version is there.

    Raises:
        StoreError: If there is none, or it is of another version.
    """
    where = backend.location
    data = backend.get(FORMAT_KEY, limits.manifest_bytes)
    if data is None:
        raise StoreError(f"there is no expert store in {where}; make one with `roamrl store init {where}`")
    found = read_json(data, f"{where}/{FORMAT_KEY}", limits)
    if found != FORMAT:
        raise StoreError(f"{where} is a store of format {found}; this version reads {FORMAT}; use one that fits")
