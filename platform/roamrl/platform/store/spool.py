"""What was published while the store took no writes: kept in a folder of this node until it does."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import time
from pathlib import Path
from typing import Any

from roamrl.platform.store.backend import Backend
from roamrl.platform.store.cache import cache_folder
from roamrl.platform.store.entry import Entry, decode_entry
from roamrl.platform.store.errors import StoreError, StoreReadOnlyError, StoreUnavailableError
from roamrl.platform.store.folder import FolderBackend
from roamrl.platform.store.format import make_store
from roamrl.platform.store.garbage import Collector
from roamrl.platform.store.layout import ENTRIES, SIGNATURES, id_of_entry, id_of_signature
from roamrl.platform.store.limits import Limits
from roamrl.platform.store.manifest import Manifest
from roamrl.platform.store.publish import publish_entry
from roamrl.platform.store.signing import Signer
from roamrl.platform.store.transfer import TransferReport, copy_entries

SPOOL_FOLDER = "ROAMRL_SPOOL"
"""Environment variable: folder of the spools; ``spool`` in the cache's folder unless set."""

REST_S = 60.0
"""Seconds for which a store that took no write is not asked again."""

_log = logging.getLogger(__name__)


class Spool:
    """A folder store of entries that wait for their store, one spool a store.

    Attributes:
        backend: The folder store.
    """

    def __init__(self, folder: Path) -> None:
        self.backend = FolderBackend(folder)
        self._folder = folder
        self._rests_until = 0.0
        self._told = False

    @classmethod
    def of(cls, destination: str) -> Spool:
        """Return the spool of the store at a location."""
        given = os.environ.get(SPOOL_FOLDER)
        root = Path(given).expanduser().absolute() if given else cache_folder() / "spool"
        words = "-".join(re.findall(r"[A-Za-z0-9]+", destination))[-60:].strip("-")
        return cls(root / f"{words}-{hashlib.sha256(destination.encode()).hexdigest()[:8]}")

    @property
    def location(self) -> str:
        """The folder's path."""
        return self.backend.location

    def keys(self) -> dict[str, str]:
        """Return the entry file of each id that waits."""
        found = {id_of_entry(key): key for key in self.backend.list(ENTRIES)}
        return {entry_id: key for entry_id, key in found.items() if entry_id is not None}

    def entry(self, start: str, limits: Limits) -> Entry | None:
        """Return the one waiting entry whose id begins so, None if there is none or there are several.

        Raises:
            StoreError: If its file was changed.
        """
        matches = [(entry_id, key) for entry_id, key in self.keys().items() if entry_id.startswith(start)]
        if len(matches) != 1:
            return None
        data = self.backend.get(matches[0][1], limits.manifest_bytes)
        return None if data is None else decode_entry(data, matches[0][0], limits)

    def publish(
        self,
        store: Backend,
        limits: Limits,
        manifest: Manifest,
        blob: bytes,
        publisher: str | None,
        signer: Signer | None = None,
    ) -> Entry:
        """Publish to the store; where it takes no writes, keep the entry here and say so once.

        After a store that was away has taken an entry, it is given those that waited.

        Raises:
            StoreError: If the entry is refused, or neither the store nor the spool takes it.
        """
        if time.monotonic() >= self._rests_until:
            try:
                entry = publish_entry(store, limits, manifest, blob, publisher, signer)
            except (StoreUnavailableError, StoreReadOnlyError) as error:
                self._rests_until = time.monotonic() + REST_S
                self._tell(store, error)
            else:
                self._empty_quietly(store, limits)
                return entry
        make_store(self.backend)
        return publish_entry(self.backend, limits, manifest, blob, publisher, signer)

    def empty_into(self, store: Backend, limits: Limits) -> TransferReport:
        """Copy what waits to a store and remove it here; entries the store has retracted are removed, too.

        It may run beside publishers: what it did not see, it leaves.

        Raises:
            StoreError: If the store does not take it; what it took is left here until the next time.
        """
        keys = self.keys()
        report = copy_entries(self.backend, store, limits, keys)
        signatures = [key for key in self.backend.list(SIGNATURES) if id_of_signature(key) in keys]
        for key in (*keys.values(), *signatures):
            self.backend.delete(key)
        if keys:
            Collector(self.backend, limits, grace_s=0.0).run()
        return report

    def _empty_quietly(self, store: Backend, limits: Limits) -> None:
        """Deliver what waits; what fails waits on."""
        if not self.keys():
            return
        try:
            report = self.empty_into(store, limits)
        except StoreError as error:
            self._rests_until = time.monotonic() + REST_S
            _log.warning("entries still wait in %s: %s", self.location, error)
        else:
            self._told = False
            _log.warning("%s takes writes again: %d entries were brought there", store.location, report.copied)

    def _tell(self, store: Backend, error: StoreError) -> None:
        if not self._told:
            self._told = True
            _log.warning(
                "%s; experts are kept in %s until `roamrl store push --spooled %s`",
                error,
                self.location,
                store.location,
            )

    def __reduce__(self) -> tuple[Any, ...]:
        return (Spool, (self._folder,))
