"""The family ``mac-v1``: random access to one slotted channel by an unknown number of stations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from roamrl.envs.batched import BatchedEnv
from roamrl.envs.canonical import JSON
from roamrl.envs.context import ContextSpace
from roamrl.envs.family import Family
from roamrl.envs.mac.config import read_config
from roamrl.envs.mac.context import context_space
from roamrl.envs.mac.env import MEASURES, MACEnv, action_space
from roamrl.envs.mac.features import task_features
from roamrl.envs.mac.observation import observation_space
from roamrl.envs.placement import Placement
from roamrl.envs.reference import Reference
from roamrl.envs.split import Split
from roamrl.envs.task import Task
from roamrl.envs.tuned_reference import TunedReference


class MACFamily(Family):
    """Decentralised channel access with a delay since the last success (after Guo et al., IEEE JSAC 40(5), 2022)."""

    name = "mac"
    version = 1
    about = "share one slotted channel among stations that do not know how many they are"
    measures = MEASURES
    scored_greedily = False

    def config(self, overrides: Mapping[str, JSON] | None = None) -> dict[str, JSON]:
        """Return a full config; see :class:`~roamrl.envs.mac.config.MACConfig`."""
        return read_config(overrides or {}).to_json()

    def context_space(self, config: Mapping[str, JSON]) -> ContextSpace:
        """Return the context table under a full config."""
        return context_space(read_config(config))

    def spaces(self, config: Mapping[str, JSON]) -> tuple[spaces.Box, spaces.Space[Any]]:
        """Return the observation space [n_max, O] and the action space of one cell."""
        full = read_config(config)
        return observation_space(full), action_space(full)

    def episode_steps(self, config: Mapping[str, JSON]) -> int:
        """Return the most steps an episode can have: one a slot, where nobody ever transmits."""
        return read_config(config).episode_slots

    def typical_episode_steps(self, config: Mapping[str, JSON]) -> int:
        """Return half the slots: a policy that uses the channel takes fewer steps than that (docs/families/mac.md)."""
        return -(-read_config(config).episode_slots // 2)

    def make_placed(
        self, placement: Placement, autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP
    ) -> BatchedEnv:
        """Make a batched environment whose rows have the placement's seeds, indices and tasks."""
        return MACEnv(placement, autoreset_mode)

    def references(self, config: Mapping[str, JSON]) -> Mapping[str, Reference]:
        """Return the references under a full config by name."""
        from roamrl.envs.mac.references import references

        return references(config)

    def splits(self, config: Mapping[str, JSON]) -> Mapping[str, Split]:
        """Return the published splits whose tasks a full config can play."""
        from roamrl.envs.mac.splits import published

        return published(config)

    def features(self, task: Task) -> NDArray[np.float64]:
        """Return a task's context as numbers of about one, [8]."""
        return task_features(task)

    def tuned_classical(self, task: Task, episodes: int, seed: int) -> TunedReference:
        """Return p-persistent access with p searched on a task's episodes, from the p tuned at five stations on."""
        from roamrl.envs.mac.tuning_on_target import tune_persistence_on_target

        return tune_persistence_on_target(task, episodes, seed)


MAC = MACFamily()
