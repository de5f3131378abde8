"""Questions about experts, answered on the index's columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from roamrl.envs.errors import unknown_name
from roamrl.platform.store.errors import StoreError

Condition = float | str | tuple[float, float]
"""A context variable's value: equal to a number or text, or within an inclusive range."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Query:
    """Conditions that all must hold; None asks nothing.

    Attributes:
        family: Family id.
        config_hash: Hash of family and config (``Task.config_hash``).
        algorithm: Learning algorithm.
        strategy: Strategy.
        study: Study it was made by.
        split: Split it learned on.
        seed: Its member's seed.
        split_score: A split and the least mean score on it.
        context: Conditions on context values by name; parts of lists and maps by dotted path, ``weights.0``.
    """

    family: str | None = None
    config_hash: str | None = None
    algorithm: str | None = None
    strategy: str | None = None
    study: str | None = None
    split: str | None = None
    seed: int | None = None
    split_score: tuple[str, float] | None = None
    context: Mapping[str, Condition] = field(default_factory=dict)

    def mask(self, table: pa.Table) -> Mask:
        """Say for each row of the index's columns whether it answers.

        Raises:
            StoreError: If a context variable occurs in none of the entries that answer the other conditions.
        """
        mask = np.ones(table.num_rows, np.bool_)
        for name in ("family", "config_hash", "algorithm", "strategy", "study", "split", "seed"):
            value = getattr(self, name)
            if value is not None:
                mask &= _true(pc.equal(table.column(name), value))
        if self.split_score is not None:
            split, least = self.split_score
            splits, means = _flat(table, "score_splits"), _flat(table, "score_means")
            hits = _true(pc.equal(splits, split)) & _true(pc.greater_equal(means, float(least)))
            mask &= _any_of_row(table, "score_splits", hits)
        for name, condition in self.context.items():
            mask &= _context_mask(table, name, condition, mask)
        return mask


def nearest_rows(table: pa.Table, rows: NDArray[np.int64], features: Any, k: int) -> list[tuple[int, float]]:
    """Return the ``k`` rows whose features lie nearest (Euclidean), with distances: nearest first, ties by id.

    Args:
        table: The index's columns.
        rows: Rows to choose from.
        features: Features of the context asked about, [D].
        k: How many.

    Raises:
        StoreError: If features are not a finite vector, ``k`` is below one, or no row has features of that length.
    """
    wanted = np.asarray(features, np.float64)
    if wanted.ndim != 1 or not wanted.size or not np.isfinite(wanted).all() or k < 1:
        raise StoreError("nearest needs a finite feature vector [D] (Family.features) and k >= 1")
    column = _array(table, "features")
    starts = column.offsets.to_numpy()
    lengths = np.diff(starts)[rows]
    fitting = rows[lengths == wanted.size]
    if not fitting.size:
        if rows.size:
            raise StoreError(f"no expert here has {wanted.size} features; they have {sorted(set(lengths.tolist()))}")
        return []
    values = column.values.to_numpy(zero_copy_only=False)
    matrix = values[starts[fitting][:, None] + np.arange(wanted.size)]
    distances = np.sqrt(((matrix - wanted) ** 2).sum(axis=1))
    place = min(k, len(distances)) - 1
    near = np.flatnonzero(distances <= np.partition(distances, place)[place])
    ids = table.column("entry_id").take(pa.array(fitting[near])).to_pylist()
    order = sorted(range(len(near)), key=lambda at: (distances[near[at]], ids[at]))[:k]
    return [(int(fitting[near[at]]), float(distances[near[at]])) for at in order]


def _context_mask(table: pa.Table, name: str, condition: Condition, among: Mask) -> Mask:
    names = _true(pc.equal(_flat(table, "context_names"), name))
    if not (_any_of_row(table, "context_names", names) & among).any():
        known = set(pc.list_flatten(table.filter(pa.array(among)).column("context_names")).to_pylist())
        if known:
            raise StoreError(str(unknown_name("context variable", name, known)))
    if isinstance(condition, str):
        hits = _true(pc.equal(_flat(table, "context_texts"), condition))
    else:
        low, high = condition if isinstance(condition, tuple) else (condition, condition)
        numbers = _flat(table, "context_numbers")
        hits = _true(pc.greater_equal(numbers, float(low))) & _true(pc.less_equal(numbers, float(high)))
    return _any_of_row(table, "context_names", names & hits)


def _array(table: pa.Table, column: str) -> Any:
    chunks = table.column(column).chunks or [pa.array([], table.schema.field(column).type)]
    return chunks[0] if len(chunks) == 1 else pa.concat_arrays(chunks)


def _flat(table: pa.Table, column: str) -> Any:
    return pc.list_flatten(_array(table, column))


def _true(answer: Any) -> Mask:
    return np.asarray(pc.fill_null(answer, False).to_numpy(zero_copy_only=False), np.bool_)


def _any_of_row(table: pa.Table, column: str, hits: Mask) -> Mask:
    mask = np.zeros(table.num_rows, np.bool_)
    mask[pc.list_parent_indices(_array(table, column)).to_numpy()[hits]] = True
    return mask
