"""PopulationAlgorithm: PPO or Q-learning on a population, as an RLlib Algorithm that Tune runs."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from ray.rllib.algorithms import Algorithm
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.utils.annotations import override
from ray.rllib.utils.metrics import (
    ENV_RUNNER_RESULTS,
    ENV_RUNNER_SAMPLING_TIMER,
    LEARNER_RESULTS,
    LEARNER_UPDATE_TIMER,
    NUM_ENV_STEPS_SAMPLED_LIFETIME,
    SYNCH_WORKER_WEIGHTS_TIMER,
    TIMERS,
)
from ray.rllib.utils.metrics.metrics_logger import MetricsLogger
from ray.tune.result import DONE

from roamrl.algorithms.bundle import PolicyBundle
from roamrl.algorithms.learner_spec import LearnerSpec
from roamrl.algorithms.population.exploit import Copy, Values
from roamrl.algorithms.population.members import member_values
from roamrl.algorithms.population.rollout import join_members
from roamrl.algorithms.rllib.checkpoint_recovery import SealedCheckpoints
from roamrl.algorithms.rllib.config import PopulationConfig, quiet_ray
from roamrl.algorithms.rllib.outcome import Curve, LearnerDone, write_curve, write_done, write_snapshot
from roamrl.algorithms.rllib.peak_memory import PeakMemory
from roamrl.algorithms.rllib.recorder import PlayStats, Recorder
from roamrl.algorithms.rllib.runner import PLAYER
from roamrl.algorithms.rllib.task_returns import TaskRecorder
from roamrl.algorithms.rllib.watchdog import forget_hang

PROGRESS = "progress"
NUM_MEMBERS_NONFINITE = "num_members_nonfinite"
"""Members, in a result, that had to leave out an update so far: its loss or gradient was not finite."""


class LostRunnerError(RuntimeError):
    """An environment runner's process is gone."""


class PopulationAlgorithm(SealedCheckpoints):
    """Trains a learner's members together, to the end of its plan.

    It stops by itself (``done`` in its result). With a folder it leaves there, each file whole or not at all:
    ``snapshot-<iteration>.safetensors``, ``curve.npz`` and, last, ``learner-done.json``. Its checkpoints hold weights,
    optimiser, random generators, the environments and the curve so far: a run that is killed and resumed ends as
    one that was not, bit for bit.

    Attributes:
        spec: The learner.
        recorder: The curve so far.
        values: What each member learns with now, [P] by name.
    """

    spec: LearnerSpec
    recorder: Recorder
    values: Values
    config: Any
    metrics: Any
    env_runner_group: Any
    learner_group: Any

    @classmethod
    @override(Algorithm)
    def get_default_config(cls) -> PopulationConfig:
        """Return a config without a learner."""
        return PopulationConfig()

    @override(Algorithm)
    def setup(self, config: AlgorithmConfig) -> None:  # type: ignore[override]
        """Build runners and learner, and give the runners what the members start from."""
        self._peak_memory = PeakMemory(forget=self.is_actor())
        torch.set_num_threads(self.config.torch_threads)
        source = self.config.source()
        self.spec = source.load()
        self._folder: Path | None = source.folder
        if self._folder is not None:
            forget_hang(self._folder)
        self.recorder = Recorder(tasks=TaskRecorder.of(self.spec))
        self._skipped = np.zeros(len(self.spec.members), np.int64)
        self.values = member_values(self.spec)
        self._wall_s = self._cpu_s = 0.0
        if self.is_actor():
            logging.getLogger("ray").setLevel(self.config.log_level)
        with quiet_ray():
            super().setup(config)
        if self.config.num_env_runners:  # RLlib itself tells the local runner alone what the members start from
            self._send_weights()

    @override(Algorithm)
    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Become the algorithm of another config without a new process, for Tune's ``reuse_actors=True``."""
        config: Any = self.get_default_config().update_from_dict(new_config)
        config.validate()
        config.freeze()
        self.cleanup()
        self.learner_group = self.env_runner_group = None
        self.config = config
        self._env_id, self.env_creator = self._get_env_id_and_creator(config.env, config)
        self.metrics = MetricsLogger(root=True, stats_cls_lookup=config.stats_cls_lookup)
        self.setup(config)
        return True

    def __repr__(self) -> str:
        """Return what Ray's dashboard calls the process: it takes over one trial of its experiment after the other."""
        storage = self._storage
        return f"{type(self).__name__}({storage.experiment_dir_name})" if storage else super().__repr__()

    @override(Algorithm)
    def step(self) -> dict[str, Any]:
        """Run ``iterations_per_report`` learner iterations, or what is left of the plan."""
        result = super().step()
        result[DONE] = self.recorder.iterations >= self.spec.iterations
        return result

    @override(Algorithm)
    def training_step(self) -> None:
        """Play, learn, synchronise, as often as a report stands for."""
        wall, cpu = time.perf_counter(), time.process_time()
        first = self.recorder.iterations
        last = min(self.next_report(first), self.spec.iterations)
        if first == 0:
            self._keep_snapshot(0)
        for iteration in range(first, last):
            self._iterate(iteration, report=iteration == last - 1)
        self._wall_s += time.perf_counter() - wall
        self._cpu_s += time.process_time() - cpu
        if last == self.spec.iterations:
            self._finish()

    def next_report(self, iterations: int) -> int:
        """Return after how many iterations the next result is reported, ``iterations`` being done."""
        return iterations + int(self.config.iterations_per_report)

    def exploit(self, copies: Sequence[Copy], values: Values) -> None:
        """Let members take over others, and all learn on with the given settings, [P] by name.

        Raises:
            InputError: If the learner's members cannot take over others.
        """
        self._ask_learner(lambda learner: learner.exploit(copies))
        self._set_values(values)
        self._send_weights()

    def _set_values(self, values: Values) -> None:
        self.values = {name: column.copy() for name, column in values.items()}
        self._ask_learner(lambda learner: learner.set_hyper(values))
        self._ask_runners(lambda runner: runner.set_gammas(values["gamma"]))

    def _iterate(self, iteration: int, *, report: bool) -> None:
        with self.metrics.log_time((TIMERS, ENV_RUNNER_SAMPLING_TIMER)):
            played = self._ask_runners(lambda runner: (runner.sample(iteration=iteration), runner.stats))
            rollout = join_members([rollout for (rollout,), _ in played])
            play = PlayStats.join([stats for _, stats in played])
        with self.metrics.log_time((TIMERS, LEARNER_UPDATE_TIMER)):
            learner_results = self.learner_group.update(
                episodes=[rollout],
                timesteps={
                    NUM_ENV_STEPS_SAMPLED_LIFETIME: self.spec.member_steps(iteration + 1) * len(self.spec.members)
                },
                report=report,
            )
        with self.metrics.log_time((TIMERS, SYNCH_WORKER_WEIGHTS_TIMER)):
            self._send_weights()
        stats = self._ask_learner(lambda learner: learner.stats)
        self._skipped += stats["skipped"]
        self.recorder.add(self.spec.member_steps(iteration + 1), play, stats)
        self._keep_snapshot(iteration + 1)
        if report:
            self.metrics.log_value(NUM_MEMBERS_NONFINITE, int(np.count_nonzero(self._skipped)), window=1)
            reports = self._ask_runners(lambda runner: runner.get_metrics())
            self.metrics.aggregate(reports, key=ENV_RUNNER_RESULTS)
            self.metrics.aggregate(learner_results, key=LEARNER_RESULTS)

    def _send_weights(self) -> None:
        self.env_runner_group.sync_weights(from_worker_or_learner_group=self.learner_group, inference_only=True)

    def _ask_runners(self, question: Any) -> list[Any]:
        """Ask those who play: the remote runners in the order of their members, or the local one.

        Raises:
            LostRunnerError: If one does not answer.
        """
        remote = self.config.num_env_runners
        answers = self.env_runner_group.foreach_env_runner(
            lambda runner: (runner.worker_index, question(runner)), local_env_runner=not remote
        )
        if len(answers) != (remote or 1):
            raise LostRunnerError(
                f"{len(answers)} of {remote or 1} environment runners answered; their processes ended. Training goes "
                "on from the last checkpoint when the same command is given again"
            )
        return [answer for _, answer in sorted(answers, key=lambda pair: pair[0])]

    def _ask_learner(self, question: Any) -> Any:
        return next(iter(self.learner_group.foreach_learner(question))).get()

    def member_states(self) -> list[dict[str, NDArray[Any]]]:
        """Return all members' arrays."""
        count = len(self.spec.members)
        return self._ask_learner(lambda learner: [learner.stacked.member_state(member) for member in range(count)])

    def bundles(self) -> list[PolicyBundle]:
        """Return all members as policies."""
        return [PolicyBundle(self.spec.module, state) for state in self.member_states()]

    def curve(self) -> Curve:
        """Return the curve so far."""
        return self.recorder.curve()

    def _keep_snapshot(self, iteration: int) -> None:
        if self._folder is not None and iteration in self.spec.snapshots:
            write_snapshot(self._folder, iteration, self.member_states())

    def _finish(self) -> None:
        if self._folder is None:
            return
        write_curve(self._folder, self.curve())
        iterations = self.recorder.iterations
        write_done(
            self._folder,
            LearnerDone(
                iterations,
                self.spec.member_steps(iterations),
                self._wall_s,
                self._cpu_s,
                tuple(int(count) for count in self._skipped),
                self._peak_memory.mb(),
            ),
        )

    @override(Algorithm)
    def get_state(
        self,
        components: str | Collection[str] | None = None,
        *,
        not_components: str | Collection[str] | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Return RLlib's state and the curve so far."""
        state = super().get_state(components, not_components=not_components, **kwargs)
        if self._check_component(PROGRESS, components, not_components):
            state[PROGRESS] = {
                "recorder": self.recorder.state(),
                "values": {name: column.copy() for name, column in self.values.items()},
                "skipped": self._skipped.copy(),
                "wall_s": self._wall_s,
                "cpu_s": self._cpu_s,
                "peak_memory_mb": self._peak_memory.mb(),
            }
            if self.config.num_env_runners:
                state[PROGRESS]["players"] = self._ask_runners(lambda runner: runner.get_state(PLAYER))
        return state

    @override(Algorithm)
    def set_state(self, state: dict[str, Any]) -> None:
        """Restore :meth:`get_state`'s result."""
        super().set_state(state)
        if PROGRESS in state:
            progress = state[PROGRESS]
            self.recorder = Recorder.from_state(progress["recorder"])
            self._skipped = progress["skipped"].copy()
            self._wall_s, self._cpu_s = progress["wall_s"], progress["cpu_s"]
            self._peak_memory.carry(progress.get("peak_memory_mb"))
            if "values" in progress:
                self._set_values(progress["values"])
            if "players" in progress:
                players = progress["players"]
                self._ask_runners(lambda runner: runner.set_state(players[runner.worker_index - 1]))
