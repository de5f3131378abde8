"""What a run folder holds, read once: runs on targets, references, training curves, experts' scores, failures."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from roamrl.envs.errors import InputError, unknown_name
from roamrl.platform.evaluation.normalisation import (
    BY_ORACLE,
    BY_SPECIALIST,
    Yardstick,
    best_specialists,
    val_yardstick,
    yardstick_of,
)
from roamrl.platform.report.settings import ReportSettings, settings_of

Floats = npt.NDArray[np.float64]

RESULT_COLUMNS = (
    *("study", "unit", "stage", "arm", "strategy", "family", "task_id", "task_name", "split", "tuning", "seed"),
    *("source_ids", "env_steps", "pretrain_env_steps", "episodes", "return_mean", "return_trivial", "return_oracle"),
    *("score", "violation_rate", "violation_adapting", "eval_episodes", "wall_s", "cpu_s", "expert_id"),
)
LATER_COLUMNS = ("peak_memory_mb", "score_error")
"""Columns that runs of earlier versions lack; they are NaN there."""

SOURCE_STAGES = ("pretrain", "zero-shot", "probe")
CURVE_COLUMNS = (
    *("unit", "arm", "strategy", "task_id", "task_name", "split", "tuning", "seed"),
    *("episodes", "env_steps", "return_mean", "violation_rate"),
)


@dataclass(frozen=True)
class Row:
    """One evaluation: a policy on a task after some target episodes (a row of ``results.parquet``)."""

    unit: str
    stage: str
    arm: str
    strategy: str
    task_id: str
    task_name: str
    split: str
    tuning: str
    seed: int
    source_ids: tuple[str, ...]
    env_steps: float
    pretrain_env_steps: float
    episodes: float
    return_mean: float
    return_trivial: float
    return_oracle: float
    score: float
    violation_rate: float
    violation_adapting: float
    wall_s: float
    cpu_s: float
    expert_id: str | None
    peak_memory_mb: float
    score_error: float = float("nan")


@dataclass(frozen=True)
class TrainingCurve:
    """Training on a target: one run, one point an update; `score` is NaN where the task has nothing to score by.

    Arrays are [I]: cumulative target episodes and steps, mean training return and score of what each point covers.
    """

    arm: str
    task_id: str
    split: str
    tuning: str
    seed: int
    episodes: Floats
    env_steps: Floats
    returns: Floats
    score: Floats


@dataclass(frozen=True)
class RunData:
    """A run folder.

    Attributes:
        folder: Where it lies.
        study: The resolved study.
        about: What `run.json` records (commit, machine, command, times).
        failures: Failed units; None if the run did not record them.
        rows: Evaluations whose score is a number.
        sources: Those of source policies (pretrained, zero-shot, probed). Arms that pretrain alike share the policies,
            and rows stand under the first of them, so these are of all arms whichever are shown.
        unscored: Number of evaluations left out because their score is not a number.
        dropped_tasks: Names of tasks that the run left out because oracle and trivial are too close.
        curves: Training curves on targets.
        settings: Parameters of the report.
        yardstick: What scores on targets are measured against.
        tops: J_trivial and the return that counts as 1, by task id; the latter NaN where nothing does.
        arms: The arms that are shown; empty for all.
    """

    folder: Path
    study: dict[str, Any]
    about: dict[str, Any]
    failures: list[dict[str, str]] | None
    rows: list[Row]
    sources: list[Row]
    unscored: int
    dropped_tasks: list[str]
    curves: list[TrainingCurve]
    settings: ReportSettings
    yardstick: Yardstick
    tops: dict[str, tuple[float, float]]
    arms: tuple[str, ...] = ()

    def only(self, arms: Sequence[str]) -> RunData:
        """Return the run as if it had these arms alone; references and specialists stay, which others are measured by.

        Raises:
            InputError: If the run has no such arm.
        """
        known = sorted({row.arm for row in self.rows if row.stage != "reference"})
        for arm in arms:
            if arm not in known:
                raise unknown_name("arm of this run", arm, known)
        kept = [row for row in self.rows if row.arm in arms or row.strategy == "specialist" or row.stage == "reference"]
        return replace(self, rows=kept, curves=[curve for curve in self.curves if curve.arm in arms], arms=tuple(arms))

    def shows(self, arm: str) -> bool:
        """Whether an arm is shown."""
        return not self.arms or arm in self.arms

    @property
    def val_yardstick(self) -> Yardstick:
        """What scores on the validation split are measured against."""
        return val_yardstick(self.yardstick)

    @property
    def name(self) -> str:
        """The study's name."""
        return str(self.study.get("name") or self.folder.name)

    @property
    def val(self) -> str:
        """Name of the split on which choices are made."""
        return str(self.study.get("val") or "val")


def read_run(folder: Path) -> RunData:
    """Read a run folder; `InputError` if it is none, or if a table lacks columns."""
    study = _read_study(folder / "study.yaml")
    settings = settings_of(study)
    table = _read_table(folder / "results.parquet", RESULT_COLUMNS, LATER_COLUMNS)
    every = [_row(record) for record in table.to_pylist()]
    rows = [row for row in every if np.isfinite(row.score)]
    if not rows:
        raise InputError(f"{folder / 'results.parquet'} has no row with a score; expected at least one; run it again")
    val = str(study.get("val") or "val")
    yardstick = yardstick_of(every, val)
    tops = _tops(rows, yardstick, val)
    curves_file = folder / "curves.parquet"
    curves = _read_curves(curves_file, tops) if curves_file.exists() else []
    return RunData(
        folder=folder,
        study=study,
        about=_read_json(folder / "run.json") or {},
        failures=_read_json(folder / "failures.json"),
        rows=rows,
        sources=[row for row in rows if row.stage in SOURCE_STAGES],
        unscored=len(every) - len(rows),
        dropped_tasks=[str(task["task_name"]) for task in _read_json(folder / "dropped.json") or []],
        curves=curves,
        settings=settings,
        yardstick=yardstick,
        tops=tops,
    )


def _tops(rows: Sequence[Row], yardstick: Yardstick, val: str) -> dict[str, tuple[float, float]]:
    """Return by task J_trivial and the return that counts as 1 (the oracle's, the best specialist's, else NaN)."""
    if yardstick is BY_ORACLE:
        return {row.task_id: (row.return_trivial, row.return_oracle) for row in rows}
    best = best_specialists(rows, val) if yardstick is BY_SPECIALIST else {}
    known = {row.task_id: (row.return_trivial, best.get(row.task_id, float("nan"))) for row in rows}
    return {task: (trivial, top if top > trivial else float("nan")) for task, (trivial, top) in known.items()}


def _read_study(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise InputError(f"{path.parent} is not a run folder: expected study.yaml in it; give the folder `run` printed")
    study = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(study, dict):
        raise InputError(f"{path} does not hold a study: expected keys and values")
    return study


def _read_json(path: Path) -> Any:
    """Return what a JSON file holds, None if there is no such file."""
    if not path.exists():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise InputError(f"{path} is not JSON ({error}); finish the run again to rewrite it") from error


def _read_table(path: Path, columns: Sequence[str], later: Sequence[str] = ()) -> pa.Table:
    if not path.exists():
        raise InputError(f"{path} is missing: the run has no results yet; resume it with the same --out")
    have = set(pq.read_schema(path).names)
    missing = [name for name in columns if name not in have]
    if missing:
        raise InputError(f"{path} lacks the columns {', '.join(missing)}; it was written by another version: run again")
    return pq.read_table(path, columns=[*columns, *(name for name in later if name in have)])


def _row(record: dict[str, Any]) -> Row:
    return Row(
        unit=str(record["unit"]),
        stage=str(record["stage"]),
        arm=str(record["arm"]),
        strategy=str(record["strategy"] or record["arm"]),
        task_id=str(record["task_id"]),
        task_name=str(record["task_name"] or str(record["task_id"])[:8]),
        split=str(record["split"]),
        tuning=str(record["tuning"] or "none"),
        seed=int(record["seed"] or 0),
        source_ids=tuple(str(source) for source in record["source_ids"] or ()),
        env_steps=_number(record["env_steps"]),
        pretrain_env_steps=_number(record["pretrain_env_steps"]),
        episodes=_number(record["episodes"]),
        return_mean=_number(record["return_mean"]),
        return_trivial=_number(record["return_trivial"]),
        return_oracle=_number(record["return_oracle"]),
        score=_number(record["score"]),
        violation_rate=_number(record["violation_rate"]),
        violation_adapting=_number(record["violation_adapting"]),
        wall_s=_number(record["wall_s"]),
        cpu_s=_number(record["cpu_s"]),
        expert_id=str(record["expert_id"]) if record["expert_id"] else None,
        peak_memory_mb=_number(record.get("peak_memory_mb")),
        score_error=_number(record.get("score_error")),
    )


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)


def _read_curves(path: Path, scale: dict[str, tuple[float, float]]) -> list[TrainingCurve]:
    """Cut the table into runs, a run being one (unit, arm, tuning, split, task, seed), in order of episodes."""
    table = _read_table(path, CURVE_COLUMNS)
    names = ("unit", "arm", "tuning", "split", "task_id", "seed")
    if table.num_rows == 0:
        return []
    keys = list(zip(*(table.column(name).to_pylist() for name in names), strict=True))
    codes = {key: code for code, key in enumerate(dict.fromkeys(keys))}
    code = np.array([codes[key] for key in keys])
    episodes, steps, returns = (_floats(table, name) for name in ("episodes", "env_steps", "return_mean"))
    order = np.lexsort((episodes, code))
    cuts = np.flatnonzero(np.diff(code[order])) + 1
    curves = (
        _curve(keys[rows[0]], episodes[rows], steps[rows], returns[rows], scale) for rows in np.split(order, cuts)
    )
    return [curve for curve in curves if curve is not None]


def _floats(table: pa.Table, name: str) -> Floats:
    return np.asarray(table.column(name).cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)


def _curve(
    key: tuple[Any, ...], episodes: Floats, steps: Floats, returns: Floats, scale: dict[str, tuple[float, float]]
) -> TrainingCurve | None:
    """Build a curve from the points that cover something and have a return; None if there is none."""
    _, arm, tuning, split, task_id, seed = key
    keep = np.isfinite(returns) & (np.diff(np.concatenate([[0.0], episodes])) > 0) & (steps > 0)
    if not keep.any():
        return None
    trivial, oracle = scale.get(task_id, (np.nan, np.nan))
    score = (returns[keep] - trivial) / (oracle - trivial)
    return TrainingCurve(
        arm=str(arm),
        task_id=str(task_id),
        split=str(split),
        tuning=str(tuning or "none"),
        seed=int(seed or 0),
        episodes=episodes[keep],
        env_steps=steps[keep],
        returns=returns[keep],
        score=score,
    )


def first_seen(values: Iterable[str]) -> list[str]:
    """Return values without repetitions, in the order in which they were first seen."""
    return list(dict.fromkeys(values))
