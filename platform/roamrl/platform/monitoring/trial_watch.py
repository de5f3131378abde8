"""Tune's trials as metrics, and for trackers of experiments: one callback that holds nothing, since Tune pickles it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ray.rllib.utils.metrics import ENV_RUNNER_RESULTS, NUM_ENV_STEPS_SAMPLED
from ray.tune.callback import Callback
from ray.tune.experiment import Trial

from roamrl.algorithms.rllib.algorithm import NUM_MEMBERS_NONFINITE
from roamrl.platform.monitoring.metrics import ENV_STEPS, NONFINITE_MEMBERS, TRIAL_RESTARTS, count, level
from roamrl.platform.monitoring.trackers import new_trackers


@dataclass(frozen=True)
class TrialLabels:
    """What a trial is counted under."""

    study: str
    strategy: str
    stage: str


@dataclass
class _Watched:
    """The trials of an experiment of this process, by the names of their folders, or the labels of them all."""

    trials: Mapping[str, TrialLabels] | TrialLabels
    nonfinite: dict[str, int] = field(default_factory=dict)
    restarts: Counter[TrialLabels] = field(default_factory=Counter)
    trackers: list[Callback] = field(default_factory=list)

    def began(self) -> None:
        for labels in {self.trials} if isinstance(self.trials, TrialLabels) else set(self.trials.values()):
            self._level(NONFINITE_MEMBERS, 0, labels)
            self._level(TRIAL_RESTARTS, 0, labels)

    def labels(self, name: str) -> TrialLabels | None:
        return self.trials if isinstance(self.trials, TrialLabels) else self.trials.get(name)

    def reported(self, name: str, result: Mapping[str, Any]) -> None:
        labels = self.labels(name)
        if labels is None:
            return
        steps = result.get(ENV_RUNNER_RESULTS, {}).get(NUM_ENV_STEPS_SAMPLED, 0)
        count(ENV_STEPS, float(steps), **vars(labels))
        self.nonfinite[name] = int(result.get(NUM_MEMBERS_NONFINITE, 0))
        like = [number for other, number in self.nonfinite.items() if self.labels(other) == labels]
        self._level(NONFINITE_MEMBERS, sum(like), labels)

    def recovered(self, name: str) -> None:
        labels = self.labels(name)
        if labels is not None:
            self.restarts[labels] += 1
            self._level(TRIAL_RESTARTS, self.restarts[labels], labels)

    def _level(self, metric: Any, value: float, labels: TrialLabels) -> None:
        level(metric, value, **vars(labels))


_now: list[_Watched] = []


@contextmanager
def watched_trials(trials: Mapping[str, TrialLabels] | TrialLabels) -> Iterator[None]:
    """Measure Tune's trials within the block, and tell this process's trackers of them.

    Args:
        trials: What each trial is counted under, by the name of its folder; or what all are.
    """
    watched = _Watched(trials)
    watched.began()
    _now.append(watched)
    try:
        yield
    finally:
        _now.remove(watched)


class TrialWatch(Callback):
    """Passes the course of trials on to whoever watches in this process."""

    def setup(self, stop: Any = None, num_samples: Any = None, total_num_samples: Any = None, **info: Any) -> None:
        """Begin an experiment: trackers are made anew for each."""
        for watched in _now:
            watched.trackers = new_trackers()
        self._tell("setup", **info)

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Pass it on."""
        self._tell("on_trial_start", iteration, trials, trial, **info)

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """Count environment steps and members that are not finite."""
        for watched in _now:
            watched.reported(str(trial.custom_dirname), result)
        self._tell("on_trial_result", iteration, trials, trial, result, **info)

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Count a restart."""
        for watched in _now:
            watched.recovered(str(trial.custom_dirname))
        self._tell("on_trial_recover", iteration, trials, trial, **info)

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Pass it on."""
        self._tell("on_trial_complete", iteration, trials, trial, **info)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Pass it on."""
        self._tell("on_trial_error", iteration, trials, trial, **info)

    def on_experiment_end(self, trials: list[Trial], **info: Any) -> None:
        """Pass it on."""
        self._tell("on_experiment_end", trials, **info)

    def _tell(self, event: str, *arguments: Any, **info: Any) -> None:
        for watched in _now:
            for tracker in watched.trackers:
                getattr(tracker, event)(*arguments, **info)
