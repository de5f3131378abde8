"""Learning units as Ray Tune trials of our Algorithm, several at once, resumed where an earlier run was cut off."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.callback import Callback
from ray.tune.experiment import Trial

from roamrl.algorithms.learner_spec import LearnerSpec
from roamrl.algorithms.rllib.algorithm import PopulationAlgorithm
from roamrl.algorithms.rllib.learner_folder import LEARNER_FILE, write_learner
from roamrl.algorithms.rllib.outcome import read_done
from roamrl.algorithms.rllib.watchdog import default_patience_s, hang_reason
from roamrl.envs.canonical import content_hash
from roamrl.platform.monitoring.run_watch import run_now
from roamrl.platform.monitoring.trial_watch import TrialLabels, TrialWatch, watched_trials
from roamrl.platform.study.folder import Failure, RunFolder, failure_reason
from roamrl.platform.study.progress import Progress
from roamrl.platform.study.schema import ExecutionEntry
from roamrl.platform.study.tune_environment import tune_environment
from roamrl.platform.study.units import Unit


@dataclass(frozen=True)
class Assignment:
    """A unit and the learner that carries it out."""

    unit: Unit
    learner: LearnerSpec


def learn(
    folder: RunFolder,
    stage: str,
    assignments: Sequence[Assignment],
    execution: ExecutionEntry,
    progress: Progress,
) -> list[Failure]:
    """Train the units that are not yet trained; their snapshots and curves lie in their folders afterwards.

    Args:
        folder: The run's folder.
        stage: Name of the stage, for Tune's experiment.
        assignments: All units of the stage with their learners.
        execution: How many trials at once, how often to checkpoint.
        progress: Told of every unit that begins.

    Returns:
        The units that failed.
    """
    for assignment in assignments:
        place = folder.unit(assignment.unit.key)
        if not (place / LEARNER_FILE).exists():
            write_learner(place, assignment.learner, str(folder.traces_file) if folder.traces_file.exists() else None)
    unfinished = [a for a in assignments if read_done(folder.unit(a.unit.key)) is None]
    if not unfinished:
        return []
    ordered = sorted(assignments, key=lambda a: -a.unit.steps)
    errors = _fit(folder, stage, [folder.unit(a.unit.key) for a in ordered], execution, progress, ordered)
    failures = []
    for assignment in unfinished:
        place = folder.unit(assignment.unit.key)
        if read_done(place) is None:
            ended = "the trial ended before its learner was done"
            reason = hang_reason(place) or errors.get(place.name, ended)
            failures.append(Failure(assignment.unit.label, stage, reason))
            progress.unit_failed(assignment.unit.key, assignment.unit.label, reason)
    return failures


def _fit(
    folder: RunFolder,
    stage: str,
    places: Sequence[Path],
    execution: ExecutionEntry,
    progress: Progress,
    ordered: Sequence[Assignment],
) -> dict[str, str]:
    name = f"{stage}-{content_hash([place.name for place in places])[:12]}"
    storage = (folder.path / "tune").resolve()
    units = {place.name: a.unit for place, a in zip(places, ordered, strict=True)}
    with _watched(progress, units), watched_trials(_labels(stage, units)), tune_environment():
        if tune.Tuner.can_restore(str(storage / name)):
            tuner = tune.Tuner.restore(
                str(storage / name), trainable=PopulationAlgorithm, resume_unfinished=True, restart_errored=True
            )
        else:
            tuner = _tuner(name, storage, places, execution)
        grid = tuner.fit()
    results = [grid[number] for number in range(len(grid))]
    return {
        Path(result.config["folder"]).name: failure_reason(result.error)
        for result in results
        if result.error is not None and result.config
    }


def _tuner(name: str, storage: Path, places: Sequence[Path], execution: ExecutionEntry) -> tune.Tuner:
    return tune.Tuner(
        PopulationAlgorithm,
        param_space={
            "folder": tune.grid_search([str(place.resolve()) for place in places]),
            "iterations_per_report": execution.iterations_per_report,
            "environment_patience_s": default_patience_s(),
        },
        tune_config=tune.TuneConfig(
            max_concurrent_trials=execution.trials_at_once,
            reuse_actors=True,
            trial_name_creator=_trial_label,
            trial_dirname_creator=_trial_name,
        ),
        run_config=tune.RunConfig(
            name=name,
            storage_path=str(storage),
            verbose=0,
            callbacks=[_UnitStarts(), TrialWatch()],
            checkpoint_config=tune.CheckpointConfig(
                checkpoint_frequency=execution.checkpoint_every, num_to_keep=2, checkpoint_at_end=False
            ),
            failure_config=tune.FailureConfig(max_failures=execution.max_failures),
        ),
    )


def _trial_name(trial: Trial) -> str:
    """Return the name of a trial's folder, which is its unit's."""
    return Path(trial.config["folder"]).name


def _trial_label(trial: Trial) -> str:
    """Return what people and trackers read of a trial: stage, arm and unit."""
    for _, units in _watching.values():
        unit = units.get(_trial_name(trial))
        if unit is not None:
            return re.sub(r"[^\w.+-]+", "-", unit.label)
    return _trial_name(trial)


def _labels(stage: str, units: Mapping[str, Unit]) -> dict[str, TrialLabels]:
    """Return what each trial is counted under, none outside of a run."""
    run = run_now()
    if run is None:
        return {}
    return {name: TrialLabels(run.study, run.strategies[unit.arm], stage) for name, unit in units.items()}


_watching: dict[str, tuple[Progress, Mapping[str, Unit]]] = {}


class _UnitStarts(Callback):
    """Tells the progress of this process that a trial begins; holds nothing, since Tune pickles it."""

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Pass the trial's unit on."""
        for progress, units in _watching.values():
            unit = units.get(_trial_name(trial))
            if unit is not None:
                progress.unit_started(unit.key, unit.label)


@contextmanager
def _watched(progress: Progress, units: Mapping[str, Unit]) -> Iterator[None]:
    _watching["now"] = (progress, units)
    try:
        yield
    finally:
        _watching.clear()
