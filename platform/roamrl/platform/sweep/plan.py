"""What a sweep will take, and whether it can be carried out, before anything runs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

from roamrl.algorithms.population.modules.build import build_module
from roamrl.envs.errors import InputError
from roamrl.envs.family import family_of
from roamrl.platform.study.plan import LEARNED_STEPS_A_SECOND, PLAYED_STEPS_A_SECOND
from roamrl.platform.study.schema import Study
from roamrl.platform.study.tasks import NamedTask, study_splits
from roamrl.platform.sweep.paths import check_path, member_path, with_values
from roamrl.platform.sweep.spaces import DRAWN_TRIALS, draw_settings, extremes
from roamrl.platform.sweep.trial import Trial, build_trial, search_of

EXTRA = "optuna"


@dataclass(frozen=True)
class SweepPlan:
    """A sweep before it runs; schedulers that end trials early make it less.

    Attributes:
        arm: The arm.
        settings: Settings tried.
        trials: Tune trials that try them: as many, or one population.
        members: Members of all trials.
        steps: Environment steps a member of the study's own settings.
        windows: Environment steps of learning in all.
        evaluations: Episodes played for scores in all.
        seconds: Estimated time on this machine.
    """

    arm: str
    settings: int
    trials: int
    members: int
    steps: int
    windows: int
    evaluations: int
    seconds: float


def plan_sweep(study: Study) -> SweepPlan:
    """Check a sweep and say what it will take.

    Raises:
        InputError: If it searches what may not vary, a space goes beyond what a field takes, or a package is missing.
    """
    search = search_of(study)
    check_packages(study)
    splits = sweep_splits(study)
    own = _check_spaces(study, splits)
    if search.algorithm == "optuna":
        settings = search.budget.trials or DRAWN_TRIALS
    else:
        settings = len(draw_settings(search))
    trials = 1 if search.members else settings
    per_trial = len(own.learner.members)
    steps = own.learner.member_steps(own.learner.iterations)
    episodes = per_trial * len(own.reports) * len(own.scored_on[0]) * study.evaluation.episodes
    windows = trials * per_trial * steps
    cores = search.concurrency or os.cpu_count() or 1
    longest = _episode_steps(splits[study.val][0])
    busy = windows / LEARNED_STEPS_A_SECOND + trials * episodes * longest / PLAYED_STEPS_A_SECOND
    seconds = busy / min(cores, trials)
    return SweepPlan(search.arm, settings, trials, trials * per_trial, steps, windows, trials * episodes, seconds)


def sweep_splits(study: Study) -> dict[str, tuple[NamedTask, ...]]:
    """Return the tasks a sweep trains and scores on: ``val``, and the arm's sources. Targets are none of them."""
    wanted = {study.val, study.arms[search_of(study).arm].sources}
    return {name: tasks for name, tasks in study_splits(study).items() if name in wanted}


def check_packages(study: Study) -> None:
    """Check that the search's algorithm is installed.

    Raises:
        InputError: If it is not; the message names the extra that brings it.
    """
    if search_of(study).algorithm == "optuna" and find_spec("optuna") is None:
        raise InputError(
            f"search.algorithm 'optuna' needs a package that is not installed: pip install 'roamrl[{EXTRA}]', or take "
            "algorithm 'random'"
        )


def _check_spaces(study: Study, splits: Mapping[str, Sequence[NamedTask]]) -> Trial:
    """Build a learner of the study's own settings, and one of every extreme value of each space; return the first."""
    search = search_of(study)
    for path in search.space:
        check_path(study, search.arm, path)
    for setting, space in search.members.items():
        for value in extremes(space):
            with_values(study, {member_path(study, search.arm, setting): value})
    own = build_trial(study, {}, splits)
    for settings in ({}, *({path: value} for path, space in search.space.items() for value in extremes(space))):
        build_module(build_trial(study, settings, splits).learner.module, [0])
    return own


def _episode_steps(named: NamedTask) -> int:
    return family_of([named.task]).typical_episode_steps(dict(named.task.config))
