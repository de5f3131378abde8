"""Our families under their Gymnasium ids for stock RLlib algorithms."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from ray import tune

from roamrl.envs.errors import unknown_name
from roamrl.envs.family import Family, family_names, get_family
from roamrl.envs.task import Task

_KNOWN = ("config", "context", "tasks", "seed", "num_envs")
_index = itertools.count()


def environment_id(family: Family) -> str:
    """Return a family's id in Gymnasium's and RLlib's registries, e.g. ``roamrl/Slicing-v1``."""
    return f"roamrl/{family.name.capitalize()}-v{family.version}"


def register_families() -> tuple[str, ...]:
    """Make every family known to stock RLlib; returns the ids for ``config.environment(id, env_config=..)``.

    ``env_config`` may hold ``config`` and ``context`` (what differs from the defaults), or ``tasks``, and ``seed``.
    Both of RLlib's forms work: one cell at a time, and native batches of cells with
    ``env_runners(gym_env_vectorize_mode="vector_entry_point", num_envs_per_env_runner=B)``, in the autoreset mode
    NEXT_STEP that RLlib's own runner takes for granted.
    """
    ids = []
    for name in family_names():
        family = get_family(name)
        tune.register_env(environment_id(family), _creator(family))
        ids.append(environment_id(family))
    return tuple(ids)


def _creator(family: Family) -> Callable[[Mapping[str, Any]], gymnasium.Env[Any, Any] | VectorEnv[Any, Any, Any]]:
    def create(given: Mapping[str, Any]) -> gymnasium.Env[Any, Any] | VectorEnv[Any, Any, Any]:
        for key in given:
            if key not in _KNOWN:
                raise unknown_name("env_config entry", key, _KNOWN)
        tasks: list[Task] = list(given.get("tasks") or [family.task(given.get("context"), given.get("config"))])
        seed = given.get("seed")
        if seed is None:
            seed = int(np.random.SeedSequence().generate_state(1)[0])
        if "num_envs" in given:
            return family.make_vec(tasks, int(given["num_envs"]), int(seed), AutoresetMode.NEXT_STEP)
        index = next(_index)
        return family.make(tasks[index % len(tasks)], int(seed), index)

    return create
