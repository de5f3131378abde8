"""The family ``gymnasium-v1``: any Gymnasium environment, its context being constructor arguments or attributes."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from functools import cache
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from roamrl.envs.adapters.cells import GymnasiumCells
from roamrl.envs.adapters.config import GymnasiumConfig
from roamrl.envs.adapters.context import context_space, task_features
from roamrl.envs.adapters.examine import examine
from roamrl.envs.adapters.making import constructor_kwargs, make_environment
from roamrl.envs.adapters.references import references
from roamrl.envs.adapters.splits import drawn_splits
from roamrl.envs.batched import BatchedEnv
from roamrl.envs.canonical import JSON, content_hash
from roamrl.envs.context import ContextSpace
from roamrl.envs.family import Family
from roamrl.envs.placement import Placement
from roamrl.envs.reference import Reference
from roamrl.envs.split import Split
from roamrl.envs.task import Task


class GymnasiumFamily(Family):
    """Any environment with Gymnasium's interface; its config says which, and what varies in it.

    The config is part of every task, so a task made here can be played in any process that can import the environment.
    It has no oracle unless the study names one.
    """

    name = "gymnasium"
    version = 1
    about = "any Gymnasium environment, named by its config (CartPole where nothing is named)"
    measures = ()

    def config(self, overrides: Mapping[str, JSON] | None = None) -> dict[str, JSON]:
        """Return a full config; see :class:`~roamrl.envs.adapters.config.GymnasiumConfig`."""
        return examine(overrides or {})[0].to_json()

    def context_space(self, config: Mapping[str, JSON]) -> ContextSpace:
        """Return the context table under a full config."""
        return context_space(examine(config)[0])

    def spaces(self, config: Mapping[str, JSON]) -> tuple[spaces.Box, spaces.Space[Any]]:
        """Return the flat observation space and the action space of one row."""
        face = examine(config)[1]
        return face.observation, face.action

    def episode_steps(self, config: Mapping[str, JSON]) -> int:
        """Return the most steps of an episode."""
        return examine(config)[0].max_episode_steps

    def make_placed(
        self, placement: Placement, autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP
    ) -> BatchedEnv:
        """Make a batched environment whose rows have the placement's seeds, indices and tasks."""
        config, face = examine(placement.pools[0][0].config)
        return GymnasiumCells(placement, config, face, autoreset_mode)

    def references(self, config: Mapping[str, JSON]) -> Mapping[str, Reference]:
        """Return random actions, and the policies that the config names."""
        return references(examine(config)[0])

    def splits(self, config: Mapping[str, JSON]) -> Mapping[str, Split]:
        """Return splits drawn from the config's ranges."""
        return drawn_splits(self, examine(config)[0])

    def features(self, task: Task) -> NDArray[np.float64]:
        """Return a task's context as numbers of about one, [D]."""
        return task_features(task, examine(task.config)[0])

    def sources(self, config: Mapping[str, JSON]) -> str:
        """Return a hash of the code that returns depend on: this adapter, the environment and its package's version."""
        return content_hash([_adapter(), *_environment(examine(config)[0])])


@cache
def _distributions() -> Mapping[str, list[str]]:
    return packages_distributions()


@cache
def _adapter() -> str:
    here = Path(__file__).parent
    return content_hash([file.read_text(encoding="utf-8") for file in sorted(here.glob("*.py"))])


def _environment(config: GymnasiumConfig) -> list[str]:
    context = {variable.name: variable.default for variable in config.variables}
    env: Any = make_environment(config, constructor_kwargs(config, context, 0))
    inner = type(env.unwrapped)
    env.close()
    modules = [inner.__module__, *(path.partition(":")[0] for path in (config.references or {}).values())]
    modules += [path.rpartition(":")[0] for path in (config.make, config.apply or "") if ":" in path]
    found = []
    for module in dict.fromkeys(modules):
        package = module.partition(".")[0]
        found += [f"{name} {version(name)}" for name in sorted(set(_distributions().get(package, ())))]
        found.append(_source(module))
    return found


def _source(module: str) -> str:
    try:
        return content_hash(inspect.getsource(importlib.import_module(module)))
    except (OSError, TypeError):  # built in, or compiled: its package's version has to do
        return module


GYMNASIUM = GymnasiumFamily()
