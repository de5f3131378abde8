"""Policies nobody trained, for environments from elsewhere: random actions, and what a study names."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from roamrl.envs.adapters.cells import GymnasiumCells
from roamrl.envs.adapters.config import GymnasiumConfig
from roamrl.envs.episodes import Episodes, play
from roamrl.envs.reference import ActingReference, Reference, Role

if TYPE_CHECKING:
    from roamrl.envs.batched import BatchedEnv
    from roamrl.envs.family import Family
    from roamrl.envs.task import Task


class RandomActions(Reference):
    """Actions drawn as the action space's own ``sample`` draws them: uniform wherever there are bounds."""

    name = "random"
    role: Role = "trivial"
    about = "uniformly random actions"

    def play(self, family: Family, tasks: Sequence[Task], *, episodes: int, seed: int) -> Episodes:
        """Play E episodes of every task; the actions of episode e depend on the seed and e alone."""
        samplers: dict[tuple[int, int], Any] = {}

        def choose(obs: NDArray[np.float32], env: BatchedEnv) -> NDArray[Any]:
            actions = []
            for place, index in enumerate(env.placement.indices):
                key = (place // obs.shape[1], int(index))
                if key not in samplers:
                    samplers[key] = copy.deepcopy(env.single_action_space)
                    samplers[key].seed(int(np.random.SeedSequence((seed, key[1])).generate_state(1)[0]))
                actions.append(samplers[key].sample())
            return np.reshape(actions, (*obs.shape[:2], *np.shape(actions[0])))

        return play(family, tasks, choose, episodes=episodes, seed=seed)


class NamedPolicy(ActingReference):
    """A function of the study's, ``(observation, env, context) -> action`` in the environment's own terms."""

    def __init__(self, role: Role, path: str) -> None:
        self.role = role
        self.name = path
        self.about = f"{path}, named by the study"

    def act(self, env: BatchedEnv) -> NDArray[Any]:
        """Return the function's actions [N, ...]."""
        return cast(GymnasiumCells, env).suggest(self.name)


def references(config: GymnasiumConfig) -> dict[str, Reference]:
    """Return the references by name: random actions are trivial unless the study names another policy for it."""
    named = dict(config.references or {})
    offered: list[Reference] = [] if "trivial" in named else [RandomActions()]
    offered += [NamedPolicy(cast(Role, role), path) for role, path in named.items()]
    return {reference.name: reference for reference in offered}
