"""The module of members that learn to adapt: RLlib sees those who play, one for each task drawn for a member."""

from __future__ import annotations

from typing import Any

from ray.rllib.core.rl_module.torch import TorchRLModule
from ray.rllib.utils.annotations import override

from roamrl.algorithms.population.modules.build import build_module
from roamrl.algorithms.population.task_members import task_seeds
from roamrl.algorithms.rllib.module import SOURCE_KEY, PopulationModule
from roamrl.algorithms.rllib.source import LearnerSource


class TaskMembersModule(PopulationModule):
    """All task members of a learner, [P * M]; the learner gives them the weights they play with."""

    model_config: Any

    @override(TorchRLModule)
    def setup(self) -> None:
        """Build all task members."""
        source: LearnerSource = self.model_config[SOURCE_KEY]
        spec = source.load()
        self.stacked = build_module(spec.module, task_seeds(spec))
