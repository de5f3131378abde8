"""Policies nobody trained: staying at the start, and going straight to the goal."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from roamrl.envs.batched import BatchedEnv
from roamrl.envs.known.navigation.env import NavigationEnv
from roamrl.envs.reference import ActingReference, Reference


class Stay(ActingReference):
    """Never move."""

    name = "stay"
    role = "trivial"
    about = "stays at the start"

    def act(self, env: BatchedEnv) -> NDArray[Any]:
        """Return zero moves [N, 2]."""
        return np.zeros((env.num_envs, 2), np.float32)


class Straight(ActingReference):
    """Go to the goal along both axes as fast as allowed, and stay there.

    It sees the goal. No policy is nearer along either axis at any step, so none is nearer in the plane: the optimum.
    """

    name = "straight"
    role = "oracle"
    about = "goes straight to the goal, which it sees"

    def act(self, env: BatchedEnv) -> NDArray[Any]:
        """Return moves [N, 2]."""
        field = cast(NavigationEnv, env)
        return np.clip((field.goals - field.position) / field.config.speed, -1.0, 1.0)


def references() -> dict[str, Reference]:
    """Return the references by name."""
    return {reference.name: reference for reference in (Stay(), Straight())}
