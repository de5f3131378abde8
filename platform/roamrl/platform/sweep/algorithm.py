"""The trainable of a sweep: our Algorithm, scored on ``val`` as it trains; members may take over each other."""

from __future__ import annotations

import json
import time
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ray.rllib.algorithms import Algorithm
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.utils.annotations import override
from ray.tune.result import DONE

from roamrl.algorithms.population.exploit import Copy, Exploitation, choose_copies, explore
from roamrl.algorithms.rllib.algorithm import PopulationAlgorithm
from roamrl.algorithms.rllib.config import PopulationConfig
from roamrl.algorithms.rllib.learner_folder import LEARNER_FILE, write_learner
from roamrl.algorithms.rllib.outcome import read_done
from roamrl.algorithms.rllib.source import LearnerSource
from roamrl.envs.atomic_file import write_atomically
from roamrl.envs.canonical import JSON
from roamrl.platform.sweep.folder import REPORTS_FILE, SweepFolder
from roamrl.platform.sweep.scoring import candidate_scores, member_scores
from roamrl.platform.sweep.spaces import range_of
from roamrl.platform.sweep.trial import Trial, build_trial, search_of

SCORE = "val_score"
"""What Tune compares: the best candidate's mean score on val."""

REPORTS = "reports"
"""Counter in a result by which schedulers tell how far a trial is."""

NO_SCORE = -1e30
"""What Tune is told of a trial that has no score."""

_SWEEP = "sweep"


@dataclass(frozen=True)
class Report:
    """What a trial said of itself once.

    Attributes:
        iteration: Iterations done.
        env_steps: Environment steps a member made.
        wall_s: Seconds since the trial began, over all attempts, evaluation included.
        scores: Mean score on val of each candidate, NaN for none.
        member_scores: The same of each member.
        values: What each member learned with up to here, by name.
        copies: Who takes over whom before training goes on, as (member, source).
    """

    iteration: int
    env_steps: int
    wall_s: float
    scores: list[float]
    member_scores: list[float]
    values: dict[str, list[float]]
    copies: list[tuple[int, int]]


def read_reports(place: Path) -> list[Report]:
    """Return what the trial in a folder has reported so far."""
    file = place / REPORTS_FILE
    if not file.exists():
        return []
    return [
        Report(**{**each, "copies": [(copy[0], copy[1]) for copy in each["copies"]]})
        for each in json.loads(file.read_text(encoding="utf-8"))
    ]


class SweepConfig(PopulationConfig):
    """Config of :class:`SweepAlgorithm`: the learner is made from a sweep's folder and the settings of the trial."""

    def __init__(self, algo_class: type | None = None) -> None:
        super().__init__(algo_class=algo_class or SweepAlgorithm)
        self.sweep_folder: str | None = None
        self.searched: dict[str, JSON] = {}

    def trial(self) -> Trial:
        """Return the trial that the settings make."""
        folder = self.opened()
        return build_trial(folder.study(), self.searched, folder.tasks())

    def opened(self) -> SweepFolder:
        """Return the sweep's folder."""
        return SweepFolder(Path(str(self.sweep_folder)))

    @override(PopulationConfig)
    def source(self) -> LearnerSource:
        """Return the trial's learner, written into its folder the first time."""
        folder = self.opened()
        place = folder.trial(self.searched)
        if not (place / LEARNER_FILE).exists():
            traces = str(folder.traces_file) if folder.traces_file.exists() else None
            write_learner(place, self.trial().learner, traces)
        return LearnerSource(place)


class SweepAlgorithm(PopulationAlgorithm):
    """Trains a trial's members from report to report.

    At each its members are scored on ``val``; under population-based training the worst then take over the best, by the
    sweep's seed and the number of the report alone. The trial's folder has all its reports (:func:`read_reports`).
    """

    @classmethod
    @override(Algorithm)
    def get_default_config(cls) -> SweepConfig:
        """Return a config without a sweep."""
        return SweepConfig()

    @override(Algorithm)
    def setup(self, config: AlgorithmConfig) -> None:  # type: ignore[override]
        """Build the trial."""
        own: Any = self.config
        folder = own.opened()
        self._study, self._references = folder.study(), folder.references()
        self._place: Path = folder.trial(own.searched)
        self.trial_plan: Trial = own.trial()
        self.reports: list[Report] = []
        self._spent_s = 0.0
        super().setup(config)

    @override(PopulationAlgorithm)
    def next_report(self, iterations: int) -> int:
        """Return the next iteration at which the trial is scored."""
        return next(at for at in self.trial_plan.reports if at > iterations)

    @override(PopulationAlgorithm)
    def step(self) -> dict[str, Any]:
        """Train up to the next report, and score; a trial that was over before Tune took note is not trained again."""
        kept = read_reports(self._place)
        if len(kept) == len(self.trial_plan.reports) and read_done(self._place) is not None:
            self.reports = kept
            return self._scored({DONE: True}, np.array(kept[-1].scores))
        began = time.monotonic()
        result = super().step()
        scores = member_scores(self._study, self.trial_plan, self.bundles(), self._references)
        learned_with = {name: column.tolist() for name, column in self.values.items()}
        copies = () if result[DONE] else self._exchange(scores)
        self._spent_s += time.monotonic() - began
        by_candidate = candidate_scores(self.trial_plan, scores)
        iterations = self.recorder.iterations
        self.reports.append(
            Report(
                iterations,
                self.spec.member_steps(iterations),
                self._spent_s,
                by_candidate.tolist(),
                scores.tolist(),
                learned_with,
                [(copy.member, copy.source) for copy in copies],
            )
        )
        write_atomically(self._place / REPORTS_FILE, json.dumps([asdict(each) for each in self.reports]).encode())
        return self._scored(result, by_candidate)

    def _scored(self, result: dict[str, Any], by_candidate: NDArray[np.float64]) -> dict[str, Any]:
        known = by_candidate[np.isfinite(by_candidate)]
        score = float(known.max()) if len(known) else NO_SCORE
        return {**result, SCORE: score, REPORTS: len(self.reports)}

    def _exchange(self, scores: Any) -> tuple[Copy, ...]:
        """Let the worst members take over the best, where the sweep says so."""
        search = search_of(self._study)
        if search.scheduler != "pbt":
            return ()
        settings = Exploitation(search.pbt.fraction, search.pbt.resample, search.pbt.factors)
        rng = np.random.default_rng([search.seed, len(self.reports)])
        copies = choose_copies(scores, settings.fraction, rng)
        if copies:
            ranges = {name: range_of(space) for name, space in search.spaces.items()}
            self.exploit(copies, explore(self.values, copies, ranges, settings, rng))
        return copies

    @override(PopulationAlgorithm)
    def get_state(
        self,
        components: str | Collection[str] | None = None,
        *,
        not_components: str | Collection[str] | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Return the algorithm's state and the reports so far."""
        state = super().get_state(components, not_components=not_components, **kwargs)
        if self._check_component(_SWEEP, components, not_components):
            state[_SWEEP] = {"reports": [asdict(report) for report in self.reports], "spent_s": self._spent_s}
        return state

    @override(PopulationAlgorithm)
    def set_state(self, state: dict[str, Any]) -> None:
        """Restore :meth:`get_state`'s result."""
        super().set_state(state)
        if _SWEEP in state:
            self.reports = [Report(**report) for report in state[_SWEEP]["reports"]]
            self._spent_s = state[_SWEEP]["spent_s"]
