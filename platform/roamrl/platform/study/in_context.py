"""Arms that adapt by what their policies carry from episode to episode: played on every target, learning nothing.

A Ray task plays all targets with one pretrained policy a repetition of adaptation; the policies of pretraining take
turns. Its rows are like those of an arm that learns: one for each number of target episodes, up to the arm's last.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import ray
import torch
from numpy.typing import NDArray

from roamrl.envs.canonical import content_hash
from roamrl.envs.episodes import Episodes
from roamrl.envs.family import get_family
from roamrl.envs.radio.trace_library import open_traces
from roamrl.envs.task import Task
from roamrl.platform.evaluation.in_context import InContext, evaluate_in_context
from roamrl.platform.evaluation.seeds import seed_apart
from roamrl.platform.store.handover import HandedOver, Handover
from roamrl.platform.study.carry_out import as_completed, steps_behind
from roamrl.platform.study.folder import Failure, failure_reason
from roamrl.platform.study.learners import arm_strategy
from roamrl.platform.study.provenance import source_commit
from roamrl.platform.study.results import RESULTS, Result, write_rows
from roamrl.platform.study.schema import Study
from roamrl.platform.study.state import RunState
from roamrl.platform.study.tasks import NamedTask
from roamrl.platform.study.units import Member, Origin, arm_task

VIOLATIONS = "violation_rate"


@dataclass(frozen=True)
class Trials:
    """One pretrained policy of an arm on all targets, in one repetition.

    Attributes:
        study: The study.
        arm: The arm.
        repetition: Number of the repetition, 0, 1, ..
        origin: The policy.
        targets: The targets.
        points: Target episodes after which it is evaluated.
    """

    study: Study
    arm: str
    repetition: int
    origin: Origin
    targets: tuple[NamedTask, ...]
    points: tuple[int, ...]

    @property
    def warm_up(self) -> int:
        """Seed of the episodes in which it warms up; never the evaluation's."""
        purpose = {"root": self.study.seed, "stage": "in-context", "number": self.repetition}
        return seed_apart(self.study.evaluation.seed, purpose)

    @property
    def key(self) -> str:
        """The sha256 of everything that determines the result."""
        evaluation = self.study.evaluation.model_dump()
        return content_hash(
            {
                "stage": "in-context",
                "arm": self.arm,
                "policy": [self.origin.unit, self.origin.member],
                "tasks": [named.task.id for named in self.targets],
                "points": list(self.points),
                "warm_up": self.warm_up,
                "evaluation": evaluation,
            }
        )

    @property
    def label(self) -> str:
        """Short name for people."""
        return f"in-context {self.arm} {self.key[:8]}"


@dataclass(frozen=True)
class PlayedTrials:
    """What a repetition gave: its curve, and the seconds it took."""

    found: InContext
    wall_s: float
    cpu_s: float


def in_context_trials(
    study: Study, targets: Sequence[NamedTask], policies: Mapping[str, Sequence[tuple[Origin, Member]]]
) -> list[Trials]:
    """Return what has to be played for the arms that adapt in context; nothing for others."""
    found = []
    for arm, entry in study.arms.items():
        if not arm_strategy(study, arm).in_context or not policies.get(arm) or not targets:
            continue
        last = entry.up_to or study.adapt.episodes[-1]
        points = tuple(n for n in study.adapt.episodes if n <= last)
        for number in range(study.adapt.seeds):
            origin, _ = policies[arm][number % len(policies[arm])]
            found.append(Trials(study, arm, number, origin, tuple(targets), points))
    return found


def adapt_in_context(state: RunState) -> None:
    """Play every arm that adapts in context on every target."""
    trials = in_context_trials(state.study, state.targets, state.policies)
    if not trials:
        return
    state.progress.stage("in-context")
    finished = state.folder.finished()
    waiting: dict[Any, Trials] = {}
    handover = Handover()
    for each in trials:
        if each.key in finished:
            continue
        if each.origin.unit not in finished:
            state.failures.append(Failure(each.label, "in-context", "its policy was not trained"))
            continue
        expert_id = finished[each.origin.unit]["experts"][each.origin.member]
        expert = handover.give(state.store.get(expert_id))
        tasks = [arm_task(state.study, each.arm, named.task) for named in each.targets]
        state.progress.unit_started(each.key, each.label)
        reference = play_remotely.options(name=f"in-context {each.arm}").remote(
            expert,
            tasks,
            each.points,
            episodes=state.study.evaluation.episodes,
            seed=state.study.evaluation.seed,
            greedy=state.study.evaluation.greedy,
            warm_up=each.warm_up,
            traces=state.traces,
        )
        waiting[reference] = each
    as_completed(
        waiting,
        lambda each, played: _keep(state, each, played, finished),
        lambda each, error: _failed(state, each, error),
    )


def play_trials(
    expert: HandedOver,
    tasks: Sequence[Task],
    points: Sequence[int],
    *,
    episodes: int,
    seed: int,
    greedy: bool,
    warm_up: int,
    traces: Path | None,
) -> PlayedTrials:
    """Let one policy adapt to each task by what it carries, and score it at every point."""
    torch.set_num_threads(1)
    if traces is not None:
        open_traces(traces)
    wall, cpu = time.perf_counter(), time.process_time()
    found = evaluate_in_context(
        [expert.bundle()] * len(tasks), tasks, points, episodes=episodes, seed=seed, greedy=greedy, warm_up=warm_up
    )
    return PlayedTrials(found, time.perf_counter() - wall, time.process_time() - cpu)


play_remotely: Any = ray.remote(play_trials)  # type: ignore[arg-type]


def _keep(state: RunState, trials: Trials, played: PlayedTrials, finished: Mapping[str, Mapping[str, Any]]) -> None:
    source = finished[trials.origin.unit]
    expert_id = source["experts"][trials.origin.member]
    rows = [
        _row(state, trials, played, place, number, expert_id, steps_behind(finished, trials.origin))
        for place in range(len(trials.targets))
        for number in range(len(trials.points))
    ]
    write_rows(state.folder.part(trials.key), rows, RESULTS)
    spent = {"wall_s": played.wall_s, "cpu_s": played.cpu_s}
    state.folder.finish(trials.key, {"stage": "in-context", "arm": trials.arm, **spent})
    state.progress.unit_done(trials.key, trials.label, 0, played.wall_s)


def _row(
    state: RunState, trials: Trials, played: PlayedTrials, place: int, number: int, expert_id: str, pretrained: int
) -> Result:
    study, named, point = trials.study, trials.targets[place], trials.points[number]
    reference = state.references[named.task.id]
    scored = played.found.scored[number]
    returns = scored.returns[place]
    task = arm_task(study, trials.arm, named.task)
    share = len(trials.targets)
    return Result(
        study=study.name,
        unit=trials.key,
        stage="adapt",
        arm=trials.arm,
        strategy=study.arms[trials.arm].strategy,
        family=study.family,
        family_config_hash=task.config_hash,
        task_id=named.task.id,
        task_name=named.name,
        split=named.split,
        split_hash=named.split_hash,
        tuning="none",
        seed=trials.repetition,
        source_ids=(expert_id,),
        env_steps=point * get_family(study.family).typical_episode_steps(dict(named.task.config)),
        pretrain_env_steps=pretrained,
        episodes=point,
        return_mean=float(returns.mean()),
        return_trivial=reference.mean("trivial", len(returns)),
        return_oracle=reference.mean("oracle", len(returns)),
        score=reference.score(returns),
        score_error=reference.score_error(returns),
        violation_rate=_rate(scored, place),
        violation_adapting=_mean_rate(played.found.warm_up[:point], place),
        eval_episodes=len(returns),
        wall_s=played.wall_s / share,
        cpu_s=played.cpu_s / share,
        expert_id=expert_id,
        commit=source_commit(),
    )


def _rate(episodes: Episodes, place: int) -> float:
    rates: NDArray[np.float64] | None = episodes.measures.get(VIOLATIONS)
    return float("nan") if rates is None else float(rates[place].mean())


def _mean_rate(warm_up: Sequence[Episodes], place: int) -> float:
    return float(np.mean([_rate(episodes, place) for episodes in warm_up])) if warm_up else float("nan")


def _failed(state: RunState, trials: Trials, error: BaseException) -> None:
    reason = failure_reason(error)
    state.failures.append(Failure(trials.label, "in-context", reason))
    state.progress.unit_failed(trials.key, trials.label, reason)
