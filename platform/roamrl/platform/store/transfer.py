"""Copying entries with their blobs and signatures from one store to another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from roamrl.platform.store.backend import Backend
from roamrl.platform.store.cache import check_blob
from roamrl.platform.store.entry import Entry, decode_entry
from roamrl.platform.store.errors import StoreError
from roamrl.platform.store.layout import ENTRIES, TOMBSTONES, blob_key, id_of_entry, id_of_tombstone
from roamrl.platform.store.limits import Limits
from roamrl.platform.store.publish import put_entry
from roamrl.platform.store.signatures import read_signatures, signing_keys, write_signature
from roamrl.platform.store.trust_policy import TrustPolicy


@dataclass(frozen=True)
class TransferReport:
    """What a copy did.

    Attributes:
        copied: Entries that were not there before.
        there: Entries that were there, with their blobs.
        retracted: Entries the target has retracted, which it takes no more.
        bytes: Size of the blobs copied.
        signatures: Signatures that were not there before.
        invalid: Signatures that were not copied, since they are none of their entry by their key.
        refused: Ids of the entries that the signature policy refused.
    """

    copied: int = 0
    there: int = 0
    retracted: int = 0
    bytes: int = 0
    signatures: int = 0
    invalid: int = 0
    refused: tuple[str, ...] = ()


def copy_entries(
    source: Backend, target: Backend, limits: Limits, keys: Mapping[str, str], policy: TrustPolicy | None = None
) -> TransferReport:
    """Copy entries as they are, checked on the way, under the keys they have; what is there already is left alone.

    A copy that was cut off is made whole by another. Signatures come before their entry.

    Args:
        source: Where they are.
        target: Where they go.
        limits: Bounds on what is read.
        keys: The entry file of each id.
        policy: What the entries' signatures must be; None looks at none.

    Raises:
        StoreError: If an entry or blob is missing or was changed, or the target does not keep it.
    """
    known = {id_of_entry(key) for key in target.list(ENTRIES)}
    refused = {id_of_tombstone(key) for key in target.list(TOMBSTONES)}
    copied = there = retracted = total = signatures = invalid = 0
    turned_away = []
    for entry_id, key in keys.items():
        if entry_id in refused:
            retracted += 1
            continue
        document = source.get(key, limits.manifest_bytes)
        if document is None:
            raise StoreError(f"entry {entry_id[:12]} vanished from {source.location} while it was copied; copy anew")
        entry = decode_entry(document, entry_id, limits)
        given = read_signatures(source, entry, limits, signing_keys(source, entry_id))
        if policy is not None and not policy.admits(entry, given):
            turned_away.append(entry_id)
            continue
        invalid += sum(not each.valid for each in given)
        signatures += sum(write_signature(target, entry_id, each.key_id, each.data) for each in given if each.valid)
        size = _copy_entry(source, target, limits, entry, key, document, known=entry_id in known)
        copied, there, total = copied + (size is not None), there + (size is None), total + (size or 0)
    return TransferReport(copied, there, retracted, total, signatures, invalid, tuple(turned_away))


def _copy_entry(
    source: Backend, target: Backend, limits: Limits, entry: Entry, key: str, document: bytes, *, known: bool
) -> int | None:
    """Copy one entry; return the size of its blob, None if the target has both."""
    blob = entry.manifest.blob
    if known and target.size(blob_key(blob.sha256)) == blob.size:
        return None
    data = source.get(blob_key(blob.sha256), limits.blob_bytes + limits.manifest_bytes)
    if data is None:
        raise StoreError(f"the weights of expert {entry.short} are not in {source.location}; leave it out")
    check_blob(data, blob)
    put_entry(target, limits, key, entry.id, document, blob, data)
    return blob.size
