"""Policy bundles: a policy as values (a module spec and NumPy arrays), the form in which experts travel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from roamrl.algorithms.extras import Extras
from roamrl.algorithms.space_codec import space_from_json, space_to_json
from roamrl.envs.canonical import plain
from roamrl.envs.errors import InputError


@dataclass(frozen=True)
class ModuleSpec:
    """What is needed to build a policy module, without its weights.

    Attributes:
        kind: Name on the allow-list of :func:`roamrl.algorithms.population.modules.build.build_module`, e.g. ``mlp``.
        observation_space: Space of one observation.
        action_space: Space of one action.
        model: The kind's own settings (hidden sizes, activation, ..), JSON values.
        extras: What the module reads beside the observation.
    """

    kind: str
    observation_space: spaces.Space[Any]
    action_space: spaces.Space[Any]
    model: Mapping[str, Any] = field(default_factory=dict)
    extras: Extras = field(default_factory=Extras)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of what the module reads at a step: the observation with the extras at its last axis."""
        shape = self.observation_space.shape
        if not shape:
            raise InputError(f"policies read observations with at least one axis, got {self.observation_space!r}")
        return (*shape[:-1], shape[-1] + self.extras.columns)

    def to_json(self) -> dict[str, Any]:
        """Return the spec as plain JSON values, tuples as lists, so that equal specs have equal forms."""
        extras = self.extras.to_json()
        return {
            "kind": self.kind,
            "observation_space": space_to_json(self.observation_space),
            "action_space": space_to_json(self.action_space),
            "model": plain(self.model),
            **({"extras": extras} if extras else {}),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ModuleSpec:
        """Build a spec from :meth:`to_json`'s form.

        Raises:
            InputError: If a space is not on the codec's list.
        """
        return cls(
            value["kind"],
            space_from_json(value["observation_space"]),
            space_from_json(value["action_space"]),
            dict(value["model"]),
            Extras.from_json(value.get("extras", {})),
        )


@dataclass(frozen=True)
class PolicyBundle:
    """One policy: its module spec and its arrays (weights, normalisation statistics) by name.

    Names, shapes and dtypes are those of ``StackedModule.member_state``: without the member axis.
    """

    spec: ModuleSpec
    arrays: Mapping[str, NDArray[np.generic]]
