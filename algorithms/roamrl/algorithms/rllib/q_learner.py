"""The learner of action values: RLlib's frame around the engine's Q-learning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from numpy.typing import NDArray
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.core.learner.torch.torch_learner import TorchLearner
from ray.rllib.utils.annotations import override

from roamrl.algorithms.learner_spec import DQNSettings
from roamrl.algorithms.population.q_learning import QLearning
from roamrl.algorithms.population.replay import Replay
from roamrl.algorithms.population.rollout import Rollout
from roamrl.algorithms.population.transitions import n_step_transitions
from roamrl.algorithms.rllib.learner import PopulationLearner
from roamrl.envs.errors import InputError

_REPLAY, _LEARNING = "replay", "q_learning"


class PopulationQLearner(PopulationLearner):
    """Keeps what all members did in a replay, and learns their action values from it.

    Attributes:
        replay: The replay.
        learning: Target networks and update count.
    """

    replay: Replay
    learning: QLearning

    @override(PopulationLearner)
    def configure_optimizers_for_module(self, module_id: str, config: AlgorithmConfig | None = None) -> None:
        """Give the members their first weights and an empty replay."""
        super().configure_optimizers_for_module(module_id, config)
        self.replay = Replay(self._settings.buffer_rows, self.device)
        stacked: Any = self.module[module_id].stacked
        self.learning = QLearning(stacked, self.optimiser, self._settings, self.spec.member_gammas)

    @property
    def _settings(self) -> DQNSettings:
        if self.spec.dqn is None:
            raise InputError("the learner has no DQN settings; give LearnerSpec(dqn=DQNSettings(..))")
        return self.spec.dqn

    @override(PopulationLearner)
    def _learn(self, rollout: Rollout) -> dict[str, NDArray[Any]]:
        transitions = n_step_transitions(rollout, self._settings.n_step)
        self.replay.add(transitions)
        fresh = transitions.actions.shape[1]
        stats = self.learning.learn(self.replay, fresh, self.hyper, self._permutations)
        held, _ = self.optimiser.held()
        self.stacked.observe(torch.from_numpy(transitions.obs).to(self.device), held)
        return stats

    @override(TorchLearner)
    def compute_loss_for_module(
        self, *, module_id: str, config: AlgorithmConfig, batch: dict[str, Any], fwd_out: dict[str, Any]
    ) -> torch.Tensor:
        """Refuse: the loss is over replayed transitions, which RLlib's batches are not."""
        raise InputError("action values learn from the replay; call update() with a rollout")

    @override(PopulationLearner)
    def _get_optimizer_state(self) -> dict[str, Any]:
        return {**super()._get_optimizer_state(), _REPLAY: self.replay.state(), _LEARNING: self.learning.state()}

    @override(PopulationLearner)
    def _set_optimizer_state(self, state: Mapping[str, Any]) -> None:
        super()._set_optimizer_state(state)
        self.replay.restore(state[_REPLAY])
        self.learning.restore(state[_LEARNING])
