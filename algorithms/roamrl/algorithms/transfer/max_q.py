"""Max-Q: act by the best of several experts' action values.

    a = argmax_a max_i Q_i(s, a)

over one expert a source task and the learner's own network, zero-shot and inside the learner's own maximum: its target
values the action that this maximum takes (:mod:`roamrl.algorithms.population.q_learning`). The formula is the
tutorial's for transfer from several experts (A. Nagib, IEEE ICC 2025); for action values under one and the same reward
it is generalised policy improvement (Barreto et al., NIPS 2017, theorem 1). Where rewards differ the experts' values
are of other rewards, and an expert that promises too much is believed: :mod:`roamrl.algorithms.transfer.gpi` mends
that where the reward is a weighed sum.
"""

from __future__ import annotations

from roamrl.algorithms.transfer.action_values import BesideExperts


class MaxQ(BesideExperts):
    """One expert a source task; the learner acts by the best of all their values and its own."""

    name = "max_q"
    about = "acts by the best action value of several experts and of the learner"
    paper = "Barreto et al., Successor Features for Transfer in Reinforcement Learning, NIPS 2017"
