"""Modules by name, from seeds or from bundles: the only way a spec becomes a network."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from roamrl.algorithms.bundle import ModuleSpec, PolicyBundle
from roamrl.algorithms.population.modules.action_values import StackedActionValues
from roamrl.algorithms.population.modules.conditioned import StackedConditioned
from roamrl.algorithms.population.modules.entity import StackedEntities
from roamrl.algorithms.population.modules.gru import StackedGRU
from roamrl.algorithms.population.modules.inner_rates import KIND as MLP_WITH_RATES
from roamrl.algorithms.population.modules.inner_rates import StackedMLPWithRates
from roamrl.algorithms.population.modules.latent import StackedLatent
from roamrl.algorithms.population.modules.mlp import StackedMLP
from roamrl.algorithms.population.modules.multihead import StackedMultihead
from roamrl.algorithms.population.modules.stacked import StackedModule
from roamrl.envs.errors import InputError, unknown_name

MODULE_KINDS: dict[str, Callable[[ModuleSpec, int], StackedModule]] = {
    "mlp": StackedMLP,
    MLP_WITH_RATES: StackedMLPWithRates,
    "multihead": StackedMultihead,
    "conditioned": StackedConditioned,
    "entity": StackedEntities,
    "gru": StackedGRU,
    "latent": StackedLatent,
    "q": StackedActionValues,
}
"""The allow-list of module kinds."""


def build_module(spec: ModuleSpec, seeds: Sequence[int], device: torch.device | str = "cpu") -> StackedModule:
    """Build a population with fresh weights.

    Args:
        spec: The members' spec.
        seeds: One a member; a member's weights depend on its seed alone.
        device: Where the population lives.

    Raises:
        InputError: If the spec's kind, spaces or settings are not known.
    """
    module = _empty(spec, len(seeds))
    for member, seed in enumerate(seeds):
        module.initialise(member, torch.Generator().manual_seed(seed))
    return module.to(device)


def from_bundles(bundles: Sequence[PolicyBundle], device: torch.device | str = "cpu") -> StackedModule:
    """Build a population from policies of one spec, a member each.

    Raises:
        InputError: If there is none, their specs differ, or a bundle does not fit its spec.
    """
    if not bundles:
        raise InputError("a population needs at least one policy")
    first = bundles[0].spec.to_json()
    for number, bundle in enumerate(bundles):
        if bundle.spec.to_json() != first:
            raise InputError(f"policies of one population share a module spec; number {number} differs from number 0")
    module = _empty(bundles[0].spec, len(bundles))
    for member, bundle in enumerate(bundles):
        module.load_member_state(member, bundle.arrays, "all")
    return module.to(device)


def to_bundle(module: StackedModule, member: int) -> PolicyBundle:
    """Return a member as a bundle of its own."""
    return PolicyBundle(module.spec, module.member_state(member))


def _empty(spec: ModuleSpec, members: int) -> StackedModule:
    if spec.kind not in MODULE_KINDS:
        raise unknown_name("module kind", str(spec.kind), MODULE_KINDS)
    return MODULE_KINDS[spec.kind](spec, members)
