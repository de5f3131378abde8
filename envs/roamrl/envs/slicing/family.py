"""The family ``slicing-v1``: an xApp splits the resource blocks of one NR cell among slices, window by window."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from roamrl.envs.batched import BatchedEnv
from roamrl.envs.canonical import JSON
from roamrl.envs.context import ContextSpace
from roamrl.envs.family import Family
from roamrl.envs.placement import Placement
from roamrl.envs.reference import Reference
from roamrl.envs.reward import RewardParts
from roamrl.envs.slicing.config import read_config
from roamrl.envs.slicing.context import context_space
from roamrl.envs.slicing.env import MEASURES, SlicingEnv, action_space, observation_space, weights_at
from roamrl.envs.slicing.features import task_features
from roamrl.envs.split import Split
from roamrl.envs.task import Task
from roamrl.envs.tuned_reference import TunedReference


class SlicingFamily(Family):
    """Radio access network slicing (Nagib et al., IEEE TNSM 20(2), 2023) with queues that carry over."""

    name = "slicing"
    version = 1
    about = "share the resource blocks of one NR cell among slices with delay targets"
    measures = MEASURES

    def config(self, overrides: Mapping[str, JSON] | None = None) -> dict[str, JSON]:
        """Return a full config; see :class:`~roamrl.envs.slicing.config.SlicingConfig`."""
        return read_config(overrides or {}).to_json()

    def context_space(self, config: Mapping[str, JSON]) -> ContextSpace:
        """Return the context table under a full config."""
        return context_space(read_config(config))

    def spaces(self, config: Mapping[str, JSON]) -> tuple[spaces.Box, spaces.Space[Any]]:
        """Return the observation and action space of one cell."""
        full = read_config(config)
        return observation_space(full), action_space(full)

    def episode_steps(self, config: Mapping[str, JSON]) -> int:
        """Return the windows of an episode."""
        return read_config(config).episode_windows

    def make_placed(
        self, placement: Placement, autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP
    ) -> BatchedEnv:
        """Make a batched environment whose rows have the placement's seeds, indices and tasks."""
        return SlicingEnv(placement, autoreset_mode)

    def references(self, config: Mapping[str, JSON]) -> Mapping[str, Reference]:
        """Return the references under a full config by name."""
        from roamrl.envs.slicing.references import references

        return references(config)

    def splits(self, config: Mapping[str, JSON]) -> Mapping[str, Split]:
        """Return the published splits of the default config and of its named variants."""
        from roamrl.envs.slicing.splits import published

        return published(config)

    def reward_parts(self, config: Mapping[str, JSON]) -> RewardParts:
        """Return the slices' satisfactions, which the weights of the SLA weigh (they sum to one)."""
        full = read_config(config)
        return RewardParts(full.slices, weights_at(full))

    def tuned_classical(self, task: Task, episodes: int, seed: int) -> TunedReference:
        """Return the demand-proportional policy with its gains tuned on a task, each episode of which is played once.

        Below :data:`~roamrl.envs.live_search.LEAST_EPISODES` they stay what was tuned on ``val``.
        """
        from roamrl.envs.slicing.references import Demand
        from roamrl.envs.slicing.tuning_on_target import tune_demand_on_target

        start = cast(Demand, self.reference(task.config, "classical")).gains
        return tune_demand_on_target(self, task, start, episodes, seed)

    def features(self, task: Task) -> NDArray[np.float64]:
        """Return a task's context as numbers of about one, [D]."""
        return task_features(task, read_config(task.config))


SLICING = SlicingFamily()
