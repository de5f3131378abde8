"""A sweep's trials as Ray Tune runs them: what is tried next, what ends early, and going on after a kill."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ray import tune
from ray.tune.callback import Callback
from ray.tune.experiment import Trial
from ray.tune.schedulers import AsyncHyperBandScheduler, MedianStoppingRule, TrialScheduler

from roamrl.envs.canonical import JSON
from roamrl.platform.monitoring.metrics import SCORE as SCORE_METRIC
from roamrl.platform.monitoring.metrics import level
from roamrl.platform.monitoring.trial_watch import TrialLabels, TrialWatch, watched_trials
from roamrl.platform.study.folder import Failure, failure_reason
from roamrl.platform.study.progress import Progress
from roamrl.platform.study.schema import Study
from roamrl.platform.study.search_entries import SearchEntry
from roamrl.platform.study.tune_environment import tune_environment
from roamrl.platform.sweep.algorithm import NO_SCORE, REPORTS, SCORE, SweepAlgorithm
from roamrl.platform.sweep.folder import SweepFolder
from roamrl.platform.sweep.paths import value_at
from roamrl.platform.sweep.spaces import DRAWN_TRIALS, Settings, draw_settings, tune_domain
from roamrl.platform.sweep.trial import search_of

_EXPERIMENT = STAGE = "sweep"
_LONGEST_NAME = 100


def run_trials(folder: SweepFolder, study: Study, progress: Progress) -> tuple[list[Settings], list[Failure]]:
    """Run the trials that are not over, and return the settings of all in the order they began, and what failed."""
    storage = (folder.path / "tune").resolve()
    labels = TrialLabels(study.name, study.arms[search_of(study).arm].strategy, STAGE)
    with _watched(_Course(progress, labels, study.val)), watched_trials(labels), tune_environment():
        if tune.Tuner.can_restore(str(storage / _EXPERIMENT)):
            tuner = tune.Tuner.restore(
                str(storage / _EXPERIMENT), trainable=SweepAlgorithm, resume_unfinished=True, restart_errored=True
            )
        else:
            tuner = _tuner(folder, study)
        grid = tuner.fit()
    results = [grid[number] for number in range(len(grid))]
    settings = [dict(result.config["searched"]) for result in results if result.config]
    failures = [
        Failure(label(dict(result.config["searched"])), "sweep", failure_reason(result.error))
        for result in results
        if result.error is not None and result.config
    ]
    return settings, failures


def label(settings: Mapping[str, JSON]) -> str:
    """Return a trial's settings in a line."""
    return ", ".join(f"{name}={_short(value)}" for name, value in settings.items()) or "the study's own settings"


def _short(value: JSON) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _tuner(folder: SweepFolder, study: Study) -> tune.Tuner:
    search = search_of(study)
    drawn: dict[str, Any] = {"searched": {}}
    algorithm, samples = None, 1
    if search.algorithm == "optuna":
        drawn = {"searched": {path: tune_domain(space) for path, space in search.space.items()}}
        algorithm, samples = _optuna(study, search), search.budget.trials or DRAWN_TRIALS
    elif search.space:
        drawn = {"searched": tune.grid_search(draw_settings(search))}
    return tune.Tuner(
        SweepAlgorithm,
        param_space={"sweep_folder": str(folder.path.resolve()), **drawn},
        tune_config=tune.TuneConfig(
            metric=SCORE,
            mode="max",
            scheduler=_scheduler(search),
            search_alg=algorithm,
            num_samples=samples,
            max_concurrent_trials=search.concurrency,
            time_budget_s=search.budget.wall_s,
            reuse_actors=True,
            trial_name_creator=_trial_name,
            trial_dirname_creator=lambda trial: str(trial.trial_id),
        ),
        run_config=tune.RunConfig(
            name=_EXPERIMENT,
            storage_path=str(folder.path.resolve() / "tune"),
            verbose=0,
            callbacks=[_TrialEnds(), TrialWatch()],
            checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=1, num_to_keep=2, checkpoint_at_end=False),
            failure_config=tune.FailureConfig(max_failures=study.execution.max_failures),
        ),
    )


def _trial_name(trial: Trial) -> str:
    """Return what trackers show of a trial: its settings, behind its number in the search, which makes it unique."""
    settings = re.sub(r"[^\w.+-]+", "-", label(trial.config["searched"])).strip("-")
    return f"{trial.trial_id}-{settings}"[:_LONGEST_NAME]


def _scheduler(search: SearchEntry) -> TrialScheduler | None:
    if search.scheduler == "asha":
        return AsyncHyperBandScheduler(
            time_attr=REPORTS,
            max_t=search.budget.reports,
            grace_period=search.asha.grace,
            reduction_factor=search.asha.reduction,
        )
    if search.scheduler == "median":
        return MedianStoppingRule(time_attr=REPORTS, grace_period=search.asha.grace, min_samples_required=3)
    return None


def _optuna(study: Study, search: SearchEntry) -> Any:
    """Return Optuna's tree-structured Parzen estimator, told to try the study's own settings first if it may."""
    from ray.tune.search.optuna import OptunaSearch

    own = {path: value_at(study, path) for path in search.space}
    within = all(space.contains(own[path]) for path, space in search.space.items())
    first = [{f"searched/{path}": value for path, value in own.items()}] if within else None
    return OptunaSearch(seed=search.seed, points_to_evaluate=first)


@dataclass
class _Course:
    """Who is told of this process's sweep, and the highest score on val so far."""

    progress: Progress
    labels: TrialLabels
    val: str
    best: float = -math.inf

    def reported(self, score: float) -> None:
        if score > max(self.best, NO_SCORE):
            self.best = score
            level(SCORE_METRIC, score, **vars(self.labels), split=self.val)


_watching: list[_Course] = []


class _TrialEnds(Callback):
    """Tells who watches in this process how trials go; holds nothing, since Tune pickles it."""

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Pass the trial on."""
        for course in _watching:
            course.progress.unit_started(trial.trial_id, label(trial.config["searched"]))

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """Measure the best score."""
        for course in _watching:
            course.reported(float(result[SCORE]))

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Pass on that it is done, or was ended early."""
        last = trial.last_result or {}
        windows, seconds = int(last.get("num_env_steps_sampled_lifetime") or 0), float(last.get("time_total_s") or 0.0)
        for course in _watching:
            course.progress.unit_done(trial.trial_id, label(trial.config["searched"]), windows, seconds)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Pass on that it failed for good."""
        for course in _watching:
            course.progress.unit_failed(
                trial.trial_id, label(trial.config["searched"]), "its process ended with an error"
            )


@contextmanager
def _watched(course: _Course) -> Iterator[None]:
    _watching.append(course)
    try:
        yield
    finally:
        _watching.remove(course)
