"""Our side: the algorithm that studies train with, and its sampling alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from roamrl.algorithms.bundle import ModuleSpec
from roamrl.algorithms.learner_spec import LearnerSpec, MemberSpec, PPOSettings, steady_phases
from roamrl.platform.bench.settings import SHARED
from roamrl.platform.bench.works import Work

ENDLESS = 1 << 40

PLAIN: dict[str, Any] = {"hidden": list(SHARED.hidden), "activation": "tanh", "shared_trunk": False}
FAST: dict[str, Any] = {"hidden": list(SHARED.hidden), "activation": "silu", "shared_trunk": True}


def learner(
    work: Work,
    members: int,
    envs: int,
    length: int,
    *,
    steps: int = ENDLESS,
    model: dict[str, Any] | None = None,
    compiled: bool = False,
    first_seed: int = 0,
) -> LearnerSpec:
    """Return a population on one task, with the settings that all contenders share."""
    return LearnerSpec(
        ModuleSpec("mlp", work.observation_space, work.action_space, dict(model or PLAIN)),
        tuple(
            MemberSpec(
                first_seed + seed,
                (work.task,),
                None,
                "all",
                0,
                SHARED.learning_rate,
                SHARED.entropy,
                SHARED.clip,
                SHARED.max_norm,
            )
            for seed in range(members)
        ),
        steady_phases(steps, envs, length),
        PPOSettings(
            SHARED.gamma, SHARED.gae_lambda, SHARED.epochs, SHARED.minibatches, SHARED.value, compiled=compiled
        ),
    )


class Population:
    """Trains a population, ``iterations`` of the learner a run, through RLlib's Algorithm as a trial does."""

    def __init__(self, name: str, spec: LearnerSpec, iterations: int = 1, runners: int = 0) -> None:
        from roamrl.algorithms.rllib.config import PopulationConfig

        self.name = name
        self.spec = spec
        config = PopulationConfig().population(learner=spec, iterations_per_report=iterations, torch_threads=1)
        self.algorithm: Any = config.env_runners(num_env_runners=runners, num_cpus_per_env_runner=0).build_algo()
        self._steps = iterations * spec.phases[0].rows * len(spec.members)

    def run(self) -> int:
        """Train ``iterations`` iterations."""
        self.algorithm.train()
        return self._steps

    def returns(self) -> NDArray[np.float64]:
        """Return the mean return of the episodes that ended in each iteration so far, [iterations, P]."""
        return np.asarray(self.algorithm.curve().return_mean, np.float64)

    def shares(self) -> dict[str, float]:
        """Return the shares of an iteration's time: sampling, learning, handing weights to the runner."""
        from ray.rllib.utils import metrics

        names = {
            "sampling": metrics.ENV_RUNNER_SAMPLING_TIMER,
            "learning": metrics.LEARNER_UPDATE_TIMER,
            "weights": metrics.SYNCH_WORKER_WEIGHTS_TIMER,
        }
        seconds = {name: float(self.algorithm.metrics.peek((metrics.TIMERS, key))) for name, key in names.items()}
        return {name: value / sum(seconds.values()) for name, value in seconds.items()}

    def close(self) -> None:
        """Stop the algorithm."""
        self.algorithm.stop()


class PopulationSampling:
    """Samples with a population, without learning."""

    def __init__(self, name: str, spec: LearnerSpec) -> None:
        from roamrl.algorithms.rllib.config import PopulationConfig

        self.name = name
        self.algorithm: Any = PopulationConfig().population(learner=spec).build_algo()

    def run(self) -> int:
        """Sample one iteration's rows of all members."""
        (rollout,) = self.algorithm.env_runner.sample(iteration=1)
        return int(rollout.agent_steps)

    def close(self) -> None:
        """Stop the algorithm."""
        self.algorithm.stop()
