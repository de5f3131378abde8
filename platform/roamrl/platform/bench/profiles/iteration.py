"""Where an iteration of training goes: environment, acting, batch, gradient, optimiser, RLlib, Tune."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import numpy as np

from roamrl.algorithms.learner_spec import LearnerSpec
from roamrl.platform.bench.measure import Row, share
from roamrl.platform.bench.population import Population, learner
from roamrl.platform.bench.profiles.stopwatch import Stopwatch
from roamrl.platform.bench.suites import Effort
from roamrl.platform.bench.suites.trials import run_population_trials
from roamrl.platform.bench.works import Work, family_work

METRIC = "share of an iteration"
MEMBERS = (64, 1)
ENVS, LENGTH = 16, 64
PER_REPORT = 10
"""Iterations that a report to Tune stands for, as in the trials of the other benchmarks."""

FEW, MANY = 10, 60
"""Reports of two trials: what the second costs more, beyond its training, is Tune's cost of fifty."""

TUNE = f"Tune: a report each {PER_REPORT} iterations"


def iteration_rows(effort: Effort) -> list[Row]:
    """Profile iterations of populations of 64 and of one; Tune's cost is left out where it has to be quick."""
    work = family_work(effort.family)
    tune_s = None if effort.quick else report_seconds(effort, work) / PER_REPORT
    rows = []
    for members in MEMBERS:
        effort.say(f"profile: an iteration, {members} {'members' if members > 1 else 'member'} on {work.name}")
        parts = iteration_parts(learner(work, members, ENVS, LENGTH), effort.rounds)
        if tune_s is not None:
            parts = [{**one, TUNE: tune_s} for one in parts]
        whole = [sum(one.values()) for one in parts]
        rows += [
            share(
                [one[name] / total for one, total in zip(parts, whole, strict=True)],
                work=f"{work.name}, {members} x {ENVS * LENGTH} rows",
                metric=METRIC,
                variant=name,
                whole_s=float(np.median(whole)),
                notes={"nanoseconds": 1e9 * float(np.median([one[name] for one in parts])), "calls": 1},
            )
            for name in parts[0]
        ]
    return rows


def iteration_parts(spec: LearnerSpec, rounds: int) -> list[dict[str, float]]:
    """Return processor seconds of an iteration's parts in each of some iterations."""
    population = Population("profiled", spec)
    try:
        population.run()
        return [_iteration(population) for _ in range(rounds)]
    finally:
        population.close()


def _iteration(population: Population) -> dict[str, float]:
    from roamrl.algorithms.rllib import learner as room

    algorithm = population.algorithm
    runner, trainer = algorithm.env_runner, algorithm.learner_group._learner
    watch = Stopwatch()
    with ExitStack() as stack:
        for owner, attribute in (
            (runner.env, "step"),
            (runner, "sample"),
            (room, "build_batch"),
            (room, "fit"),
            (trainer.optimiser, "step"),
        ):
            name = "optimise" if owner is trainer.optimiser else attribute
            stack.enter_context(watch.on(owner, attribute, name))
        begun = time.process_time()
        population.run()
        whole = time.process_time() - begun
    return parts_of(watch.seconds, whole)


def parts_of(seconds: Mapping[str, float], whole: float) -> dict[str, float]:
    """Return seconds of parts that add up to the whole, from times of functions of which some call others."""
    return {
        "environment": seconds["step"],
        "acting": seconds["sample"] - seconds["step"],
        "batch: values, advantages": seconds["build_batch"],
        "gradient": seconds["fit"] - seconds["optimise"],
        "optimiser": seconds["optimise"],
        "RLlib: calls, metrics, weights": whole - seconds["sample"] - seconds["build_batch"] - seconds["fit"],
    }


def report_seconds(effort: Effort, work: Work) -> float:
    """Return the wall seconds that Tune spends on a report of a trial, its training apart; two processors do it."""
    effort.say("profile: Tune's cost of a report")
    beyond: dict[int, Any] = {}
    for reports in (FEW, MANY):
        steps = reports * PER_REPORT * 4 * 4
        wall, trained = run_population_trials([learner(work, 1, 4, 4, steps=steps)], at_once=1)
        beyond[reports] = wall - trained[0]
    return max(float(beyond[MANY] - beyond[FEW]) / (MANY - FEW), 0.0)
