"""Training: a population, and one policy, against everybody's single agent on the same work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from roamrl.platform.bench.measure import Contender, Row, Sample, compare, interleave
from roamrl.platform.bench.peers.rllib import FORMS, RLlibPPO
from roamrl.platform.bench.peers.single_file import SingleFilePPO
from roamrl.platform.bench.peers.stable_baselines import StableBaselinesPPO, installed
from roamrl.platform.bench.population import FAST, Population, PopulationSampling, learner
from roamrl.platform.bench.suites import Effort
from roamrl.platform.bench.suites.env import BatchSteps
from roamrl.platform.bench.suites.update import update_rows
from roamrl.platform.bench.works import Work, family_work, toy_work

METRIC = "learned steps/s/core"
MEMBERS, ENVS, LENGTH = 64, 16, 64
"""A population with 1,024 rows a member and iteration; peers train one agent with as many."""

SINGLE_ENVS, SINGLE_LENGTH = 256, 64
"""One policy with 16,384 rows an iteration."""

POPULATION_TARGETS = {"rllib-native-256": 10.0, "sb3": 5.0, "single-file": 1.8}
SINGLE_TARGETS = {"rllib-native-256": 3.5, "single-file": 0.9}
FAMILY_TARGET, FAST_TARGET = 6.0, 1.5
NATIVE = "rllib-native-256"


def train_suite(effort: Effort) -> Sequence[Row]:
    """Measure all of training."""
    return [
        *_population(effort),
        *_single(effort),
        *_on_family(effort),
        *_fast(effort),
        *update_rows(effort),
    ]


def _race(
    effort: Effort, contenders: Sequence[Contender], seconds: float | None = None
) -> Mapping[str, Sequence[Sample]]:
    samples = interleave(contenders, effort.rounds, effort.seconds if seconds is None else seconds)
    for contender in contenders:
        contender.close()
    return samples


def _peers(work: Work, envs: int, length: int, forms: Sequence[str]) -> list[Contender]:
    peers: list[Contender] = [SingleFilePPO(work, envs, length)]
    if installed():
        peers.append(StableBaselinesPPO(work, envs, length))
    return peers + [RLlibPPO(work, envs * length, form) for form in forms]


def _population(effort: Effort) -> list[Row]:
    work = toy_work()
    effort.say(f"training: {MEMBERS} members of 1,024 rows on the toy against single agents")
    peers = _peers(work, ENVS, LENGTH, (NATIVE,) if effort.quick else tuple(FORMS))
    samples = _race(effort, [Population("population", learner(work, MEMBERS, ENVS, LENGTH)), *peers])
    return [
        compare(
            samples,
            "population",
            peer.name,
            work=work.name,
            metric=METRIC,
            variant="population",
            target=POPULATION_TARGETS.get(peer.name),
            notes={"members": MEMBERS},
        )
        for peer in peers
    ]


def _single(effort: Effort) -> list[Row]:
    work = toy_work()
    effort.say("training: one policy of 16,384 rows on the toy")
    peers = _peers(work, SINGLE_ENVS, SINGLE_LENGTH, (NATIVE,))
    samples = _race(effort, [Population("single", learner(work, 1, SINGLE_ENVS, SINGLE_LENGTH)), *peers])
    return [
        compare(
            samples,
            "single",
            peer.name,
            work=work.name,
            metric=METRIC,
            variant="single",
            target=SINGLE_TARGETS.get(peer.name),
        )
        for peer in peers
    ]


def _on_family(effort: Effort) -> list[Row]:
    work = family_work(effort.family)
    effort.say(f"training: {MEMBERS} members on {work.name}")
    spec = learner(work, MEMBERS, ENVS, LENGTH)
    contenders: list[Contender] = [
        Population("population", spec),
        RLlibPPO(work, ENVS * LENGTH, NATIVE),
        PopulationSampling("sampling", spec),
        BatchSteps("kernel", work, MEMBERS * ENVS),
    ]
    samples = _race(effort, contenders)
    whole, sampling, kernel = (
        float(np.median([1.0 / sample.rate for sample in samples[name]]))
        for name in ("population", "sampling", "kernel")
    )
    shares = {
        "members": MEMBERS,
        "share_environment": kernel / whole,
        "share_acting": (sampling - kernel) / whole,
        "share_learning": (whole - sampling) / whole,
    }
    return [
        compare(
            samples,
            "population",
            NATIVE,
            work=work.name,
            metric=METRIC,
            variant="population",
            target=FAMILY_TARGET if effort.family == "slicing-v1" else None,
            notes=shares,
        )
    ]


def _fast(effort: Effort) -> list[Row]:
    """Compare the engine's fast setting with its plain one: speed, then the curves of 16 seeds each."""
    work = toy_work()
    effort.say("training: shared trunk, SiLU and compiled against plain")
    fast = learner(work, MEMBERS, ENVS, LENGTH, model=FAST, compiled=True)
    plain = learner(work, MEMBERS, ENVS, LENGTH)
    samples = _race(effort, [Population("fast", fast), Population("plain", plain)])
    return [
        compare(
            samples,
            "fast",
            "plain",
            work=work.name,
            metric=METRIC,
            variant="fast",
            target=FAST_TARGET,
            notes=_curves(work, 16 if effort.quick else 60),
        )
    ]


def _curves(work: Work, iterations: int) -> dict[str, object]:
    """Train 16 seeds in both settings; return their mean return and its standard error at four points."""
    points = [iterations // 8, iterations // 4, iterations // 2, iterations]
    notes: dict[str, object] = {"curve_steps": [point * ENVS * LENGTH for point in points]}
    for name, model, compiled in (("plain", None, False), ("fast", FAST, True)):
        spec = learner(work, 16, ENVS, LENGTH, model=model, compiled=compiled, first_seed=100)
        population = Population(name, spec, iterations)
        population.run()
        returns = population.returns()
        population.close()
        window = max(iterations // 20, 2)
        seeds = np.array([np.nanmean(returns[max(point - window, 0) : point], axis=0) for point in points])
        notes[f"curve_{name}"] = [round(float(value), 2) for value in seeds.mean(axis=1)]
        errors = seeds.std(axis=1, ddof=1) / np.sqrt(seeds.shape[1])
        notes[f"curve_{name}_error"] = [round(float(value), 2) for value in errors]
    return notes
