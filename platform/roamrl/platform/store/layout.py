"""Names of a store's objects, and the checks on the names people and files give."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from roamrl.platform.store.errors import StoreError

FORMAT_KEY = "store.json"
ENTRIES = "entries/"
BLOBS = "blobs/"
TAGS = "tags/"
TOMBSTONES = "tombstones/"
SIGNATURES = "signatures/"
INDEX = "index/"
TEMPORARY = "tmp/"
TRASH = "trash/"

_DIGEST = re.compile(r"[0-9a-f]{64}")
_ENTRY_KEY = re.compile(r"entries/(\d{8})/([0-9a-f]{64})\.json")
_SIGNATURE_KEY = re.compile(r"signatures/([0-9a-f]{64})/[0-9a-f]{64}\.json")
_TAG = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_PREFIX = re.compile(r"[0-9a-f]{4,64}")


def check_id(entry_id: str) -> str:
    """Return an entry's id if it is one: 64 hexadecimal digits.

    Raises:
        StoreError: If it is not.
    """
    if not _DIGEST.fullmatch(entry_id):
        raise StoreError(f"{entry_id[:80]!r} is no expert's id; an id has 64 hexadecimal digits (0-9, a-f)")
    return entry_id


def is_id_prefix(text: str) -> bool:
    """Say whether a text may be the beginning of an id: at least four hexadecimal digits."""
    return _PREFIX.fullmatch(text) is not None


def check_tag(name: str) -> str:
    """Return a tag's name if it can be one.

    Raises:
        StoreError: If it has other characters, or could be mistaken for the beginning of an id.
    """
    if not _TAG.fullmatch(name):
        raise StoreError(f"{name[:80]!r} cannot be a tag: up to 64 of a-z, 0-9, '.', '_', '-', a letter or digit first")
    if is_id_prefix(name):
        raise StoreError(f"{name!r} cannot be a tag: it reads like the beginning of an id; add a letter beyond f")
    return name


def entry_key(entry_id: str, when: datetime) -> str:
    """Return the key of an entry published at that time (the day is a hint for listing)."""
    return f"{ENTRIES}{when.astimezone(UTC):%Y%m%d}/{check_id(entry_id)}.json"


def id_of_entry(key: str) -> str | None:
    """Return the id in an entry's key, or None if the key is no entry's."""
    match = _ENTRY_KEY.fullmatch(key)
    return match.group(2) if match else None


def blob_key(sha256: str) -> str:
    """Return the key of the blob with that digest."""
    return f"{BLOBS}sha256/{check_id(sha256)[:2]}/{sha256}"


def tombstone_key(entry_id: str) -> str:
    """Return the key of an entry's retraction."""
    return f"{TOMBSTONES}{check_id(entry_id)}.json"


def id_of_tombstone(key: str) -> str | None:
    """Return the id in a retraction's key, or None if the key is no retraction's."""
    name = key.removeprefix(TOMBSTONES).removesuffix(".json")
    return name if _DIGEST.fullmatch(name) and key == tombstone_key(name) else None


def is_key_id(text: str) -> bool:
    """Say whether a text can be the id of a signing key: 64 hexadecimal digits."""
    return _DIGEST.fullmatch(text) is not None


def id_of_signature(key: str) -> str | None:
    """Return the id of the entry that a signature's key belongs to, or None if the key is no signature's."""
    match = _SIGNATURE_KEY.fullmatch(key)
    return match.group(1) if match else None


def signature_key(entry_id: str, key_id: str) -> str:
    """Return the key of an entry's signature by a key.

    Raises:
        StoreError: If the key's id is none.
    """
    if not is_key_id(key_id):
        raise StoreError(f"{key_id[:80]!r} is no key's id; an id has 64 hexadecimal digits (0-9, a-f)")
    return f"{SIGNATURES}{check_id(entry_id)}/{key_id}.json"
