"""How cost grows: members, environments a member, users and slices; memory, start-up, trials; 64 experts."""

from __future__ import annotations

from collections.abc import Sequence

from roamrl.platform.bench.measure import Contender, Row, alone, interleave
from roamrl.platform.bench.population import Population, learner
from roamrl.platform.bench.suites import Effort
from roamrl.platform.bench.suites.env import BatchSteps
from roamrl.platform.bench.suites.experts import experts_rows
from roamrl.platform.bench.suites.startup import startup_rows
from roamrl.platform.bench.works import Work, family_work, toy_work

LEARNED, STEPPED, CLOCKED = "learned steps/s/core", "env steps/s/core", "learned steps/s"
MEMBERS = (1, 4, 16, 64, 256)
ENVS = (1, 4, 16, 64)
USERS = (2, 6, 12)
SLICES = (2, 3, 4)
RUNNERS = (0, 1, 2)
LENGTH = 64


def scale_suite(effort: Effort) -> Sequence[Row]:
    """Measure all of it."""
    growth = [*_members(effort), *_environments(effort), *_cells(effort), *_runners(effort)]
    return [*growth, *startup_rows(effort), *experts_rows(effort)]


def _members(effort: Effort) -> list[Row]:
    work = toy_work()
    sizes = (1, 64) if effort.quick else MEMBERS
    effort.say(f"scale: populations of {', '.join(map(str, sizes))}")
    contenders = [Population(f"members-{size}", learner(work, size, 16, LENGTH)) for size in sizes]
    return _rates(effort, work, contenders, LEARNED)


def _environments(effort: Effort) -> list[Row]:
    if effort.quick:
        return []
    work = toy_work()
    effort.say("scale: environments a member")
    contenders = [Population(f"envs-{envs}", learner(work, 16, envs, LENGTH)) for envs in ENVS]
    return _rates(effort, work, contenders, LEARNED)


def _cells(effort: Effort) -> list[Row]:
    if effort.quick or effort.family != "slicing-v1":
        return []
    effort.say("scale: users a slice, slices a cell")
    kinds = ("control", "video", "xr", "voice")
    works = [(f"users-{users}", family_work("slicing-v1", {"users": [users] * 3})) for users in USERS]
    works += [
        (f"slices-{count}", family_work("slicing-v1", config={"slices": list(kinds[:count])})) for count in SLICES
    ]
    contenders: list[Contender] = [BatchSteps(name, work) for name, work in works]
    return _rates(effort, works[0][1], contenders, STEPPED)


def _runners(effort: Effort) -> list[Row]:
    """Measure one learner with 0, 1 and 2 processes that play for it, by the clock."""
    if effort.quick:
        return []
    work = family_work(effort.family)
    effort.say("scale: environment runners")
    contenders: list[Contender] = [
        Population(f"runners-{count}", learner(work, 32, 16, LENGTH), runners=count) for count in RUNNERS
    ]
    samples = interleave(contenders, effort.rounds)
    for contender in contenders:
        contender.close()
    return [
        alone(samples[contender.name], work=work.name, metric=CLOCKED, variant=contender.name, wall=True)
        for contender in contenders
    ]


def _rates(effort: Effort, work: Work, contenders: Sequence[Contender], metric: str) -> list[Row]:
    samples = interleave(contenders, effort.rounds, effort.seconds / 2)
    for contender in contenders:
        contender.close()
    return [
        alone(samples[contender.name], work=work.name, metric=metric, variant=contender.name)
        for contender in contenders
    ]
