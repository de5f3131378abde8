"""The learners of members that learn to adapt, and of members that adapt as they learned to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from numpy.typing import NDArray
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.learner.torch.torch_learner import TorchLearner
from ray.rllib.utils.annotations import override

from roamrl.algorithms.meta_learning import InnerRule
from roamrl.algorithms.population.batch import build_batch
from roamrl.algorithms.population.inner_loop import inner_rows, take_inner_step
from roamrl.algorithms.population.members import start_population
from roamrl.algorithms.population.meta_learning import MetaLearning, check_differentiable, start_meta_learning
from roamrl.algorithms.population.modules.stacked import StackedModule
from roamrl.algorithms.population.rollout import Rollout
from roamrl.algorithms.rllib.learner import PopulationLearner
from roamrl.envs.errors import InputError

_MEMBERS, _LEARNING = "members", "meta_learning"


class MetaLearner(PopulationLearner):
    """Learns the members from the rollouts of their task members, whose weights RLlib sends to the runners.

    Attributes:
        learning: MAML or Reptile: the members, their task members, and how far a meta-iteration is.
    """

    learning: MetaLearning

    @override(PopulationLearner)
    def _start(self, module_id: str) -> None:
        members, self.optimiser = start_population(self.spec, self.device)
        played = self.module[module_id].stacked.to(self.device)
        self.learning = start_meta_learning(self.spec, members, played, self.optimiser)

    @property
    @override(PopulationLearner)
    def stacked(self) -> StackedModule:
        """The members, not those who play."""
        return self.learning.outer

    @override(PopulationLearner)
    def _learn(self, rollout: Rollout) -> dict[str, NDArray[Any]]:
        return self.learning.learn(rollout, self._permutations)

    @override(TorchLearner)
    def compute_loss_for_module(
        self, *, module_id: str, config: AlgorithmConfig, batch: dict[str, Any], fwd_out: dict[str, Any]
    ) -> torch.Tensor:
        """Refuse: the loss depends on the rollouts of a whole meta-iteration."""
        raise InputError("members learn to adapt from several rollouts in turn; call update() with each")

    @override(PopulationLearner)
    def _get_optimizer_state(self) -> dict[str, Any]:
        arrays = {name: tensor.detach().cpu().numpy().copy() for name, tensor in self.stacked.state_dict().items()}
        return {**super()._get_optimizer_state(), _MEMBERS: arrays, _LEARNING: self.learning.state()}

    @override(PopulationLearner)
    def _set_optimizer_state(self, state: Mapping[str, Any]) -> None:
        super()._set_optimizer_state(state)
        tensors = {name: torch.from_numpy(array).to(self.device) for name, array in state[_MEMBERS].items()}
        self.stacked.load_state_dict(tensors)
        self.learning.restore(state[_LEARNING])


class InnerRuleLearner(PopulationLearner):
    """Moves policies by MAML's inner step, one an iteration; critics and statistics stay as they were meta-learned."""

    @override(PopulationLearner)
    def _start(self, module_id: str) -> None:
        super()._start(module_id)
        check_differentiable(self.module[DEFAULT_MODULE_ID].stacked)

    @override(PopulationLearner)
    def _learn(self, rollout: Rollout) -> dict[str, NDArray[Any]]:
        rule = self.spec.meta
        if not isinstance(rule, InnerRule):
            raise InputError(f"the learner's members have no inner rule to adapt by (meta={rule})")
        batch = build_batch(self.stacked, rollout, self.spec.ppo)
        rows = inner_rows(self.stacked, batch)
        found = take_inner_step(self.stacked, rows, rule.lr)
        self.optimiser.advance(batch.rows)
        return {name: column.cpu().numpy() for name, column in found.items()}
