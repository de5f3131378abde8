"""An environment runner's process is killed: the trial goes on from its last checkpoint."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ray import tune

from roamrl.algorithms.learner_spec import LearnerSpec
from roamrl.algorithms.rllib.algorithm import PopulationAlgorithm
from roamrl.algorithms.rllib.learner_folder import write_learner
from roamrl.cluster.processes import Process, find_process

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]


def children(pid: int) -> list[Process]:
    """Return the processes that a process started: of a node's raylet, the workers of this session there."""
    numbers = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [found for number in numbers if (found := find_process(number)) is not None and found.parent == pid]


class KillRunner(tune.Callback):
    """Kills one of the trial's environment runners at the fourth result, once."""

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.killed: list[int] = []
        self.times: list[float] = []

    def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **info: Any) -> None:
        self.seen.append(result["training_iteration"])
        self.times.append(time.monotonic())
        if self.seen == [1, 2, 3, 4]:
            trainer = find_process(result["pid"])
            assert trainer is not None
            self.killed = [found.pid for found in children(trainer.parent) if "BatchEnvRunner" in found.command][:1]
            for pid in self.killed:
                os.kill(pid, signal.SIGKILL)


def test_a_killed_runner_costs_the_steps_since_the_last_checkpoint(
    local_ray: object,
    tmp_path: Path,
    cartpole_learner: Callable[..., LearnerSpec],
    undisturbed: Callable[[LearnerSpec], Path],
    assert_same_outcome: Callable[[Path, Path], None],
) -> None:
    learner = cartpole_learner(1, 2)
    write_learner(tmp_path / "learner", learner)
    killer = KillRunner()
    results = tune.Tuner(
        PopulationAlgorithm,
        param_space={
            "folder": str(tmp_path / "learner"),
            "env": "CartPole-v1",
            "num_env_runners": 2,
            "num_cpus_per_env_runner": 0.25,
        },
        run_config=tune.RunConfig(
            storage_path=str(tmp_path / "tune"),
            checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=2, checkpoint_at_end=False, num_to_keep=2),
            failure_config=tune.FailureConfig(max_failures=1),
            callbacks=[killer],
            verbose=0,
        ),
    ).fit()
    assert len(killer.killed) == 1 and not results.errors
    print(f"{killer.times[4] - killer.times[3]:.1f} s from the runner's death to the trial's next result")
    assert killer.seen[:4] == [1, 2, 3, 4] and killer.seen[4] in (3, 5), "one iteration was redone at most"
    assert killer.seen[-1] == 6 and len(killer.seen) <= 8
    assert_same_outcome(tmp_path / "learner", undisturbed(learner))
