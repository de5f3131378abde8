"""DQN: fresh action values, learned on the target alone by double Q-learning.

y = r + gamma Q_target(s', argmax_a Q(s', a)) over n steps, uniform replay (Mnih et al., Nature 518, 2015; van Hasselt
et al., AAAI 2016); see :mod:`roamrl.algorithms.population.q_learning`. What scratch is to strategies on policies, this
is to those on action values (``max_q``, ``gpi``).
"""

from __future__ import annotations

from typing import ClassVar

from roamrl.algorithms.bundle import ModuleSpec
from roamrl.algorithms.learner_spec import AlgorithmName
from roamrl.algorithms.scratch import Scratch
from roamrl.algorithms.strategy import Setting
from roamrl.algorithms.strategy_needs import Needs
from roamrl.algorithms.transfer.action_values import A_VALUE_EACH, action_value_module


class DQN(Scratch):
    """Learn the target's action values from nothing."""

    name = "dqn"
    about = "fresh action values, learned on the target within the adaptation budget"
    paper = "van Hasselt et al., Deep Reinforcement Learning with Double Q-learning, AAAI 2016"
    algorithm: ClassVar[AlgorithmName] = "dqn"
    needs: ClassVar[Needs] = A_VALUE_EACH

    def own_module(self, base: ModuleSpec, setting: Setting) -> ModuleSpec:
        """Return a module of action values."""
        return action_value_module(base)
