"""The stacked module as an RLModule: RLlib sees [N, P, ..], the engine [P, N, ..]."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.torch import TorchRLModule
from ray.rllib.utils.annotations import override

from roamrl.algorithms.population.modules.build import build_module
from roamrl.algorithms.population.modules.stacked import StackedModule
from roamrl.algorithms.rllib.source import LearnerSource

SOURCE_KEY = "learner_source"


class PopulationModule(TorchRLModule):
    """All members of a learner, with fresh weights; the learner gives them the policies they start from.

    Attributes:
        stacked: The engine's module; its arrays are this module's state.
    """

    stacked: StackedModule
    model_config: Any

    @override(TorchRLModule)
    def setup(self) -> None:
        """Build all members."""
        source: LearnerSource = self.model_config[SOURCE_KEY]
        spec = source.load()
        self.stacked = build_module(spec.module, [member.seed for member in spec.members])

    @override(TorchRLModule)
    def get_state(
        self,
        components: str | Collection[str] | None = None,
        *,
        not_components: str | Collection[str] | None = None,
        inference_only: bool = False,
        **kwargs: Any,
    ) -> dict[str, NDArray[Any]]:
        """Return all arrays as they are: RLlib's own way would round the float64 statistics to float32."""
        return {name: tensor.detach().cpu().numpy().copy() for name, tensor in self.state_dict().items()}

    @override(TorchRLModule)
    def set_state(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Load :meth:`get_state`'s result.

        Raises:
            RuntimeError: If a name or a shape differs.
        """
        tensors = {name: torch.from_numpy(np.require(array, requirements="W")) for name, array in state.items()}
        self.load_state_dict(tensors)

    @override(TorchRLModule)
    def _forward(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        logits, values = self.stacked(batch[Columns.OBS].transpose(0, 1))
        return {Columns.ACTION_DIST_INPUTS: logits.transpose(0, 1), Columns.VF_PREDS: values.transpose(0, 1)}
