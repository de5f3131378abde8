"""Entries: the immutable files by which experts are known, {envelope, manifest}."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from roamrl.envs.canonical import canonical_json
from roamrl.platform.store.errors import StoreError
from roamrl.platform.store.limits import Limits, read_json
from roamrl.platform.store.manifest import Envelope, Manifest, build_record


@dataclass(frozen=True)
class Entry:
    """One published expert, without its weights.

    Attributes:
        id: The sha256 of the manifest's canonical JSON, 64 hexadecimal digits.
        manifest: What the id stands for.
        envelope: When and by whom it was published.
    """

    id: str
    manifest: Manifest
    envelope: Envelope

    @property
    def short(self) -> str:
        """The id's first twelve digits, for tables."""
        return self.id[:12]


def manifest_id(manifest: bytes) -> str:
    """Return the id of a manifest in canonical form."""
    return hashlib.sha256(manifest).hexdigest()


def encode_entry(manifest: bytes, envelope: Envelope) -> bytes:
    """Return an entry's file: canonical JSON in which the manifest's canonical bytes stand unchanged."""
    return _head(envelope) + manifest + b"}"


def decode_entry(data: bytes, entry_id: str, limits: Limits) -> Entry:
    """Read an entry's file and check it against its id.

    The hash is taken over the manifest's bytes as they stand in the file, so nothing is serialised again.

    Raises:
        StoreError: If it is no entry, exceeds a limit, or does not have that id.
    """
    what = f"entry {entry_id[:12]}"
    document = read_json(data, what, limits)
    if not isinstance(document, dict) or set(document) != {"envelope", "manifest"}:
        raise StoreError(
            f"{what} is not {{envelope, manifest}}; restore or remove its file and publish the expert anew"
        )
    if not isinstance(document["manifest"], dict) or not isinstance(document["envelope"], dict):
        raise StoreError(
            f"{what}: envelope and manifest must be maps; restore or remove its file and publish the expert anew"
        )
    envelope = build_record(Envelope, document["envelope"], what, parsed=True)
    head = _head(envelope)
    if not data.startswith(head) or manifest_id(data[len(head) : -1]) != entry_id:
        raise StoreError(
            f"{what} was changed after it was published; restore or remove its file and publish the expert anew"
        )
    return Entry(entry_id, build_record(Manifest, document["manifest"], what, parsed=True), envelope)


def _head(envelope: Envelope) -> bytes:
    return b'{"envelope":' + canonical_json(envelope.model_dump(mode="json")) + b',"manifest":'
