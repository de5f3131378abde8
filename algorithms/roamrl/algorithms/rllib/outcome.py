"""What a learner leaves in its folder: snapshots of all members, the learning curve, and the mark that it is done."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save

from roamrl.algorithms.bundle import PolicyBundle
from roamrl.algorithms.rllib.learner_folder import read_learner
from roamrl.algorithms.rllib.task_returns import TaskCurve
from roamrl.envs.atomic_file import write_atomically
from roamrl.envs.errors import InputError

CURVE_FILE = "curve.npz"
DONE_FILE = "learner-done.json"
_MEASURE, _LOSS, _TASKS = "measure/", "loss/", "tasks/"

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """A learner's training, one entry an iteration.

    Attributes:
        iteration: Iterations done, 1 .. I, [I].
        env_steps: Environment steps a member has made, [I].
        episodes: Episodes a member has ended (mean over members, rounded down), [I].
        return_mean: Mean return of the episodes that ended in the iteration, NaN where none did, [I, P].
        measures: Mean of each step measure over the iteration's steps, [I, P] by name.
        losses: Losses, entropy, divergence from the policy that played, .., [I, P] by name.
        tasks: The same by task; None for members of one task, or of more than are told apart.
    """

    iteration: NDArray[np.int64]
    env_steps: NDArray[np.int64]
    episodes: NDArray[np.int64]
    return_mean: FloatArray
    measures: Mapping[str, FloatArray]
    losses: Mapping[str, FloatArray]
    tasks: TaskCurve | None = None


@dataclass(frozen=True)
class LearnerDone:
    """The mark of a finished learner.

    Attributes:
        iterations: Iterations done.
        env_steps: Environment steps a member made.
        wall_s: Seconds of training, over all attempts that led here.
        cpu_s: Processor seconds of the training process in that time.
        skipped: Optimiser steps each member skipped because its gradient was not finite, [P].
        peak_memory_mb: Most resident memory that a process which trained it had meanwhile, 10^6 bytes; all members
            share the process. None if it is not known.
    """

    iterations: int
    env_steps: int
    wall_s: float
    cpu_s: float
    skipped: tuple[int, ...]
    peak_memory_mb: float | None = None


def snapshot_path(folder: Path, iteration: int) -> Path:
    """Return where the snapshot after ``iteration`` iterations lies."""
    return folder / f"snapshot-{iteration:07d}.safetensors"


def write_snapshot(folder: Path, iteration: int, states: Sequence[Mapping[str, NDArray[Any]]]) -> None:
    """Write all members' arrays, stacked [P, ..] by name."""
    stacked = {name: np.stack([state[name] for state in states]) for name in states[0]}
    write_atomically(snapshot_path(folder, iteration), save(stacked))


def read_snapshot(folder: Path, iteration: int) -> list[PolicyBundle]:
    """Read the members as they were after ``iteration`` iterations.

    Raises:
        InputError: If there is no such snapshot.
    """
    path = snapshot_path(folder, iteration)
    if not path.is_file():
        kept = sorted(int(other.stem.removeprefix("snapshot-")) for other in folder.glob("snapshot-*.safetensors"))
        raise InputError(f"no snapshot of iteration {iteration} in {folder}; there are {kept}")
    module = read_learner(folder).module
    stacked = load_file(path)
    members = len(next(iter(stacked.values())))
    return [PolicyBundle(module, {name: array[i] for name, array in stacked.items()}) for i in range(members)]


def write_curve(folder: Path, curve: Curve) -> None:
    """Write ``curve.npz``."""
    arrays: dict[str, Any] = {
        "iteration": curve.iteration,
        "env_steps": curve.env_steps,
        "episodes": curve.episodes,
        "return_mean": curve.return_mean,
        **{_MEASURE + name: values for name, values in curve.measures.items()},
        **{_LOSS + name: values for name, values in curve.losses.items()},
        **({} if curve.tasks is None else {_TASKS + name: values for name, values in vars(curve.tasks).items()}),
    }
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    write_atomically(folder / CURVE_FILE, buffer.getvalue())


def read_curve(folder: Path) -> Curve:
    """Read ``curve.npz``.

    Raises:
        InputError: If the learner has not written it.
    """
    path = folder / CURVE_FILE
    if not path.is_file():
        raise InputError(f"no {CURVE_FILE} in {folder}: the learner has not finished; run it again to resume it")
    with np.load(path, allow_pickle=False) as stored:
        arrays = dict(stored)
    by_task = {key.removeprefix(_TASKS): value for key, value in arrays.items() if key.startswith(_TASKS)}
    return Curve(
        arrays["iteration"],
        arrays["env_steps"],
        arrays["episodes"],
        arrays["return_mean"],
        {key.removeprefix(_MEASURE): value for key, value in arrays.items() if key.startswith(_MEASURE)},
        {key.removeprefix(_LOSS): value for key, value in arrays.items() if key.startswith(_LOSS)},
        TaskCurve(**by_task) if by_task else None,
    )


def write_done(folder: Path, done: LearnerDone) -> None:
    """Write ``learner-done.json``; it comes last, so a folder that has it has everything."""
    value = {
        "iterations": done.iterations,
        "env_steps": done.env_steps,
        "wall_s": done.wall_s,
        "cpu_s": done.cpu_s,
        "skipped": list(done.skipped),
        "peak_memory_mb": done.peak_memory_mb,
    }
    write_atomically(folder / DONE_FILE, json.dumps(value).encode())


def read_done(folder: Path) -> LearnerDone | None:
    """Read ``learner-done.json``; None if the learner has not finished."""
    path = folder / DONE_FILE
    if not path.is_file():
        return None
    value = json.loads(path.read_bytes())
    return LearnerDone(
        value["iterations"],
        value["env_steps"],
        value["wall_s"],
        value["cpu_s"],
        tuple(value["skipped"]),
        value.get("peak_memory_mb"),
    )
