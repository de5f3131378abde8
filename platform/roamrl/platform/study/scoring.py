"""Evaluation of a unit's snapshots, as Ray tasks: each member on its tasks, on streams common to all arms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import ray
import torch
from numpy.typing import NDArray

from roamrl.algorithms.rllib.outcome import read_snapshot
from roamrl.envs.radio.trace_library import open_traces
from roamrl.envs.task import Task
from roamrl.platform.evaluation.evaluate import evaluate_bundles
from roamrl.platform.evaluation.references import ReferenceReturns, reference_returns


@dataclass(frozen=True)
class Job:
    """One evaluation of all members of a unit.

    Attributes:
        iteration: Which snapshot.
        members: Which members, by number.
        tasks: Task of each, as its policy sees it.
        episodes: Episodes each.
        seed: Seed of their streams; None for the evaluation's.
    """

    iteration: int
    members: tuple[int, ...]
    tasks: tuple[Task, ...]
    episodes: int
    seed: int | None = None


@dataclass(frozen=True)
class Played:
    """What a job gave: returns and violation rates, [members, episodes] (rates NaN where the family has none)."""

    returns: NDArray[np.float64]
    violation_rate: NDArray[np.float64]


def score_snapshots(
    unit_folder: Path, jobs: Sequence[Job], *, seed: int, greedy: bool, traces: Path | None
) -> list[Played]:
    """Play every job.

    Args:
        unit_folder: The unit's folder.
        jobs: What to play.
        seed: Evaluation seed.
        greedy: Whether policies take their most likely action.
        traces: The run's recordings.
    """
    torch.set_num_threads(1)
    if traces is not None:
        open_traces(traces)
    results = []
    for job in jobs:
        bundles = read_snapshot(unit_folder, job.iteration)
        chosen = [bundles[member] for member in job.members]
        own = seed if job.seed is None else job.seed
        played = evaluate_bundles(chosen, job.tasks, episodes=job.episodes, seed=own, greedy=greedy)
        rates = played.measures.get("violation_rate", np.full_like(played.returns, np.nan))
        results.append(Played(played.returns, rates))
    return results


def score_references(task: Task, *, episodes: int, seed: int, traces: Path | None, cache: Path) -> ReferenceReturns:
    """Return the references' returns on a task, computing them if they are not in the cache."""
    if traces is not None:
        open_traces(traces)
    return reference_returns(task, episodes=episodes, seed=seed, cache=cache)


score_snapshots_remotely: Any = ray.remote(score_snapshots)  # type: ignore[arg-type]
score_references_remotely: Any = ray.remote(score_references)  # type: ignore[arg-type]
