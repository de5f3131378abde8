"""Sampling alone: acting and stepping, without learning."""

from __future__ import annotations

from collections.abc import Sequence

from roamrl.platform.bench.measure import Contender, Row, compare, interleave
from roamrl.platform.bench.peers.rllib import RLlibSampling
from roamrl.platform.bench.population import PopulationSampling, learner
from roamrl.platform.bench.suites import Effort
from roamrl.platform.bench.works import family_work, toy_work

METRIC = "sampled steps/s/core"
PEER = "rllib-native-256"


def rollout_suite(effort: Effort) -> Sequence[Row]:
    """Measure a population of 16 with 16 environments each against RLlib's runner on a native batch of 256."""
    rows: list[Row] = []
    for work in (toy_work(), family_work(effort.family)):
        effort.say(f"rollouts: {work.name}")
        contenders: list[Contender] = [
            PopulationSampling("population", learner(work, 16, 16, 64)),
            RLlibSampling(work, 1024, PEER),
        ]
        samples = interleave(contenders, effort.rounds, effort.seconds)
        rows.append(compare(samples, "population", PEER, work=work.name, metric=METRIC, variant="population"))
        for contender in contenders:
            contender.close()
    return rows
