"""Publishing: blob, check, manifest, check again. The commit point is the manifest."""

from __future__ import annotations

import getpass
import socket
import time
from datetime import UTC, datetime

from roamrl.platform.store.backend import Backend
from roamrl.platform.store.cache import check_blob
from roamrl.platform.store.entry import Entry, decode_entry, encode_entry, manifest_id
from roamrl.platform.store.errors import StoreError
from roamrl.platform.store.layout import blob_key, entry_key, tombstone_key
from roamrl.platform.store.limits import Limits
from roamrl.platform.store.manifest import Blob, Envelope, Manifest
from roamrl.platform.store.signatures import encode_signature, write_signature
from roamrl.platform.store.signing import Signer

_ATTEMPTS = 4
_PAUSE_S = 0.1
"""Seconds by which each attempt waits longer than the one before: another writer may be at the same object."""


def publish_entry(
    backend: Backend,
    limits: Limits,
    manifest: Manifest,
    blob: bytes,
    publisher: str | None,
    signer: Signer | None = None,
) -> Entry:
    """Put a blob and the manifest that refers to it; the same content twice is one entry.

    The blob is put anew even where it exists, which renews its age, and is verified once more after the manifest is
    visible: a collector that runs beside the publisher may have taken the old one in between. A signature is there
    before the entry is, so that no reader finds the entry without it.

    Returns:
        The entry as a reader sees it; where it existed already, with the first publisher's envelope of that day.

    Raises:
        StoreError: If a limit is exceeded, the expert was retracted, or the store does not keep what it is given.
    """
    content = manifest.to_bytes()
    entry_id = manifest_id(content)
    now = datetime.now(UTC)
    document = encode_entry(content, stamp(publisher, now))
    decode_entry(document, entry_id, limits)
    if backend.get(tombstone_key(entry_id), limits.manifest_bytes) is not None:
        raise StoreError(f"expert {entry_id[:12]} was retracted and stays so; publish a policy that differs from it")
    if signer is not None:
        write_signature(backend, entry_id, signer.key.id, encode_signature(signer, content))
    return put_entry(backend, limits, entry_key(entry_id, now), entry_id, document, manifest.blob, blob)


def put_entry(
    backend: Backend, limits: Limits, key: str, entry_id: str, document: bytes, blob: Blob, data: bytes
) -> Entry:
    """Put a blob, check it, put the entry's file, check both: what every writer of entries does, in this order.

    Returns:
        The entry as a reader sees it: the first writer's, where it was there already.

    Raises:
        StoreError: If the store does not keep what it is given.
    """
    check_blob(data, blob)
    _put_blob(backend, limits, blob, data)
    entry = _put_document(backend, limits, key, entry_id, document)
    _put_blob(backend, limits, blob, data, anew=False)
    return entry


def _put_document(backend: Backend, limits: Limits, key: str, entry_id: str, document: bytes) -> Entry:
    """Put an entry's file unless it is there, until it reads back as that entry.

    It is looked for first, so that endpoints that ignore conditions do not replace one writer's envelope by another's,
    which some do in place; a file that is damaged is replaced.
    """
    for attempt in range(_ATTEMPTS):
        time.sleep(attempt * _PAUSE_S)
        visible = backend.get(key, limits.manifest_bytes)
        if visible is None:
            backend.put_if_absent(key, document)
            visible = backend.get(key, limits.manifest_bytes)
        elif _entry_in(visible, entry_id, limits) is None:
            backend.put(key, document)
            visible = backend.get(key, limits.manifest_bytes)
        entry = None if visible is None else _entry_in(visible, entry_id, limits)
        if entry is not None:
            return entry
    raise StoreError(f"{backend.location} does not keep {key}: it reads back changed or not at all; check the storage")


def _entry_in(data: bytes, entry_id: str, limits: Limits) -> Entry | None:
    """Return the entry in a file, None if the file is damaged."""
    try:
        return decode_entry(data, entry_id, limits)
    except StoreError:
        return None


def stamp(publisher: str | None, now: datetime | None = None) -> Envelope:
    """Return the envelope of something published now, by the given or the current user."""
    when = now or datetime.now(UTC)
    return Envelope(published=when.isoformat(timespec="microseconds"), publisher=publisher or _current_user())


def _put_blob(backend: Backend, limits: Limits, blob: Blob, data: bytes, *, anew: bool = True) -> None:
    """Put a blob (at once, or only if it is missing or damaged) until it reads back as it was given."""
    key = blob_key(blob.sha256)
    for attempt in range(_ATTEMPTS):
        time.sleep(attempt * _PAUSE_S)
        if anew or attempt > 0:
            backend.put(key, data)
        stored = backend.get(key, limits.blob_bytes + limits.manifest_bytes)
        if stored == data:
            return
    raise StoreError(f"{backend.location} does not keep {key}: it reads back changed or not at all; check the storage")


def _current_user() -> str:
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        user = "unknown"
    return f"{user}@{socket.gethostname()}"
