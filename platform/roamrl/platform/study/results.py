"""Results as tidy tables: an evaluation, a training iteration on a target, or a stretch of training by task a row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from roamrl.envs.atomic_file import write_atomically
from roamrl.platform.evaluation.normalisation import scores_in_the_end
from roamrl.platform.monitoring.run_watch import report_rows

RESULTS = pa.schema(
    [
        ("study", pa.string()),
        ("unit", pa.string()),
        ("stage", pa.string()),
        ("arm", pa.string()),
        ("strategy", pa.string()),
        ("family", pa.string()),
        ("family_config_hash", pa.string()),
        ("task_id", pa.string()),
        ("task_name", pa.string()),
        ("split", pa.string()),
        ("split_hash", pa.string()),
        ("tuning", pa.string()),
        ("seed", pa.int64()),
        ("source_ids", pa.list_(pa.string())),
        ("env_steps", pa.int64()),
        ("pretrain_env_steps", pa.int64()),
        ("episodes", pa.int64()),
        ("return_mean", pa.float64()),
        ("return_trivial", pa.float64()),
        ("return_oracle", pa.float64()),
        ("score", pa.float64()),
        ("violation_rate", pa.float64()),
        ("violation_adapting", pa.float64()),
        ("eval_episodes", pa.int64()),
        ("wall_s", pa.float64()),
        ("cpu_s", pa.float64()),
        ("expert_id", pa.string()),
        ("commit", pa.string()),
        ("peak_memory_mb", pa.float64()),
        ("score_error", pa.float64()),
    ]
)
"""Columns of ``results.parquet``.

``score`` is measured against the oracle; where the family has none (``return_oracle`` is NaN) against the best
specialist on the task, and without one it is the return (:mod:`roamrl.platform.evaluation.normalisation`).
``stage`` is reference, pretrain, zero-shot (source policies on targets as they are), probe (episodes of a target on
which its source was chosen), tune, adapt (the tuned classical policy's too, whose arm and strategy are
``classical-tuned``), or gap: policies of some number of training contexts, on those and on targets, each named by its
key in ``gap.json`` as its source. ``tuning`` is candidate (stage tune), fixed or per-n (adapt), or none. ``episodes``
and ``env_steps`` are target episodes and steps so far, those of probes included; where a policy is pretrained,
``env_steps`` are those of its own training. ``pretrain_env_steps`` are the steps of the experts in ``source_ids`` and
of what those were made of: a pool that was looked at to choose them is not in it. ``violation_adapting`` is the mean
violation rate of the target episodes. ``wall_s`` and ``cpu_s`` are a member's equal share of its trial's time,
``peak_memory_mb`` (10^6 bytes) is the whole trial's: the most resident memory of its process, whose members share it;
null where nothing was trained or it is not known. ``score_error`` is the standard error that the score has from its
evaluation episodes alone: all arms meet the same ones, so that intervals over runs do not show it; null where it is not
known.
"""

CURVES = pa.schema(
    [
        ("unit", pa.string()),
        ("arm", pa.string()),
        ("strategy", pa.string()),
        ("task_id", pa.string()),
        ("task_name", pa.string()),
        ("split", pa.string()),
        ("tuning", pa.string()),
        ("seed", pa.int64()),
        ("episodes", pa.int64()),
        ("env_steps", pa.int64()),
        ("return_mean", pa.float64()),
        ("violation_rate", pa.float64()),
    ]
)
"""Columns of ``curves.parquet``: what training on a target gave, one row a member and iteration."""

LEARNING = pa.schema(
    [
        ("unit", pa.string()),
        ("arm", pa.string()),
        ("strategy", pa.string()),
        ("seed", pa.int64()),
        ("expert_id", pa.string()),
        ("iteration", pa.int64()),
        ("env_steps", pa.int64()),
        ("task_id", pa.string()),
        ("task_name", pa.string()),
        ("split", pa.string()),
        ("episodes", pa.int64()),
        ("return_mean", pa.float64()),
    ]
)
"""Columns of ``learning.parquet``: what pretraining on several tasks gave on each.

One row a member, task and stretch of training in which an episode of the task ended. ``iteration`` and ``env_steps``
(on all tasks) are those at the stretch's end, ``episodes`` the task's that ended in it and ``return_mean`` their mean
return. The arm is the first of those that share the member; ``expert_id`` is what it was published as.
"""


@dataclass(frozen=True)
class Result:
    """One row of :data:`RESULTS`."""

    study: str
    unit: str
    stage: str
    arm: str
    strategy: str
    family: str
    family_config_hash: str
    task_id: str
    task_name: str
    split: str
    split_hash: str
    tuning: str
    seed: int
    source_ids: tuple[str, ...]
    env_steps: int
    pretrain_env_steps: int
    episodes: int
    return_mean: float
    return_trivial: float
    return_oracle: float
    score: float
    violation_rate: float
    violation_adapting: float
    eval_episodes: int
    wall_s: float
    cpu_s: float
    expert_id: str | None
    commit: str
    peak_memory_mb: float | None = None
    score_error: float | None = None


@dataclass(frozen=True)
class CurvePoint:
    """One row of :data:`CURVES`."""

    unit: str
    arm: str
    strategy: str
    task_id: str
    task_name: str
    split: str
    tuning: str
    seed: int
    episodes: int
    env_steps: int
    return_mean: float
    violation_rate: float


@dataclass(frozen=True)
class LearningPoint:
    """One row of :data:`LEARNING`."""

    unit: str
    arm: str
    strategy: str
    seed: int
    expert_id: str | None
    iteration: int
    env_steps: int
    task_id: str
    task_name: str
    split: str
    episodes: int
    return_mean: float


def write_rows(
    path: Path, rows: Sequence[Result] | Sequence[CurvePoint] | Sequence[LearningPoint], schema: pa.Schema
) -> None:
    """Write rows as one Parquet file, whole or not at all; results are measured for those who watch the run."""
    write_table(path, pa.Table.from_pylist([asdict(row) for row in rows], schema=schema))
    report_rows([row for row in rows if isinstance(row, Result)])


def write_table(path: Path, table: pa.Table) -> None:
    """Write a table as one Parquet file, whole or not at all."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    write_atomically(path, sink.getvalue().to_pybytes())


def with_final_scores(results: pa.Table, val: str) -> pa.Table:
    """Return the table of a finished run with the scores it ends with; those by an oracle stay as they are."""
    if np.isfinite(results.column("return_oracle").to_numpy()).any() or not results.num_rows:
        return results
    rows = [Result(**row) for row in results.to_pylist()]
    final = scores_in_the_end(rows, [row.score for row in rows], val)
    return results.set_column(results.schema.get_field_index("score"), RESULTS.field("score"), pa.array(final))


def read_parts(paths: Sequence[Path], schema: pa.Schema) -> pa.Table:
    """Read part files into one table."""
    if not paths:
        return schema.empty_table()
    return pa.concat_tables([pq.read_table(path, schema=schema) for path in paths])
