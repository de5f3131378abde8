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

from roamrl.algorithms.bundle import ModuleSpec
from roamrl.algorithms.strategy import Setting
from roamrl.algorithms.transfer.action_values import BesideExperts, action_value_module
from roamrl.envs.errors import InputError


class GPI(BesideExperts):
    """One expert's successor features a source task; the learner weighs them all by the target's weights."""

    name = "gpi"
    about = "successor features of several experts, weighed by the target's reward weights"
    paper = "Barreto et al., Successor Features for Transfer in Reinforcement Learning, NIPS 2017"

    def module(self, base: ModuleSpec, setting: Setting) -> ModuleSpec:
        """Return a module of successor features with room for the experts."""
        parts = setting.parts
        if parts is None:
            raise InputError("strategy 'gpi' needs a reward that weighs parts, and this family has none; use 'max_q'")
        if parts.weights_at is None:
            raise InputError(
                "strategy 'gpi' reads the reward's weights from the observation, which hides them here; give the arm "
                "'config: {observed: [weights, ..]}', or use 'max_q'"
            )
        return action_value_module(self.name, base, experts=setting.sources, reward_weights=parts.weights_at)
