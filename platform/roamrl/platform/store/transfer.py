"""Copying entries with their blobs and signatures from one store to another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from roamrl.platform.store.backend import Backend
from roamrl.platform.store.cache import check_blob
from roamrl.platform.store.entry import decode_entry
from roamrl.platform.store.errors import StoreError
from roamrl.platform.store.layout import ENTRIES, TOMBSTONES, blob_key, id_of_entry, id_of_tombstone
from roamrl.platform.store.limits import Limits
from roamrl.platform.store.publish import put_entry
from roamrl.platform.store.signatures import read_signatures, write_signature


@dataclass(frozen=True)
class TransferReport:
    """What a copy did.

    Attributes:
        copied: Entries that were not there before.
        there: Entries that were there, with their blobs.
        retracted: Entries the target has retracted, which it takes no more.
        bytes: Size of the blobs copied.
        signatures: Signatures that were not there before.
    """

    copied: int = 0
    there: int = 0
    retracted: int = 0
    bytes: int = 0
    signatures: int = 0


def copy_entries(source: Backend, target: Backend, limits: Limits, keys: Mapping[str, str]) -> TransferReport:
    """Copy entries as they are, checked on the way, under the keys they have; what is there already is left alone.

    A copy that was cut off is made whole by another.

    Args:
        source: Where they are.
        target: Where they go.
        limits: Bounds on what is read.
        keys: The entry file of each id.

    Raises:
        StoreError: If an entry or blob is missing or was changed, or the target does not keep it.
    """
    known = {id_of_entry(key) for key in target.list(ENTRIES)}
    refused = {id_of_tombstone(key) for key in target.list(TOMBSTONES)}
    copied = there = retracted = total = signatures = 0
    for entry_id, key in keys.items():
        if entry_id in refused:
            retracted += 1
            continue
        size = _copy_entry(source, target, limits, entry_id, key, known=entry_id in known)
        copied, there, total = copied + (size is not None), there + (size is None), total + (size or 0)
        signatures += _copy_signatures(source, target, limits, entry_id)
    return TransferReport(copied, there, retracted, total, signatures)


def _copy_entry(
    source: Backend, target: Backend, limits: Limits, entry_id: str, key: str, *, known: bool
) -> int | None:
    """Copy one entry; return the size of its blob, None if the target has both."""
    document = source.get(key, limits.manifest_bytes)
    if document is None:
        raise StoreError(f"entry {entry_id[:12]} vanished from {source.location} while it was copied; copy anew")
    blob = decode_entry(document, entry_id, limits).manifest.blob
    if known and target.size(blob_key(blob.sha256)) == blob.size:
        return None
    data = source.get(blob_key(blob.sha256), limits.blob_bytes + limits.manifest_bytes)
    if data is None:
        raise StoreError(f"the weights of expert {entry_id[:12]} are not in {source.location}; leave it out")
    check_blob(data, blob)
    put_entry(target, limits, key, entry_id, document, blob, data)
    return blob.size


def _copy_signatures(source: Backend, target: Backend, limits: Limits, entry_id: str) -> int:
    given = read_signatures(source, entry_id, limits)
    there = read_signatures(target, entry_id, limits) if given else {}
    return sum(
        write_signature(target, entry_id, key_id, data, limits) for key_id, data in given.items() if key_id not in there
    )
