"""From a learner's specification to its population: module, optimiser and per-member settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from roamrl.algorithms.learner_spec import LearnerSpec, MemberSpec
from roamrl.algorithms.population.modules.build import build_module
from roamrl.algorithms.population.modules.stacked import StackedModule
from roamrl.algorithms.population.optimiser import StackedAdam
from roamrl.envs.errors import InputError


@dataclass(frozen=True)
class MemberHyper:
    """Settings of learning that each member has for itself, all [P] float32.

    Attributes:
        lr: Adam's step size.
        clip: PPO's clip range.
        entropy_coeff: Weight of the entropy bonus.
        max_grad_norm: Bound on the gradient's norm.
    """

    lr: Tensor
    clip: Tensor
    entropy_coeff: Tensor
    max_grad_norm: Tensor

    @classmethod
    def of(cls, members: Sequence[MemberSpec], device: torch.device | str = "cpu") -> MemberHyper:
        """Collect the settings of members."""
        return cls(
            *(
                torch.tensor([getattr(member, name) for member in members], dtype=torch.float32, device=device)
                for name in ("lr", "clip", "entropy_coeff", "max_grad_norm")
            )
        )


def start_population(spec: LearnerSpec, device: torch.device | str = "cpu") -> tuple[StackedModule, StackedAdam]:
    """Build a learner's module and optimiser as they are before the first iteration.

    Members with an initial policy take its layers, and hold them fixed for their ``frozen_steps``.

    Raises:
        InputError: If an initial policy does not fit the learner's module.
    """
    module = build_module(spec.module, [member.seed for member in spec.members], device)
    frozen = torch.zeros(module.weights.shape, dtype=torch.bool)
    steps = torch.zeros(module.members, dtype=torch.int64)
    for number, member in enumerate(spec.members):
        if member.initial is None:
            continue
        if member.initial.spec.kind != spec.module.kind:
            raise InputError(
                f"member {number} starts from a policy of kind {member.initial.spec.kind!r}, "
                f"but the learner's modules are of kind {spec.module.kind!r}"
            )
        module.load_member_state(number, member.initial.arrays, member.layers)
        if member.frozen_steps > 0:
            frozen[number] = module.layout.mask(trunk_only=member.layers == "trunk")
            steps[number] = member.frozen_steps
    optimiser = StackedAdam(module.weights)
    optimiser.freeze(frozen, steps)
    return module, optimiser
