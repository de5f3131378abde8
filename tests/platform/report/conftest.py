"""A run folder whose truth is known: every arm's curve is a straight line over log(1 + n) plus an offset a run.

The offsets of an arm on a task are normal quantiles in shuffled order: they are symmetric, so the IQM over runs is the
line itself, and an arm with the same line is better with a probability of exactly one half.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from scipy.stats import norm

POINTS = (0, 1, 2, 5, 10, 20, 50, 100, 500, 2000)
PER_N_UP_TO = 100
EPISODE_STEPS = 50
TRIVIAL, ORACLE = 10.0, 30.0


@dataclass(frozen=True)
class ArmTruth:
    """Scores at n = 0 and at the last n by split; ``noise`` is the standard deviation of the runs' offsets."""

    strategy: str
    ends: dict[str, tuple[float, float]]
    noise: float = 0.03
    pretrain_steps: int = 0
    experts: int = 0


@dataclass(frozen=True)
class RunTruth:
    arms: dict[str, ArmTruth]
    splits: dict[str, int] = field(default_factory=lambda: {"similar": 4, "different": 4})
    seeds: int = 10
    specialist: float | None = 0.9
    classical: float = 0.45
    points: tuple[int, ...] = POINTS
    tunings: tuple[str, ...] = ("fixed",)
    failures: tuple[dict[str, str], ...] = ()
    metrics: dict[str, Any] = field(default_factory=lambda: {"window": 5, "tolerance": 0.1})
    iteration_episodes: int = 20
    dropped: tuple[str, ...] = ()
    curves: bool = True
    val_tasks: int = 4
    seed: int = 1
    score_error: dict[str, float] = field(default_factory=dict)


def default_truth(**changes: Any) -> RunTruth:
    """reuse wins on similar and loses on different; reuse-trunk cannot be told from scratch."""
    arms = {
        "scratch": ArmTruth("scratch", {"similar": (0.0, 0.70), "different": (0.0, 0.70)}),
        "joint": ArmTruth("joint", {"similar": (0.50, 0.80), "different": (0.40, 0.75)}, 0.03, 2_000_000, 2),
        "reuse": ArmTruth("reuse", {"similar": (0.60, 0.85), "different": (-0.60, 0.40)}, 0.03, 1_000_000, 4),
        "reuse-trunk": ArmTruth("reuse", {"similar": (0.0, 0.70), "different": (0.0, 0.70)}, 0.08, 1_000_000, 4),
    }
    return RunTruth(**{"arms": arms, **changes})


def score_line(ends: tuple[float, float], n: float, last: float) -> float:
    return ends[0] + (ends[1] - ends[0]) * float(np.log1p(n) / np.log1p(last))


def write_run(folder: Path, truth: RunTruth) -> Path:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(truth.seed)
    tasks = [(split, f"{split}-{number}") for split, count in truth.splits.items() for number in range(count)]
    val = [("val", f"val-{number}") for number in range(truth.val_tasks)]
    rows = _references(tasks + val, truth) + _specialists(tasks, truth)
    curves: list[dict[str, Any]] = []
    for name, arm in truth.arms.items():
        rows += _experts(name, arm, tasks, val, rng) + _candidates(name, arm, val)
        for tuning in truth.tunings:
            for split, task in tasks:
                offsets = arm.noise * rng.permutation(norm.ppf((np.arange(truth.seeds) + 0.5) / truth.seeds))
                for seed, offset in enumerate(offsets):
                    rows += _adaptation(name, arm, split, task, seed, tuning, offset, truth)
                    if truth.curves and tuning != "per-n":
                        curves += _training(name, arm, split, task, seed, tuning, offset, truth, rng)
    for row in rows:
        row["score_error"] = truth.score_error.get(row["split"])
    pq.write_table(pa.Table.from_pylist(rows, schema=RESULTS), folder / "results.parquet")
    pq.write_table(pa.Table.from_pylist(curves, schema=CURVES), folder / "curves.parquet")
    study = {
        "name": "synthetic",
        "about": "A run whose truth is known.",
        "family": "slicing-v1",
        "targets": list(truth.splits),
        "val": "val",
        "metrics": truth.metrics,
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(study))
    (folder / "failures.json").write_text(json.dumps(list(truth.failures)))
    (folder / "dropped.json").write_text(
        json.dumps([{"task_name": t, "split": "similar", "gap": 0.01} for t in truth.dropped])
    )
    about = {
        "study": "synthetic",
        "commit": "0123456789abcdef",
        "wall_s": 754.2,
        "cpu_s": 1423.0,
        "machine": "2 cores",
        "command": "roamrl run synthetic",
        "started": "2026-01-31T12:00:00Z",
    }
    (folder / "run.json").write_text(json.dumps(about))
    return folder


def expert_id(arm: str, number: int) -> str:
    return f"{arm}-{number}".encode().hex().ljust(64, "0")


def _row(stage: str, arm: str, strategy: str, split: str, task: str, score: float, **more: Any) -> dict[str, Any]:
    row = {
        "study": "synthetic",
        "unit": f"{stage}-{arm}",
        "stage": stage,
        "arm": arm,
        "strategy": strategy,
        "family": "slicing-v1",
        "family_config_hash": "c" * 64,
        "task_id": task.encode().hex().ljust(64, "0"),
        "task_name": task,
        "split": split,
        "split_hash": "d" * 64,
        "tuning": "none",
        "seed": 0,
        "source_ids": [],
        "env_steps": 0,
        "pretrain_env_steps": 0,
        "episodes": 0,
        "return_mean": TRIVIAL + score * (ORACLE - TRIVIAL),
        "return_trivial": TRIVIAL,
        "return_oracle": ORACLE,
        "score": score,
        "violation_rate": 0.1,
        "violation_adapting": None,
        "eval_episodes": 100,
        "wall_s": 1.0,
        "cpu_s": 2.0,
        "expert_id": None,
        "commit": "0123456789abcdef",
        "peak_memory_mb": None,
    }
    return row | more


def _references(tasks: list[tuple[str, str]], truth: RunTruth) -> list[dict[str, Any]]:
    scores = {"trivial": 0.0, "classical": truth.classical, "oracle": 1.0}
    return [
        _row("reference", name, name, split, task, score) for split, task in tasks for name, score in scores.items()
    ]


def _specialists(tasks: list[tuple[str, str]], truth: RunTruth) -> list[dict[str, Any]]:
    """Two evaluations of two seeds; the mean of the seeds' last ones is the ceiling."""
    if truth.specialist is None:
        return []
    return [
        _row("pretrain", "specialist", "specialist", split, task, score + shift, seed=seed, env_steps=steps)
        for split, task in tasks
        for seed, shift in ((0, -0.01), (1, 0.01))
        for steps, score in ((1_000_000, 0.2), (3_000_000, truth.specialist))
    ]


def _experts(
    name: str, arm: ArmTruth, tasks: list[tuple[str, str]], val: list[tuple[str, str]], rng: np.random.Generator
) -> list[dict[str, Any]]:
    """An arm's experts score 0.5 + 0.05 x number on val, joint's 0.1 more, with task noise below those steps."""
    bonus = 0.1 if name == "joint" else 0.0
    return [
        _row(
            "pretrain",
            name,
            arm.strategy,
            split,
            task,
            0.5 + 0.05 * number + bonus + 0.01 * rng.uniform(-1, 1),
            seed=number,
            env_steps=arm.pretrain_steps,
            expert_id=expert_id(name, number),
            cpu_s=100.0,
            wall_s=60.0,
        )
        for number in range(arm.experts)
        for split, task in val + tasks
    ]


def _adaptation(
    name: str, arm: ArmTruth, split: str, task: str, seed: int, tuning: str, offset: float, truth: RunTruth
) -> list[dict[str, Any]]:
    source = [expert_id(name, seed % arm.experts)] if arm.experts else []
    gain = 0.05 if tuning == "per-n" else 0.0
    return [
        _row(
            "adapt",
            name,
            arm.strategy,
            split,
            task,
            score_line(arm.ends[split], n, truth.points[-1]) + offset + gain,
            tuning=tuning,
            seed=seed,
            source_ids=source,
            episodes=n,
            env_steps=n * EPISODE_STEPS,
            pretrain_env_steps=arm.pretrain_steps,
            violation_adapting=0.2 if n else None,
            wall_s=0.01 * n,
            cpu_s=0.02 * n,
        )
        for n in truth.points
        if tuning != "per-n" or n <= PER_N_UP_TO
    ]


def _candidates(name: str, arm: ArmTruth, val: list[tuple[str, str]]) -> list[dict[str, Any]]:
    """Two step sizes on each val task, evaluated at two points: 2 x 5000 steps a task."""
    return [
        _row(
            "tune", name, arm.strategy, split, task, 0.5, unit=f"tune-{name}-{lr}", tuning="candidate", env_steps=steps
        )
        for split, task in val
        for lr in (0.001, 0.003)
        for steps in (50, 5000)
    ]


def _training(
    name: str,
    arm: ArmTruth,
    split: str,
    task: str,
    seed: int,
    tuning: str,
    offset: float,
    truth: RunTruth,
    rng: np.random.Generator,
) -> list[dict[str, Any]]:
    points = []
    for n in range(truth.iteration_episodes, truth.points[-1] + 1, truth.iteration_episodes):
        score = score_line(arm.ends[split], n, truth.points[-1]) + offset + 0.02 * rng.standard_normal()
        points.append(
            {
                "unit": f"adapt-{name}",
                "arm": name,
                "strategy": arm.strategy,
                "task_id": task.encode().hex().ljust(64, "0"),
                "task_name": task,
                "split": split,
                "tuning": tuning,
                "seed": seed,
                "episodes": n,
                "env_steps": n * EPISODE_STEPS,
                "return_mean": TRIVIAL + score * (ORACLE - TRIVIAL),
                "violation_rate": 0.2,
            }
        )
    return points


TEXT, REAL, WHOLE = pa.string(), pa.float64(), pa.int64()
RESULTS = pa.schema(
    [
        *((name, TEXT) for name in ("study", "unit", "stage", "arm", "strategy", "family", "family_config_hash")),
        *((name, TEXT) for name in ("task_id", "task_name", "split", "split_hash", "tuning")),
        ("seed", WHOLE),
        ("source_ids", pa.list_(TEXT)),
        *((name, WHOLE) for name in ("env_steps", "pretrain_env_steps", "episodes")),
        *((name, REAL) for name in ("return_mean", "return_trivial", "return_oracle", "score")),
        *((name, REAL) for name in ("violation_rate", "violation_adapting")),
        ("eval_episodes", WHOLE),
        *((name, REAL) for name in ("wall_s", "cpu_s")),
        *((name, TEXT) for name in ("expert_id", "commit")),
        *((name, REAL) for name in ("peak_memory_mb", "score_error")),
    ]
)
CURVES = pa.schema(
    [
        *((name, TEXT) for name in ("unit", "arm", "strategy", "task_id", "task_name", "split", "tuning")),
        *((name, WHOLE) for name in ("seed", "episodes", "env_steps")),
        *((name, REAL) for name in ("return_mean", "violation_rate")),
    ]
)


@pytest.fixture(scope="session")
def make_run(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return what writes a run folder from `default_truth` with changes."""

    def make(**changes: Any) -> Path:
        return write_run(tmp_path_factory.mktemp("run") / "run", default_truth(**changes))

    return make


@pytest.fixture(scope="session")
def arm_truth() -> type[ArmTruth]:
    return ArmTruth
