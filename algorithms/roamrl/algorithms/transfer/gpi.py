"""Generalised policy improvement on successor features: experts transfer to weights nobody trained on.

The reward weighs K parts, r = w . phi(s, a, s'), and w is known. Each expert i learns what its policy earns of each
part,

    psi_i(s, a) = E [ sum_t gamma^t phi_t | s, a, pi_i ],

so that its action values under any weights are Q_i = w . psi_i, and the learner acts by

    a = argmax_a max_i w . psi_i(s, a),

which is no worse than any of the experts (Barreto et al., "Successor features for transfer in reinforcement learning",
NIPS 2017, theorem 1). The learner has successor features of its own beside theirs, learned on the target. The networks
do not see w: it is read from the observation, blanked out of what they read, and applied to what they return.
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from roamrl.algorithms.bundle import ModuleSpec
from roamrl.algorithms.strategy import Setting
from roamrl.algorithms.strategy_needs import Needs
from roamrl.algorithms.transfer.action_values import A_VALUE_EACH, BesideExperts, action_value_module


class GPI(BesideExperts):
    """One expert's successor features a source task; the learner weighs them all by the target's weights."""

    name = "gpi"
    about = "successor features of several experts, weighed by the target's reward weights"
    paper = "Barreto et al., Successor Features for Transfer in Reinforcement Learning, NIPS 2017"

    needs: ClassVar[Needs] = replace(A_VALUE_EACH, reward_parts=True)

    def own_module(self, base: ModuleSpec, setting: Setting) -> ModuleSpec:
        """Return a module of successor features with room for the experts."""
        assert setting.parts is not None  # needed, and checked
        return action_value_module(base, experts=setting.sources, reward_weights=setting.parts.weights_at)
