"""From a learner's specification to its population: module, optimiser and per-member settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from roamrl.algorithms.learner_spec import LearnerSpec, MemberSpec
from roamrl.algorithms.population.modules.action_values import StackedActionValues, with_experts
from roamrl.algorithms.population.modules.build import build_module, to_bundle
from roamrl.algorithms.population.modules.conditioned import EMBEDDING, StackedConditioned
from roamrl.algorithms.population.modules.stacked import StackedModule
from roamrl.algorithms.population.optimiser import StackedAdam
from roamrl.envs.errors import InputError

HYPER = ("lr", "clip", "entropy_coeff", "max_grad_norm")
"""Names of what each member learns with."""


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
        return cls.from_values({name: [getattr(member, name) for member in members] for name in HYPER}, device)

    @classmethod
    def from_values(
        cls, values: Mapping[str, Sequence[float] | NDArray[np.float64]], device: torch.device | str = "cpu"
    ) -> MemberHyper:
        """Take settings by name, [P] each; names of :data:`HYPER`, others are left alone."""
        return cls(**{name: torch.tensor(values[name], dtype=torch.float32, device=device) for name in HYPER})


def member_values(spec: LearnerSpec) -> dict[str, NDArray[np.float64]]:
    """Return what each member learns with, [P] by name: the names of :data:`HYPER`, and ``gamma``."""
    own = {name: np.array([getattr(member, name) for member in spec.members], np.float64) for name in HYPER}
    return own | {"gamma": np.array(spec.member_gammas, np.float64)}


def start_population(spec: LearnerSpec, device: torch.device | str = "cpu") -> tuple[StackedModule, StackedAdam]:
    """Build a learner's module and optimiser as they are before the first iteration.

    Members with an initial policy take its layers, and hold them fixed for their ``frozen_steps``; members with experts
    get them beside their own network.

    Raises:
        InputError: If an initial policy or an expert does not fit the learner's module.
    """
    module = build_module(spec.module, [member.seed for member in spec.members], device)
    frozen = torch.zeros(module.weights.shape, dtype=torch.bool)
    steps = torch.zeros(module.members, dtype=torch.int64)
    for number, member in enumerate(spec.members):
        _load_experts(module, number, member)
        if member.learned == "code":
            frozen[number], steps[number] = ~_code_of(module, number), torch.iinfo(torch.int64).max
        if member.initial is None:
            continue
        if member.initial.spec.kind != spec.module.kind:
            raise InputError(
                f"member {number} starts from a policy of kind {member.initial.spec.kind!r}, "
                f"but the learner's modules are of kind {spec.module.kind!r}"
            )
        given = member.initial.arrays
        if member.experts:  # the initial policy is one network; the experts beside it stay
            given = {**module.member_state(number), **given}
        module.load_member_state(number, given, member.layers)
        if member.frozen_steps > 0 and member.learned == "all":
            frozen[number] = module.layout.mask(trunk_only=member.layers == "trunk")
            steps[number] = member.frozen_steps
    optimiser = StackedAdam(module.weights)
    optimiser.freeze(frozen, steps)
    return module, optimiser


def _code_of(module: StackedModule, number: int) -> Tensor:
    if not isinstance(module, StackedConditioned) or module.config.code != "embedding":
        raise InputError(
            f"member {number} learns its task's code alone, and its module (kind {module.spec.kind!r}) has no "
            "learned code"
        )
    return module.layout.named(EMBEDDING)


def _load_experts(module: StackedModule, number: int, member: MemberSpec) -> None:
    room = module.config.experts if isinstance(module, StackedActionValues) else 0
    if len(member.experts) != room:
        raise InputError(
            f"member {number} has {len(member.experts)} experts beside it, its module (kind {module.spec.kind!r}) room "
            f"for {room}"
        )
    if member.experts:
        module.load_member_state(number, with_experts(to_bundle(module, number), member.experts).arrays)
