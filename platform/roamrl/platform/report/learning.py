"""Learning on several tasks at once: how a pretrained policy's training went on each of its tasks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from roamrl.envs.errors import InputError
from roamrl.platform.evaluation.normalisation import RETURNS, Yardstick
from roamrl.platform.report.lineage import lineage, parents_of
from roamrl.platform.report.run_data import RunData, first_seen

Floats = npt.NDArray[np.float64]

FILE = "learning.parquet"
COLUMNS = ("arm", "expert_id", "env_steps", "task_id", "task_name", "episodes", "return_mean")
LAST_SHARE = 0.1
"""Share of training, its last, over which tables take the mean."""


@dataclass(frozen=True)
class LearningCurve:
    """Training of the policies behind some arms, by task.

    Attributes:
        arms: The arms that start from them.
        policies: Independently trained policies, over which values are means.
        tasks: Names of the tasks, [K].
        env_steps: Environment steps of a policy on all tasks at the end of each stretch of training, [J].
        values: Score or return of the episodes of each stretch, NaN where none ended, [K, J].
        yardstick: What scores are measured against; returns where some task has nothing to score by.
    """

    arms: tuple[str, ...]
    policies: int
    tasks: tuple[str, ...]
    env_steps: Floats
    values: Floats
    yardstick: Yardstick

    @property
    def last(self) -> Floats:
        """Mean of each task over the last part of training, [K]; NaN without an episode there."""
        late = self.values[:, self.env_steps > (1.0 - LAST_SHARE) * self.env_steps[-1]]
        return mean_of_known(late, axis=1)


@dataclass(frozen=True)
class LearningRow:
    """The last part of training in numbers; a quartile of the tasks has at least one."""

    arms: str
    tasks: int
    policies: int
    mean: float
    worst_quartile: float
    best_quartile: float
    worst_task: str


def learning_curves(run: RunData) -> list[LearningCurve]:
    """Return one curve for the policies that arms share, of the arms that are shown; none for runs without any.

    Raises:
        InputError: If ``learning.parquet`` lacks columns.
    """
    path = run.folder / FILE
    if not path.exists():
        return []
    missing = [name for name in COLUMNS if name not in pq.read_schema(path).names]
    if missing:
        raise InputError(f"{path} lacks the columns {', '.join(missing)}; finish the run again to rewrite it")
    table = pq.read_table(path, columns=list(COLUMNS))
    users = _users(run)
    curves = []
    for arm in table.column("arm").unique().to_pylist():
        own = table.filter(pc.equal(table.column("arm"), arm))
        arms = first_seen(
            user for expert in own.column("expert_id").unique().to_pylist() for user in users.get(expert, ())
        )
        if arms:
            curves.append(_curve(run, tuple(arms), own))
    return curves


def learning_row(curve: LearningCurve) -> LearningRow:
    """Return how training ended, over tasks and on the worst and best quarter of them."""
    last = curve.last
    known = np.flatnonzero(np.isfinite(last))
    order = known[np.argsort(last[known], kind="stable")]
    quarter = max(1, len(order) // 4)
    return LearningRow(
        arms=", ".join(curve.arms),
        tasks=len(curve.tasks),
        policies=curve.policies,
        mean=float(last[order].mean()) if len(order) else float("nan"),
        worst_quartile=float(last[order[:quarter]].mean()) if len(order) else float("nan"),
        best_quartile=float(last[order[-quarter:]].mean()) if len(order) else float("nan"),
        worst_task=curve.tasks[order[0]] if len(order) else "",
    )


def _curve(run: RunData, arms: tuple[str, ...], table: pa.Table) -> LearningCurve:
    """Gather the rows of the policies that some arms share; policies count alike, however many episodes they had."""
    tasks, task = _numbered(table.column("task_id"))
    names = dict(zip(table.column("task_id").to_pylist(), table.column("task_name").to_pylist(), strict=True))
    steps, step = np.unique(table.column("env_steps").to_numpy(), return_inverse=True)
    returns = table.column("return_mean").to_numpy()
    tops = np.array([run.tops.get(name, (np.nan, np.nan)) for name in tasks])
    scored = bool(np.isfinite(tops).all()) and bool(run.yardstick.top)
    if scored:
        trivial, top = tops[task].T
        returns = (returns - trivial) / (top - trivial)
    total, count = np.zeros((2, len(tasks), len(steps)))
    np.add.at(total, (task, step), returns)
    np.add.at(count, (task, step), 1.0)
    return LearningCurve(
        arms=arms,
        policies=len(table.column("expert_id").unique()),
        tasks=tuple(names[name] for name in tasks),
        env_steps=steps.astype(np.float64),
        values=np.where(count > 0, total / np.maximum(count, 1.0), np.nan),
        yardstick=run.yardstick if scored else RETURNS,
    )


def _numbered(column: pa.ChunkedArray) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Return the distinct values in the order in which they are first seen, and the number of each row's."""
    encoded = column.combine_chunks().dictionary_encode()
    return encoded.dictionary.to_pylist(), encoded.indices.to_numpy().astype(np.int64)


def mean_of_known(values: Floats, axis: int) -> Floats:
    """Return the mean over an axis of the values that are numbers, NaN where none is."""
    known = np.isfinite(values)
    count = known.sum(axis=axis)
    total = np.where(known, values, 0.0).sum(axis=axis)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _users(run: RunData) -> dict[str, list[str]]:
    """Return by expert the arms that draw on it, directly or through what was made of it."""
    parents = parents_of(run.sources)
    drawn: dict[str, set[str]] = {}
    for row in run.rows:
        if row.stage in ("adapt", "pretrain") and run.shows(row.arm):
            own = (row.expert_id,) if row.stage == "pretrain" and row.expert_id else ()
            drawn.setdefault(row.arm, set()).update(row.source_ids, own)
    found: dict[str, list[str]] = {}
    for arm, sources in drawn.items():
        for expert in lineage(sources, parents):
            found.setdefault(expert, []).append(arm)
    return found
