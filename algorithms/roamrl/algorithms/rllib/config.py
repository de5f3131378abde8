"""PopulationAlgorithm's config: RLlib's own, plus the learner."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from gymnasium.vector.utils import batch_space
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.core.learner import Learner
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.utils.annotations import override

from roamrl.algorithms.learner_spec import LearnerSpec
from roamrl.algorithms.meta_learning import check_whole_episodes
from roamrl.algorithms.rllib.learner import PopulationLearner
from roamrl.algorithms.rllib.meta_learner import InnerRuleLearner, MetaLearner
from roamrl.algorithms.rllib.meta_module import TaskMembersModule
from roamrl.algorithms.rllib.meta_runner import TaskMembersRunner
from roamrl.algorithms.rllib.module import SOURCE_KEY, PopulationModule
from roamrl.algorithms.rllib.q_learner import PopulationQLearner
from roamrl.algorithms.rllib.runner import BatchEnvRunner
from roamrl.algorithms.rllib.source import LearnerSource
from roamrl.algorithms.rllib.watchdog import default_patience_s
from roamrl.envs.errors import InputError


@contextmanager
def quiet_ray() -> Iterator[None]:
    """Keep to itself what Ray warns every algorithm of: its new API stack, its own deprecated calls."""
    loggers = [logging.getLogger(name) for name in ("ray", "ray.rllib")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


class PopulationConfig(AlgorithmConfig):
    """Config of :class:`roamrl.algorithms.rllib.algorithm.PopulationAlgorithm`.

    ``population(folder=..)`` or ``population(learner=..)`` names the learner; members without tasks play
    ``environment("CartPole-v1")``. In a Tune ``param_space`` write ``{"folder": PATH}``. Resources, checkpoints and
    the rest are RLlib's own settings. With ``env_runners(num_env_runners=n)`` n processes play, each a share of the
    members; what comes out is the same.
    """

    env_runner_cls: Any
    broadcast_env_runner_states: Any
    merge_env_runner_states: Any

    def __init__(self, algo_class: type | None = None) -> None:
        from roamrl.algorithms.rllib.algorithm import PopulationAlgorithm

        super().__init__(algo_class=algo_class or PopulationAlgorithm)
        self.folder: str | None = None
        self.learner: LearnerSource | None = None
        self.iterations_per_report = 1
        self.torch_threads = 1
        self.environment_patience_s = default_patience_s()
        self.env_runner_cls = BatchEnvRunner
        self.num_env_runners = 0
        self.restart_failed_env_runners = False  # one that Ray starts anew would play from the start, unnoticed
        self.broadcast_env_runner_states = False
        self.merge_env_runner_states = False
        self.add_default_connectors_to_env_to_module_pipeline = False
        self.add_default_connectors_to_module_to_env_pipeline = False
        self.add_default_connectors_to_learner_pipeline = False
        self.log_level = "ERROR"

    def population(
        self,
        *,
        folder: str | Path | None = None,
        learner: LearnerSpec | None = None,
        iterations_per_report: int | None = None,
        torch_threads: int | None = None,
        environment_patience_s: float | None = None,
    ) -> Self:
        """Name the learner and how it reports.

        Args:
            folder: Its folder (absolute); snapshots and the curve are written there.
            learner: The learner itself, without a folder: nothing is written.
            iterations_per_report: Learner iterations a Tune result stands for.
            torch_threads: Threads torch may use in the training process.
            environment_patience_s: Seconds that one step or reset of all rows may take before the environment is taken
                to hang; infinity for no limit.
        """
        if folder is not None or learner is not None:
            source = LearnerSource(None if folder is None else Path(folder), learner)
            self.folder = None if source.folder is None else str(source.folder)
            self.learner = source if learner is not None else None
        if iterations_per_report is not None:
            self.iterations_per_report = iterations_per_report
        if torch_threads is not None:
            self.torch_threads = torch_threads
        if environment_patience_s is not None:
            self.environment_patience_s = environment_patience_s
        return self

    def source(self) -> LearnerSource:
        """Return where the learner is described.

        Raises:
            InputError: If no learner is named, or its folder is relative.
        """
        if self.learner is not None:
            return self.learner
        return LearnerSource(None if self.folder is None else Path(self.folder))

    @override(AlgorithmConfig)
    def validate(self) -> None:
        """Check the config.

        Raises:
            InputError: If the learner is missing, more learners or runners are asked for than there can be, or members
                that learn to adapt would not play whole episodes.
        """
        self.source()
        if self.num_learners > 1:
            raise InputError(f"num_learners={self.num_learners}: a population has one learner; use 0 or 1")
        spec = self.source().load()
        self.env_runner_cls = TaskMembersRunner if spec.learns_to_adapt else BatchEnvRunner
        if spec.learns_to_adapt:
            tasks = (task for member in spec.members for task in member.tasks)
            check_whole_episodes(tasks, spec.phases, spec.module.extras.trial_episodes)
        members = len(spec.members) if self.num_env_runners else 1
        if self.num_env_runners > members:
            raise InputError(f"num_env_runners={self.num_env_runners} for {members} members; use as many at most")
        if self.iterations_per_report < 1 or self.torch_threads < 1:
            raise InputError("iterations_per_report and torch_threads must be at least 1")
        if not self.environment_patience_s > 0:
            raise InputError(f"environment_patience_s={self.environment_patience_s} must be above 0, e.g. 600")
        with quiet_ray():
            super().validate()

    @override(AlgorithmConfig)
    def get_default_rl_module_spec(self) -> RLModuleSpec:
        """Return the stacked module's spec; its spaces are those of all members at once, [P, ..]."""
        source = self.source()
        spec = source.load()
        policies = len(spec.members) * spec.policies_per_member
        return RLModuleSpec(
            module_class=TaskMembersModule if spec.learns_to_adapt else PopulationModule,
            observation_space=batch_space(spec.module.observation_space, policies),
            action_space=batch_space(spec.module.action_space, policies),
            model_config={SOURCE_KEY: source},
        )

    @override(AlgorithmConfig)
    def get_default_learner_class(self) -> type[Learner]:
        """Return the learner that calls the population engine."""
        spec = self.source().load()
        if spec.meta is not None:
            return MetaLearner if spec.learns_to_adapt else InnerRuleLearner
        return PopulationQLearner if spec.algorithm == "dqn" else PopulationLearner
