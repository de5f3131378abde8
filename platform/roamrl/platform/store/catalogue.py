"""What a reader knows of a store: the newest snapshot and the entries that are not in it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from roamrl.platform.store.backend import Backend
from roamrl.platform.store.entry import Entry, decode_entry
from roamrl.platform.store.errors import StoreError, StoreUnavailableError
from roamrl.platform.store.index import Snapshot, index_row, index_table, read_newest, write_snapshot
from roamrl.platform.store.layout import ENTRIES, TOMBSTONES, id_of_entry, id_of_tombstone
from roamrl.platform.store.limits import Limits
from roamrl.platform.store.requests import for_each


@dataclass(frozen=True)
class Problem:
    """Something in a store that cannot be used as it is: its key, and what is wrong and to be done."""

    key: str
    message: str


class _Loose(NamedTuple):
    """An entry that is in no snapshot: its values of the index's columns, and its file."""

    row: dict[str, Any]
    document: bytes


class Catalogue:
    """Entries by column and by id, as of the last refresh.

    Attributes:
        table: The index's columns, one row an entry: the snapshot's rows first.
        ids: Id of each row.
        row_of: Row of each id.
        shown: Whether each row's entry is in the store and not retracted.
        keys: The entry file of each id.
        retracted: Ids that were retracted.
        problems: What could not be read at the last refresh.
    """

    def __init__(self, backend: Backend, limits: Limits) -> None:
        self._backend = backend
        self._limits = limits
        self._snapshot: Snapshot | None = None
        self._loose: dict[str, _Loose] = {}
        self._loose_table = index_table([])
        self.keys: dict[str, str] = {}
        self.retracted: set[str] = set()
        self.problems: list[Problem] = []
        self._set_rows()

    def refresh(self) -> None:
        """Look at the store again: new entries, retractions, snapshots. Where that fails, all stays as it was.

        Raises:
            StoreUnavailableError: If the store does not answer.
        """
        snapshot, broken = read_newest(self._backend, self._limits, self._snapshot)
        problems = [Problem("index", str(error)) for error in broken]
        keys = self._entry_keys(problems)
        kept = set() if snapshot is None else set(snapshot.table.column("entry_id").to_pylist())
        wanted = [entry_id for entry_id in keys if entry_id not in kept]
        read = for_each(self._backend, lambda entry_id: self._read(entry_id, keys[entry_id]), wanted)
        loose = {entry_id: found for entry_id, found in zip(wanted, read, strict=True) if isinstance(found, _Loose)}
        problems += [found for found in read if isinstance(found, Problem)]
        tombstones = map(id_of_tombstone, self._backend.list(TOMBSTONES))
        self.retracted = {entry_id for entry_id in tombstones if entry_id is not None}
        if loose.keys() != self._loose.keys():
            self._loose_table = index_table(found.row for found in loose.values())
        self._snapshot, self._loose, self.keys, self.problems = snapshot, loose, keys, problems
        self._set_rows()

    def entries(self, rows: Iterable[int]) -> list[Entry]:
        """Return the entries of some rows, checked against their ids.

        Raises:
            StoreError: If the snapshot does not hold what it says.
        """
        wanted = [int(row) for row in rows]
        documents = self._documents(wanted)
        return [
            decode_entry(document, self.ids[row], self._limits) for row, document in zip(wanted, documents, strict=True)
        ]

    def starting_with(self, prefix: str) -> list[str]:
        """Return the ids of entries that begin with a prefix, retracted ones included."""
        candidates = [prefix] if prefix in self.row_of else self.ids
        return [entry_id for entry_id in candidates if entry_id.startswith(prefix) and entry_id in self.keys]

    def compact(self) -> str | None:
        """Write a snapshot of all entries that can be read, retracted ones included; return its key, None if none."""
        rows = [row for row, entry_id in enumerate(self.ids) if entry_id in self.keys]
        if not rows:
            return None
        documents = self._documents(rows)
        checked = [index_row(entry) for entry in self.entries(rows)]
        order = sorted(range(len(rows)), key=lambda at: (checked[at]["published"], checked[at]["entry_id"]))
        return write_snapshot(self._backend, [checked[at] for at in order], [documents[at] for at in order])

    def _documents(self, rows: list[int]) -> list[bytes]:
        """Return the entry files of some rows."""
        kept = [row for row in rows if self.ids[row] not in self._loose]
        found = self._snapshot.documents(kept) if self._snapshot is not None else {}
        return [found[row] if row in found else self._loose[self.ids[row]].document for row in rows]

    def _entry_keys(self, problems: list[Problem]) -> dict[str, str]:
        """Return the entry file of each id: of an id on two days, the earlier; add files that are no entries'."""
        keys: dict[str, str] = {}
        for key in self._backend.list(ENTRIES):
            entry_id = id_of_entry(key)
            if entry_id is None:
                problems.append(Problem(key, "its name is no entry's; remove it"))
            else:
                keys.setdefault(entry_id, key)
        return keys

    def _read(self, entry_id: str, key: str) -> _Loose | Problem:
        """Return what is kept of an entry read now or before, or why it cannot be read."""
        if entry_id in self._loose:
            return self._loose[entry_id]
        try:
            data = self._backend.get(key, self._limits.manifest_bytes)
            if data is not None:
                return _Loose(index_row(decode_entry(data, entry_id, self._limits)), data)
            return Problem(key, "it vanished while it was read; entries are never deleted: restore it")
        except StoreUnavailableError:
            raise
        except StoreError as error:
            return Problem(key, str(error))

    def _set_rows(self) -> None:
        tables = [self._loose_table] if self._snapshot is None else [self._snapshot.table, self._loose_table]
        self.table: pa.Table = pa.concat_tables(tables).combine_chunks()
        self.ids: list[str] = self.table.column("entry_id").to_pylist()
        self.row_of = {entry_id: row for row, entry_id in enumerate(self.ids)}
        self.shown = np.array([i in self.keys and i not in self.retracted for i in self.ids], np.bool_)
