"""From a learner's specification to what its members learn to adapt by."""

from __future__ import annotations

from roamrl.algorithms.learner_spec import LearnerSpec
from roamrl.algorithms.meta_learning import MAMLSettings, ReptileSettings
from roamrl.algorithms.population.maml import MAML
from roamrl.algorithms.population.members import MemberHyper
from roamrl.algorithms.population.modules.memory import MemoryModule
from roamrl.algorithms.population.modules.stacked import StackedModule
from roamrl.algorithms.population.optimiser import StackedAdam
from roamrl.algorithms.population.reptile import Reptile
from roamrl.envs.errors import InputError

MetaLearning = MAML | Reptile


def check_differentiable(module: StackedModule) -> None:
    """Check that a module's members can take inner steps.

    Raises:
        InputError: If they carry a memory: gradients through its steps have no second derivative.
    """
    if isinstance(module, MemoryModule):
        raise InputError(
            f"policies of kind {module.spec.kind!r} carry a memory and cannot take MAML's inner steps; use kind 'mlp', "
            "or reptile, or let the memory adapt (rl2)"
        )


def start_meta_learning(
    spec: LearnerSpec, outer: StackedModule, played: StackedModule, optimiser: StackedAdam
) -> MetaLearning:
    """Return what learns a learner's members from the rollouts of their task members.

    Args:
        spec: The learner.
        outer: Its members as they start.
        played: Their task members, whose weights and statistics become the members' own.
        optimiser: The members' optimiser.

    Raises:
        InputError: If the learner's members do not learn to adapt, or cannot by MAML.
    """
    members = MemberHyper.of(spec.members, outer.weights.device)
    if isinstance(spec.meta, MAMLSettings):
        check_differentiable(outer)
        return MAML(outer, played, optimiser, members, spec.meta, spec.ppo)
    if isinstance(spec.meta, ReptileSettings):
        return Reptile(outer, played, members, spec.meta, spec.ppo, spec.iterations)
    raise InputError(f"the learner's members do not learn to adapt (meta={spec.meta}); give them MAML's settings")
