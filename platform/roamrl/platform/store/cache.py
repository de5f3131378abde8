"""Blobs kept on the node, so that many trials fetch and check one once."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
import re
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from roamrl.platform.monitoring.metrics import CACHE_READS, count
from roamrl.platform.store.errors import StoreError
from roamrl.platform.store.layout import check_id
from roamrl.platform.store.manifest import Blob

CACHE_FOLDER = "ROAMRL_CACHE"
"""Environment variable: the cache's folder; ``~/.cache/roamrl`` unless set."""

CACHE_SIZE = "ROAMRL_CACHE_GB"
"""Environment variable: gigabytes the cache may take; 10 unless set, 0 for no cache."""

_DEFAULT_GB = 10.0
_DIGEST = re.compile(r"[0-9a-f]{64}")
_LEFTOVER_S = 3600.0
_log = logging.getLogger(__name__)
_told: set[Path] = set()


def cache_folder() -> Path:
    """Return the folder of what this user keeps on this node."""
    given = os.environ.get(CACHE_FOLDER)
    return Path(given).expanduser().absolute() if given else Path.home() / ".cache" / "roamrl"


@dataclass(frozen=True)
class BlobCache:
    """Blobs by digest in a folder of this node; the oldest used go first.

    A blob is checked against its digest before it is renamed into place; from then on its size alone is looked at,
    which a truncated file fails. Processes that want the same blob at once wait for the first to fetch it. A folder
    that cannot be written is no error: blobs then come from the store each time.

    Attributes:
        folder: Where they lie.
        most_bytes: Their size in all; a larger blob is not kept.
    """

    folder: Path
    most_bytes: int

    @classmethod
    def of_node(cls) -> BlobCache | None:
        """Return the cache that the environment describes, None if it is switched off.

        Raises:
            StoreError: If the size is no number of gigabytes.
        """
        text = os.environ.get(CACHE_SIZE) or str(_DEFAULT_GB)
        try:
            most = int(float(text) * 1e9)
        except (ValueError, OverflowError) as error:
            raise StoreError(f"{CACHE_SIZE}={text!r} is no number of gigabytes; give e.g. 10, or 0 for none") from error
        return cls(cache_folder() / "blobs", most) if most > 0 else None

    def read(self, blob: Blob, fetch: Callable[[], bytes]) -> bytes:
        """Return a blob: the one kept here, or else what ``fetch`` gives, checked and kept.

        Raises:
            StoreError: If what is fetched does not have the blob's digest and size.
        """
        kept = self._kept(blob)
        if kept is not None:
            count(CACHE_READS, outcome="hit")
            return kept
        with self._alone(blob):
            kept = self._kept(blob)  # another process may have fetched it meanwhile
            if kept is not None:
                count(CACHE_READS, outcome="hit")
                return kept
            count(CACHE_READS, outcome="miss")
            data = fetch()
            check_blob(data, blob)
            self._keep(blob, data)
            return data

    def _kept(self, blob: Blob) -> bytes | None:
        path = self._path(blob)
        try:
            data = path.read_bytes()
            if len(data) != blob.size:
                return None
            os.utime(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            self._tell(error)
            return None
        return data

    def _keep(self, blob: Blob, data: bytes) -> None:
        """Write a blob in one step, then make room."""
        if len(data) > self.most_bytes:
            return
        path = self._path(blob)
        temporary = path.with_name(f".{uuid.uuid4().hex}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                temporary.write_bytes(data)
                os.replace(temporary, path)
            finally:
                temporary.unlink(missing_ok=True)
            self._make_room(path)
        except OSError as error:
            self._tell(error)

    def _make_room(self, newest: Path) -> None:
        """Remove the oldest used until the rest fits, and what killed processes left half-written."""
        found = []
        for path in self.folder.glob("*/*"):
            with contextlib.suppress(FileNotFoundError):  # removed by another process
                status = path.stat()
                if _DIGEST.fullmatch(path.name):
                    found.append((status.st_mtime, status.st_size, path))
                elif path.name.startswith(".") and time.time() - status.st_mtime > _LEFTOVER_S:
                    path.unlink(missing_ok=True)
        total = sum(size for _, size, _ in found)
        for _, size, path in sorted(found):
            if total <= self.most_bytes:
                return
            if path != newest:
                path.unlink(missing_ok=True)
                total -= size

    @contextlib.contextmanager
    def _alone(self, blob: Blob) -> Iterator[None]:
        """Keep other processes of the node from fetching the same blob; without a lock they fetch it too."""
        with contextlib.ExitStack() as held:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                lock = held.enter_context(open(self.folder / f".lock-{blob.sha256[:2]}", "wb"))
                fcntl.flock(lock, fcntl.LOCK_EX)
            except OSError as error:
                self._tell(error)
            yield

    def _path(self, blob: Blob) -> Path:
        return self.folder / check_id(blob.sha256)[:2] / blob.sha256

    def _tell(self, error: OSError) -> None:
        if self.folder not in _told:
            _told.add(self.folder)
            _log.warning("the cache %s cannot be used (%s): weights come from the store each time", self.folder, error)


def check_blob(data: bytes, blob: Blob) -> None:
    """Check a blob against its digest and size.

    Raises:
        StoreError: If they differ.
    """
    if len(data) != blob.size or hashlib.sha256(data).hexdigest() != blob.sha256:
        raise StoreError(f"blob {blob.sha256[:12]} was changed after it was published; publish the expert anew")
