"""Copying entries with their blobs and signatures from one store to another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from roamrl.platform.store.backend import Backend
from roamrl.platform.store.cache import check_blob
from roamrl.platform.store.entry import Entry, decode_entry
from roamrl.platform.store.errors import StoreError
from roamrl.platform.store.layout import ENTRIES, TOMBSTONES, blob_key, id_of_entry, id_of_tombstone
from roamrl.platform.store.limits import Limits
from roamrl.platform.store.publish import put_entry
from roamrl.platform.store.requests import BLOBS_AT_ONCE, for_each
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

    def copy(named: tuple[str, str]) -> TransferReport:
        entry_id, key = named
        if entry_id in refused:
            return TransferReport(retracted=1)
        return _copy_one(source, target, limits, entry_id, key, policy, known=entry_id in known)

    remote = source if source.remote else target
    return _sum(for_each(remote, copy, keys.items(), BLOBS_AT_ONCE))


def _sum(reports: Sequence[TransferReport]) -> TransferReport:
    return TransferReport(
        copied=sum(each.copied for each in reports),
        there=sum(each.there for each in reports),
        retracted=sum(each.retracted for each in reports),
        bytes=sum(each.bytes for each in reports),
        signatures=sum(each.signatures for each in reports),
        invalid=sum(each.invalid for each in reports),
        refused=tuple(entry_id for each in reports for entry_id in each.refused),
    )


def _copy_one(
    source: Backend,
    target: Backend,
    limits: Limits,
    entry_id: str,
    key: str,
    policy: TrustPolicy | None,
    *,
    known: bool,
) -> TransferReport:
    document = source.get(key, limits.manifest_bytes)
    if document is None:
        raise StoreError(f"entry {entry_id[:12]} vanished from {source.location} while it was copied; copy anew")
    entry = decode_entry(document, entry_id, limits)
    given = read_signatures(source, entry, limits, signing_keys(source, entry_id))
    if policy is not None and not policy.admits(entry, given):
        return TransferReport(refused=(entry_id,))
    signatures = sum(write_signature(target, entry_id, each.key_id, each.data) for each in given if each.valid)
    size = _copy_weights(source, target, limits, entry, key, document, known=known)
    return TransferReport(
        copied=int(size is not None),
        there=int(size is None),
        bytes=size or 0,
        signatures=signatures,
        invalid=sum(not each.valid for each in given),
    )


def _copy_weights(
    source: Backend, target: Backend, limits: Limits, entry: Entry, key: str, document: bytes, *, known: bool
) -> int | None:
    """Copy weights and then their entry; return the size of its blob, None if the target has both."""
    blob = entry.manifest.blob
    if known and target.size(blob_key(blob.sha256)) == blob.size:
        return None
    data = source.get(blob_key(blob.sha256), limits.blob_bytes + limits.manifest_bytes)
    if data is None:
        raise StoreError(f"the weights of expert {entry.short} are not in {source.location}; leave it out")
    check_blob(data, blob)
    put_entry(target, limits, key, entry.id, document, blob, data)
    return blob.size
