"""The classical policy tuned on each target's own episodes: an arm without a network, of few samples.

It has no learner, so no strategy describes it and it is no unit of members: the study switches it on, and a Ray task a
target plays it. At every point n of the curve the search begins anew with n episodes, on streams of the target and the
repetition that are never the evaluation's; at n = 0 it is the policy tuned on ``val``.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import ray
from numpy.typing import NDArray

from roamrl.envs.canonical import content_hash
from roamrl.envs.errors import InputError
from roamrl.envs.family import get_family
from roamrl.envs.radio.trace_library import open_traces
from roamrl.envs.task import Task
from roamrl.envs.tuned_reference import TunedReference
from roamrl.platform.evaluation.references import ReferenceReturns
from roamrl.platform.evaluation.seeds import seed_apart
from roamrl.platform.study.carry_out import as_completed
from roamrl.platform.study.folder import Failure, failure_reason
from roamrl.platform.study.provenance import source_commit
from roamrl.platform.study.results import RESULTS, Result, write_rows
from roamrl.platform.study.schema import CLASSICAL_TUNED, Study
from roamrl.platform.study.state import RunState
from roamrl.platform.study.tasks import NamedTask

VIOLATIONS = "violation_rate"


@dataclass(frozen=True)
class Search:
    """One search on a target: so many episodes at most, by one repetition.

    Attributes:
        repetition: Number of the repetition, 0, 1, ..
        point: Target episodes of the curve that it stands for.
        budget: Target episodes that it may play.
        seed: Seed of their streams.
        episodes: Evaluation episodes of what it found.
    """

    repetition: int
    point: int
    budget: int
    seed: int
    episodes: int


@dataclass(frozen=True)
class Found:
    """What a search gave.

    Attributes:
        returns: Evaluation returns of the policy found, [E].
        violation_rate: Its mean violation rate in evaluation, NaN where the family has none.
        searched: Target episodes that the search played.
        violation_searching: Mean violation rate of those, NaN of none.
        wall_s: Seconds of the search.
        cpu_s: Processor seconds of it.
    """

    returns: NDArray[np.float64]
    violation_rate: float
    searched: int
    violation_searching: float
    wall_s: float
    cpu_s: float


@dataclass(frozen=True)
class Target:
    """A target with every search on it."""

    study: Study
    named: NamedTask
    searches: tuple[Search, ...]

    @property
    def key(self) -> str:
        """The sha256 of everything that determines the result, the family's code with it."""
        searches = [[each.point, each.budget, each.seed, each.episodes] for each in self.searches]
        code = get_family(self.study.family).sources(dict(self.named.task.config))
        seed = self.study.evaluation.seed
        return content_hash(
            {"stage": "classical", "task": self.named.task.id, "searches": searches, "seed": seed, "sources": code}
        )

    @property
    def label(self) -> str:
        """Short name for people."""
        return f"{CLASSICAL_TUNED} {self.named.name}"


def classical_targets(study: Study, targets: Sequence[NamedTask]) -> list[Target]:
    """Return the targets with the searches on each; none where the study does not ask for them.

    Raises:
        InputError: If the family has no classical policy with numbers to tune.
    """
    if study.tuned_classical is None:
        return []
    for named in targets[:1]:
        if get_family(study.family).tuned_classical(named.task, 0, 0) is None:
            raise InputError(
                f"tuned_classical: family {study.family!r} has no classical policy with numbers to tune; leave it out"
            )
    return [Target(study, named, tuple(_searches(study, study.tuned_classical.up_to, named))) for named in targets]


def tuned_classical(state: RunState) -> None:
    """Tune the classical policy on every target and score it, with rows like those of an arm."""
    targets = classical_targets(state.study, state.targets)
    if not targets:
        return
    state.progress.stage("classical")
    finished = state.folder.finished()
    waiting: dict[Any, Target] = {}
    for target in targets:
        if target.key not in finished:
            state.progress.unit_started(target.key, target.label)
            reference = search_remotely.options(name=CLASSICAL_TUNED).remote(
                target.named.task, target.searches, seed=state.study.evaluation.seed, traces=state.traces
            )
            waiting[reference] = target
    as_completed(
        waiting,
        lambda target, found: _keep(state, target, found),
        lambda target, error: _failed(state, target, error),
    )


def search_and_score(task: Task, searches: Sequence[Search], *, seed: int, traces: Path | None) -> list[Found]:
    """Search as often as asked, and play what was found; policies with the same numbers are played once.

    Args:
        task: The target.
        searches: What to search.
        seed: Evaluation seed.
        traces: The run's recordings.
    """
    if traces is not None:
        open_traces(traces)
    played: dict[Any, tuple[NDArray[np.float64], float]] = {}
    found = []
    for search in searches:
        wall, cpu = time.perf_counter(), time.process_time()
        tuned = get_family(task.family).tuned_classical(task, search.budget, search.seed)
        assert tuned is not None  # checked before anything was played
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        if tuned.episodes > search.budget:
            raise InputError(
                f"family {task.family!r} played {tuned.episodes} episodes to tune on at most {search.budget}; "
                "tuned_classical must count every candidate's"
            )
        same = (search.episodes, tuple(tuned.numbers.items()))
        if same not in played:
            played[same] = _worth(task, tuned, search.episodes, seed)
        returns, rate = played[same]
        found.append(Found(returns, rate, tuned.episodes, tuned.measured(VIOLATIONS), wall, cpu))
    return found


search_remotely: Any = ray.remote(search_and_score)  # type: ignore[arg-type]


def _worth(task: Task, tuned: TunedReference, episodes: int, seed: int) -> tuple[NDArray[np.float64], float]:
    played = tuned.reference.play(get_family(task.family), [task], episodes=episodes, seed=seed)
    return played.returns[0], float(np.mean(played.measures.get(VIOLATIONS, np.nan)))


def _searches(study: Study, most: int, named: NamedTask) -> list[Search]:
    points, evaluation = study.adapt.episodes, study.evaluation
    lasts = {arm.up_to or points[-1] for arm in study.arms.values()}
    return [
        Search(
            number,
            point,
            min(point, most),
            _seed(study, named.task, number),
            evaluation.final_episodes if point in {points[0], *lasts} else evaluation.episodes,
        )
        for number in range(study.adapt.seeds)
        for point in points
    ]


def _seed(study: Study, task: Task, repetition: int) -> int:
    """Return the seed of the episodes that a repetition searches with; never the evaluation's."""
    purpose = {"root": study.seed, "stage": "classical", "number": repetition, "task": task.id}
    return seed_apart(study.evaluation.seed, purpose)


def _keep(state: RunState, target: Target, found: Sequence[Found]) -> None:
    rows = [
        result_row(target, state.references[target.named.task.id], search, each)
        for search, each in zip(target.searches, found, strict=True)
    ]
    write_rows(state.folder.part(target.key), rows, RESULTS)
    spent = {"wall_s": sum(each.wall_s for each in found), "cpu_s": sum(each.cpu_s for each in found)}
    state.folder.finish(target.key, {"stage": "classical", "arm": CLASSICAL_TUNED, **spent})
    state.progress.unit_done(target.key, target.label, 0, spent["wall_s"])


def result_row(target: Target, reference: ReferenceReturns, search: Search, found: Found) -> Result:
    """Return the row of what one search on a target found, scored between the target's references."""
    study, named = target.study, target.named
    episodes, steps = len(found.returns), get_family(study.family).typical_episode_steps(dict(named.task.config))
    return Result(
        study=study.name,
        unit=target.key,
        stage="adapt",
        arm=CLASSICAL_TUNED,
        strategy=CLASSICAL_TUNED,
        family=study.family,
        family_config_hash=named.task.config_hash,
        task_id=named.task.id,
        task_name=named.name,
        split=named.split,
        split_hash=named.split_hash,
        tuning="none",
        seed=search.repetition,
        source_ids=(),
        env_steps=search.point * steps,
        pretrain_env_steps=0,
        episodes=search.point,
        return_mean=float(found.returns.mean()),
        return_trivial=reference.mean("trivial", episodes),
        return_oracle=reference.mean("oracle", episodes),
        score=reference.score(found.returns),
        score_error=reference.score_error(found.returns),
        violation_rate=found.violation_rate,
        violation_adapting=_violation_adapting(search.point, found),
        eval_episodes=episodes,
        wall_s=found.wall_s,
        cpu_s=found.cpu_s,
        expert_id=None,
        commit=source_commit(),
    )


def _violation_adapting(point: int, found: Found) -> float:
    """Return the mean violation rate of all target episodes: of the search, and of what was found in those after it."""
    if point == 0:
        return float("nan")
    rates, counts = (found.violation_searching, found.violation_rate), (found.searched, point - found.searched)
    return sum(rate * count for rate, count in zip(rates, counts, strict=True) if count) / point


def _failed(state: RunState, target: Target, error: BaseException) -> None:
    reason = failure_reason(error)
    state.failures.append(Failure(target.label, "classical", reason))
    state.progress.unit_failed(target.key, target.label, reason)
