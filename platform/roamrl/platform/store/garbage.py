"""Garbage: blobs nobody refers to, and what killed writers left behind."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass

from roamrl.platform.store.backend import Backend
from roamrl.platform.store.layout import (
    BLOBS,
    ENTRIES,
    INDEX,
    TEMPORARY,
    TOMBSTONES,
    TRASH,
    blob_key,
    id_of_entry,
    id_of_tombstone,
)
from roamrl.platform.store.limits import Limits
from roamrl.platform.store.requests import for_each

DAY_S = 86_400.0
_DIGEST = re.compile(r"[0-9a-f]{64}")
_DIGESTS = re.compile(_DIGEST.pattern.encode())


@dataclass(frozen=True)
class GarbageReport:
    """What a collection did.

    Attributes:
        blobs: Blobs removed.
        bytes: Their size in all.
        temporary: Temporary files removed.
        snapshots: Superseded index snapshots removed.
        restored: Blobs put back because an entry refers to them after all.
    """

    blobs: int
    bytes: int
    temporary: int
    snapshots: int
    restored: int


class Collector:
    """One collection. It may run beside publishers and other collectors, and may be killed at any moment.

    A blob that nobody refers to is copied to ``trash/`` and deleted; then the entries are looked at once more. A
    publisher verifies its blob after its entry is visible: either it finds the blob gone and puts it again, or the
    entry was visible before the blob was deleted, and the second look restores it. A collector that was killed leaves
    its copies in the trash, where the next one finds them.
    """

    def __init__(self, backend: Backend, limits: Limits, grace_s: float) -> None:
        self._backend = backend
        self._limits = limits
        self._grace_s = grace_s
        self._now = backend.now()
        self._run = uuid.uuid4().hex
        self._retracted = {id_of_tombstone(key) for key in self._old(TOMBSTONES)} - {None}
        self._digests_of: dict[str, frozenset[str]] = {}

    def run(self) -> GarbageReport:
        """Collect, and say what was removed."""
        left = self._backend.list(TRASH)
        left_long_ago = self._old(TRASH)
        recovered = self._restore(left)
        moved = self._move_to_trash(self._old(BLOBS))
        restored = self._restore(moved)
        self._delete(moved)
        self._delete(left_long_ago)
        gone = [size for key, size in moved.items() if key not in restored]
        return GarbageReport(
            blobs=len(gone),
            bytes=sum(gone),
            temporary=self._delete(self._old(TEMPORARY)),
            snapshots=self._delete(self._superseded()),
            restored=len(recovered) + len(restored),
        )

    def _move_to_trash(self, blobs: Iterable[str]) -> dict[str, int]:
        """Move those blobs that nobody refers to; return the size of each by its key in the trash."""
        needed = self._needed()
        moved = {}
        for key in blobs:
            digest = _digest_in(key)
            if digest is None or digest in needed:
                continue
            data = self._read(key)
            if data is not None:
                trash = f"{TRASH}{self._run}-{digest}"
                self._backend.put(trash, data)
                self._backend.delete(key)
                moved[trash] = len(data)
        return moved

    def _restore(self, trash: Iterable[str]) -> set[str]:
        """Put back those blobs in the trash that an entry refers to and that are missing; return their trash keys."""
        keys = list(trash)
        needed = self._needed() if keys else set()
        restored = set()
        for key in keys:
            digest = _digest_in(key)
            if digest is None or digest not in needed:
                continue
            data = self._read(key)
            if data is not None and self._read(blob_key(digest)) is None:
                self._backend.put(blob_key(digest), data)
                restored.add(key)
        return restored

    def _needed(self) -> set[str]:
        """Return every digest that an entry names now; entries retracted before the grace period need nothing.

        Taken from the entries' own bytes, so that no index, and no entry that this version cannot read, loses a blob.
        """
        fresh = [
            key
            for key in self._backend.list(ENTRIES)
            if key not in self._digests_of and id_of_entry(key) not in self._retracted
        ]
        for key, data in zip(fresh, for_each(self._backend, self._read, fresh), strict=True):
            self._digests_of[key] = frozenset(match.decode() for match in _DIGESTS.findall(data or b""))
        return {digest for digests in self._digests_of.values() for digest in digests}

    def _superseded(self) -> list[str]:
        written = self._backend.modified(INDEX)
        newest = max(written, key=lambda key: (written[key], key), default=None)
        return [key for key in self._old(INDEX) if key != newest]

    def _old(self, prefix: str) -> list[str]:
        """Return the keys below a prefix that were last written longer ago than the grace period."""
        return [key for key, at in self._backend.modified(prefix).items() if self._now - at > self._grace_s]

    def _read(self, key: str) -> bytes | None:
        return self._backend.get(key, self._limits.blob_bytes + self._limits.manifest_bytes)

    def _delete(self, keys: Iterable[str]) -> int:
        count = 0
        for key in keys:
            self._backend.delete(key)
            count += 1
        return count


def _digest_in(key: str) -> str | None:
    """Return the digest at the end of a blob's key, in its place or in the trash."""
    tail = key[-64:]
    return tail if _DIGEST.fullmatch(tail) else None
