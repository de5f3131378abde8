"""The learner: RLlib's frame around the engine's ``fit``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.core import ALL_MODULES, DEFAULT_MODULE_ID
from ray.rllib.core.columns import Columns
from ray.rllib.core.learner.torch.torch_learner import TorchLearner
from ray.rllib.core.learner.training_data import TrainingData
from ray.rllib.evaluation.postprocessing import Postprocessing
from ray.rllib.utils.annotations import override
from ray.rllib.utils.metrics import NUM_ENV_STEPS_TRAINED, NUM_ENV_STEPS_TRAINED_LIFETIME

from roamrl.algorithms.learner_spec import LearnerSpec
from roamrl.algorithms.population.batch import build_batch
from roamrl.algorithms.population.exploit import Copy, copy_members
from roamrl.algorithms.population.fit import fit
from roamrl.algorithms.population.losses import LossWeights, Minibatch, ppo_loss
from roamrl.algorithms.population.members import MemberHyper, start_population
from roamrl.algorithms.population.modules.stacked import StackedModule
from roamrl.algorithms.population.optimiser import StackedAdam
from roamrl.algorithms.population.rollout import Rollout
from roamrl.algorithms.population.teachers import Teachers
from roamrl.envs.errors import InputError

PERMUTATION_SEED = 0
"""Seed of the minibatch permutations: one for every learner, so that a member does not depend on its neighbours."""

_OPTIMISER, _PERMUTATIONS = "population", "permutations"


class PopulationLearner(TorchLearner):
    """Learns from one rollout of all members.

    Attributes:
        spec: What it learns.
        optimiser: The members' optimiser.
        hyper: The members' own settings.
        teachers: The members' teachers, None if they have none.
        stats: What the last update reported, [P] by name.
    """

    spec: LearnerSpec
    optimiser: StackedAdam
    hyper: MemberHyper
    teachers: Teachers | None
    stats: dict[str, NDArray[Any]]
    config: Any
    module: Any

    @override(TorchLearner)
    def configure_optimizers_for_module(self, module_id: str, config: AlgorithmConfig | None = None) -> None:
        """Give the members their first weights, on this learner's device, and the optimiser that goes with them."""
        self.spec = self.config.source().load()
        self._start(module_id)
        self.hyper = MemberHyper.of(self.spec.members, self.device)
        self.teachers = Teachers.of(self.spec, self.device)
        self._permutations = torch.Generator().manual_seed(PERMUTATION_SEED)
        self._unreported = 0
        self.stats = {}

    def _start(self, module_id: str) -> None:
        self.module[module_id].stacked, self.optimiser = start_population(self.spec, self.device)

    @property
    def stacked(self) -> StackedModule:
        """The members."""
        return self.module[DEFAULT_MODULE_ID].stacked

    def exploit(self, copies: Sequence[Copy]) -> None:
        """Let members take over others' weights, statistics and optimiser.

        Raises:
            InputError: If members keep more than that: a replay, or policies on their way to tasks.
        """
        if self.spec.algorithm != "ppo" or self.spec.meta is not None:
            raise InputError("members take over others where they learn by PPO on their own tasks, and not otherwise")
        copy_members(self.stacked, self.optimiser, copies)
        self._weights_seq_no += 1  # runners take no weights whose number they have

    def set_hyper(self, values: Mapping[str, NDArray[np.float64]]) -> None:
        """Let the members learn with other settings from the next update on, [P] by name."""
        self.hyper = MemberHyper.from_values(values, self.device)

    @override(TorchLearner)
    def update(  # type: ignore[override]
        self,
        *,
        training_data: TrainingData,
        timesteps: dict[str, Any] | None = None,
        report: bool = True,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Learn from the rollout in ``training_data.episodes``.

        Args:
            training_data: One rollout.
            timesteps: RLlib's counters.
            report: Whether to reduce and return metrics; without, they gather until the next report.
            **kwargs: RLlib's minibatch settings, which the learner's own take the place of.
        """
        self._check_is_built()
        self.before_gradient_based_update(timesteps=timesteps or {})
        training_data.validate()
        training_data.solve_refs()
        rollouts: list[Any] = training_data.episodes or []
        if len(rollouts) != 1:
            raise InputError(f"a population learns from one rollout at a time, got {len(rollouts)}")
        self._weights_seq_no += 1
        self.stats = self._learn(rollouts[0])
        self._unreported += rollouts[0].agent_steps
        self.after_gradient_based_update(timesteps=timesteps or {})
        return self._report() if report else {}

    def _learn(self, rollout: Rollout) -> dict[str, NDArray[Any]]:
        """Learn from a rollout and return per-member statistics, [P] by name."""
        batch = build_batch(self.stacked, rollout, self.spec.ppo, self.teachers)
        return fit(
            self.stacked,
            self.optimiser,
            batch,
            self.hyper,
            self.spec.ppo,
            self._permutations,
            self.teachers,
            self.spec.task_gradients,
        )

    def _report(self) -> dict[str, Any]:
        steps, self._unreported = self._unreported, 0
        self.metrics.log_value((ALL_MODULES, NUM_ENV_STEPS_TRAINED), steps, reduce="sum")
        self.metrics.log_value((ALL_MODULES, NUM_ENV_STEPS_TRAINED_LIFETIME), steps, reduce="lifetime_sum")
        for name, values in self.stats.items():
            self.metrics.log_value((DEFAULT_MODULE_ID, name), float(values.mean()), window=1)
        return self.metrics.reduce()

    @override(TorchLearner)
    def compute_loss_for_module(
        self, *, module_id: str, config: AlgorithmConfig, batch: dict[str, Any], fwd_out: dict[str, Any]
    ) -> torch.Tensor:
        """Return the sum of the members' losses on a batch in RLlib's layout, [N, P, ..]."""
        stacked = self.module[module_id].stacked
        columns = {name: column.transpose(0, 1) for name, column in batch.items()}
        minibatch = Minibatch(
            stacked.prepare(columns[Columns.OBS]),
            columns[Columns.ACTIONS],
            columns[Columns.ACTION_LOGP],
            columns[Postprocessing.ADVANTAGES],
            stacked.standardise_returns(columns[Postprocessing.VALUE_TARGETS], columns[Columns.OBS]),
        )
        ones = torch.ones_like(self.hyper.clip)
        by = LossWeights(self.hyper.clip, self.hyper.entropy_coeff, ones, torch.zeros_like(ones))
        losses, _ = ppo_loss(stacked, stacked.weights, minibatch, by, self.spec.ppo)
        return losses.sum()

    @override(TorchLearner)
    def _get_optimizer_state(self) -> dict[str, Any]:
        return {
            _OPTIMISER: {name: tensor.cpu().numpy() for name, tensor in self.optimiser.state_dict().items()},
            _PERMUTATIONS: self._permutations.get_state().numpy(),
        }

    @override(TorchLearner)
    def _set_optimizer_state(self, state: Mapping[str, Any]) -> None:
        tensors = {name: torch.from_numpy(array).to(self.device) for name, array in state[_OPTIMISER].items()}
        self.optimiser.load_state_dict(tensors)
        self._permutations.set_state(torch.from_numpy(state[_PERMUTATIONS]))
