"""64 experts of one task, 200,000 steps each: trials of populations against a trial an expert."""

from __future__ import annotations

from collections.abc import Sequence

from roamrl.platform.bench.measure import Row
from roamrl.platform.bench.peers.rllib import ppo_config
from roamrl.platform.bench.population import learner
from roamrl.platform.bench.suites import Effort
from roamrl.platform.bench.suites.trials import run_population_trials, run_rllib_trials
from roamrl.platform.bench.works import family_work

EXPERTS, STEPS, AT_ONCE, TIMED, TARGET = 64, 200_000, 2, 4, 8.0
ENVS, LENGTH = 16, 64
PEER_FORM = "rllib-native-256"


def experts_rows(effort: Effort) -> Sequence[Row]:
    """Time two population trials of 32 members each, and four of RLlib's 64 trials, two at once each."""
    if effort.quick:
        return []
    work = family_work(effort.family)
    effort.say(f"experts-64: population trials on {work.name}")
    half = EXPERTS // AT_ONCE
    specs = [learner(work, half, ENVS, LENGTH, steps=STEPS, first_seed=number * half) for number in range(AT_ONCE)]
    ours, _ = run_population_trials(specs, AT_ONCE)
    effort.say(f"experts-64: {TIMED} of RLlib's {EXPERTS} trials")
    config = ppo_config(work, ENVS * LENGTH, PEER_FORM)
    few, trained = run_rllib_trials(config, range(TIMED), STEPS, AT_ONCE)
    theirs = few * EXPERTS / TIMED
    return [
        Row(
            work="experts-64",
            metric="wall s",
            variant="population",
            value=ours,
            peer="rllib-trials",
            peer_value=theirs,
            ratio_median=theirs / ours,
            ratio_min=theirs / ours,
            ratio_max=theirs / ours,
            wall_s=ours,
            target=TARGET,
            notes={
                "family": work.name,
                "peer_trials_timed": TIMED,
                "peer_trials_wall_s": few,
                "peer_training_s": sum(trained) / len(trained),
            },
        )
    ]
