"""Index snapshots: many entries in one Parquet file, so that readers need not open each."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from roamrl.platform.store.backend import Backend
from roamrl.platform.store.entry import Entry
from roamrl.platform.store.errors import StoreError, StoreUnavailableError
from roamrl.platform.store.layout import INDEX
from roamrl.platform.store.limits import Limits

ROW_GROUP = 1024

SCHEMA = pa.schema(
    [
        ("entry_id", pa.string()),
        ("published", pa.string()),
        ("publisher", pa.string()),
        ("family", pa.string()),
        ("config_hash", pa.string()),
        ("algorithm", pa.string()),
        ("strategy", pa.string()),
        ("study", pa.string()),
        ("split", pa.string()),
        ("seed", pa.int64()),
        ("env_steps", pa.int64()),
        ("blob", pa.string()),
        ("features", pa.list_(pa.float64())),
        ("score_splits", pa.list_(pa.string())),
        ("score_means", pa.list_(pa.float64())),
        ("context_names", pa.list_(pa.string())),
        ("context_numbers", pa.list_(pa.float64())),
        ("context_texts", pa.list_(pa.string())),
    ]
)
"""Columns by which entries are found; a snapshot adds ``document``, the entry's file."""

_DOCUMENT = pa.field("document", pa.binary())


def index_row(entry: Entry) -> dict[str, Any]:
    """Return an entry's values of :data:`SCHEMA`'s columns."""
    manifest = entry.manifest
    leaves = list(_leaves(manifest.context))
    return {
        "entry_id": entry.id,
        "published": entry.envelope.published,
        "publisher": entry.envelope.publisher,
        "family": manifest.family,
        "config_hash": manifest.config_hash,
        "algorithm": manifest.algorithm,
        "strategy": manifest.strategy,
        "study": manifest.study,
        "split": manifest.split,
        "seed": manifest.seed,
        "env_steps": manifest.env_steps,
        "blob": manifest.blob.sha256,
        "features": list(manifest.features),
        "score_splits": list(manifest.scores),
        "score_means": [score.mean for score in manifest.scores.values()],
        "context_names": [name for name, _ in leaves],
        "context_numbers": [None if isinstance(value, str) else float(value) for _, value in leaves],
        "context_texts": [value if isinstance(value, str) else None for _, value in leaves],
    }


def index_table(rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Return rows of :func:`index_row` as a table."""
    return pa.Table.from_pylist(list(rows), schema=SCHEMA)


def write_snapshot(backend: Backend, rows: Sequence[Mapping[str, Any]], documents: Sequence[bytes]) -> str:
    """Write rows and their entries' files as a snapshot named by its own sha256; return its key."""
    table = index_table(rows).append_column(_DOCUMENT, pa.array(documents, pa.binary()))
    buffer = io.BytesIO()
    pq.write_table(table, buffer, row_group_size=ROW_GROUP, compression="zstd")
    data = buffer.getvalue()
    key = f"{INDEX}{hashlib.sha256(data).hexdigest()}.parquet"
    backend.put(key, data)
    return key


class Snapshot:
    """A snapshot read into memory: its columns at once, its documents by row group when asked for.

    Attributes:
        key: Its key in the store.
        table: The columns of :data:`SCHEMA`.
    """

    def __init__(self, key: str, data: bytes) -> None:
        if key != f"{INDEX}{hashlib.sha256(data).hexdigest()}.parquet":
            raise StoreError(f"{key} was changed after it was written; remove it and compact anew")
        try:
            self._file = pq.ParquetFile(pa.BufferReader(data))
            if not self._file.schema_arrow.equals(SCHEMA.append(_DOCUMENT)):
                raise StoreError(f"{key} has other columns than this version's; compact anew")
            self.table = self._file.read(columns=SCHEMA.names)
        except pa.ArrowException as error:
            raise StoreError(f"{key} is no Parquet file ({error}); remove it and compact anew") from error
        if not _is_sound(self.table):
            raise StoreError(f"{key} holds rows that no entry gives; remove it and compact anew")
        self.key = key
        sizes = [self._file.metadata.row_group(group).num_rows for group in range(self._file.num_row_groups)]
        self._starts = [sum(sizes[:group]) for group in range(len(sizes))]
        self._group_of = [group for group, size in enumerate(sizes) for _ in range(size)]

    def documents(self, rows: Iterable[int]) -> dict[int, bytes]:
        """Return the entry files of some rows, by row."""
        groups: dict[int, list[int]] = {}
        for row in rows:
            groups.setdefault(self._group_of[row], []).append(row)
        found = {}
        for group, members in groups.items():
            column = self._file.read_row_group(group, columns=["document"]).column("document").combine_chunks()
            for row in members:
                found[row] = column[row - self._starts[group]].as_py()
        return found


def read_newest(backend: Backend, limits: Limits, loaded: Snapshot | None) -> tuple[Snapshot | None, list[StoreError]]:
    """Read the newest readable snapshot, or keep the loaded one if that is it; say which were not readable.

    Raises:
        StoreUnavailableError: If the store does not answer.
    """
    written = backend.modified(INDEX)
    problems: list[StoreError] = []
    for key in sorted(written, key=lambda key: (written[key], key), reverse=True):
        if loaded is not None and loaded.key == key:
            return loaded, problems
        try:
            data = backend.get(key, limits.index_bytes)
            if data is not None:
                return Snapshot(key, data), problems
        except StoreUnavailableError:
            raise
        except StoreError as error:
            problems.append(error)
    return None, problems


def _is_sound(table: pa.Table) -> bool:
    """Say whether ids and times are there and lists that belong together are of equal length."""
    ids = table.column("entry_id")
    paired = [("score_splits", "score_means"), ("context_names", "context_numbers"), ("context_names", "context_texts")]
    return (
        ids.null_count == 0
        and table.column("published").null_count == 0
        and len(set(ids.to_pylist())) == table.num_rows
        and all(_lengths(table, first).equals(_lengths(table, second)) for first, second in paired)
    )


def _lengths(table: pa.Table, column: str) -> Any:
    return pc.list_value_length(table.column(column)).combine_chunks()


def _leaves(value: Mapping[str, Any] | Sequence[Any], prefix: str = "") -> Iterable[tuple[str, float | str]]:
    """Yield a context's numbers and texts by dotted path, e.g. ``sla_weights.0``."""
    items = value.items() if isinstance(value, Mapping) else enumerate(value)
    for name, item in items:
        path = f"{prefix}{name}"
        if isinstance(item, Mapping | list | tuple):
            yield from _leaves(item, f"{path}.")
        elif item is not None:
            yield path, item
