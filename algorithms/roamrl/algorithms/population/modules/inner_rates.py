"""Inner learning rates as part of a policy: a multilayer perceptron that carries the step sizes it adapts with."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from roamrl.algorithms.bundle import ModuleSpec
from roamrl.algorithms.population.modules.layout import Layout, Slot
from roamrl.algorithms.population.modules.mlp import StackedMLP

KIND = "mlp_rates"
"""Its name among module kinds."""

LOG_FACTORS = "inner.log_rate_factors"
"""Name of the parameter."""


class StackedMLPWithRates(StackedMLP):
    """P multilayer perceptrons, each with a factor on the inner step size of each of its G parameters (weight or bias).

    The factors are exp(s_g), so that rates stay positive; s starts at 0 and is learned with the weights (Li et al.,
    "Meta-SGD: Learning to learn quickly for few-shot learning", 2017; a rate for each parameter tensor, as in Antoniou
    et al., ICLR 2019). Nothing the policy does depends on them, so that no inner step and no fine-tuning moves them.
    Settings are those of an ``mlp``.
    """

    def __init__(self, spec: ModuleSpec, members: int) -> None:
        super().__init__(spec, members)
        groups = self.layout.slots
        self.layout = Layout([*groups, Slot(LOG_FACTORS, (len(groups),), trunk=False)])
        self.weights = nn.Parameter(torch.zeros(members, self.layout.width))
        self._sizes = torch.tensor([slot.size for slot in groups])

    def rate_factors(self, weights: Tensor) -> Tensor:
        """Return the factors of weights [p, D] on the inner step size, [p, D]; 0 for the factors themselves."""
        factors = self.layout.views(weights)[LOG_FACTORS].exp()
        spread = factors.repeat_interleave(self._sizes.to(weights.device), dim=1)
        return torch.cat([spread, torch.zeros_like(factors)], dim=1)
