"""The family ``urllc-v1``: ultra-reliable low-latency packets, sent at little power before too many wait."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from roamrl.envs import relative_value_iteration
from roamrl.envs.batched import BatchedEnv
from roamrl.envs.canonical import JSON, content_hash
from roamrl.envs.context import ContextSpace
from roamrl.envs.family import Family
from roamrl.envs.placement import Placement
from roamrl.envs.reference import Reference
from roamrl.envs.split import Split
from roamrl.envs.task import Task
from roamrl.envs.tuned_reference import TunedReference
from roamrl.envs.urllc.config import read_config
from roamrl.envs.urllc.context import context_space
from roamrl.envs.urllc.env import MEASURES, UrllcEnv, action_space, observation_space
from roamrl.envs.urllc.features import task_features


class UrllcFamily(Family):
    """Power against reliability on a fading downlink (after Kasgari et al., IEEE Trans. Commun. 69(2), 2021)."""

    name = "urllc"
    version = 1
    about = "send packets over a fading downlink at little power, before too many wait"
    measures = MEASURES

    def config(self, overrides: Mapping[str, JSON] | None = None) -> dict[str, JSON]:
        """Return a full config; see :class:`~roamrl.envs.urllc.config.UrllcConfig`."""
        return read_config(overrides or {}).to_json()

    def context_space(self, config: Mapping[str, JSON]) -> ContextSpace:
        """Return the context table under a full config."""
        return context_space(read_config(config))

    def spaces(self, config: Mapping[str, JSON]) -> tuple[spaces.Box, spaces.Space[Any]]:
        """Return the observation and action space of one downlink."""
        full = read_config(config)
        return observation_space(full), action_space(full)

    def episode_steps(self, config: Mapping[str, JSON]) -> int:
        """Return the slots of an episode."""
        return read_config(config).episode_slots

    def make_placed(
        self, placement: Placement, autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP
    ) -> BatchedEnv:
        """Make a batched environment whose rows have the placement's seeds, indices and tasks."""
        return UrllcEnv(placement, autoreset_mode)

    def references(self, config: Mapping[str, JSON]) -> Mapping[str, Reference]:
        """Return the references under a full config by name."""
        from roamrl.envs.urllc.references import references

        return references(config)

    def splits(self, config: Mapping[str, JSON]) -> Mapping[str, Split]:
        """Return the published splits; none where the cells are not those of the default config."""
        from roamrl.envs.urllc.splits import published

        return published(config)

    def sources(self, config: Mapping[str, JSON]) -> str:
        """Return what identifies the code that returns depend on; the oracle's depend on value iteration as well."""
        solver = Path(str(relative_value_iteration.__file__)).read_text(encoding="utf-8")
        return content_hash([super().sources(config), solver])

    def tuned_classical(self, task: Task, episodes: int, seed: int) -> TunedReference:
        """Return the channel threshold tuned on a task, each episode of which is played once.

        Below :data:`~roamrl.envs.live_search.LEAST_EPISODES` it stays what was tuned on ``val``.
        """
        from roamrl.envs.urllc.references import TUNED
        from roamrl.envs.urllc.tuning_on_target import tune_threshold_on_target

        return tune_threshold_on_target(self, task, TUNED, episodes, seed)

    def features(self, task: Task) -> NDArray[np.float64]:
        """Return a task's context as numbers of about one, [5]."""
        return task_features(task, read_config(task.config))


URLLC = UrllcFamily()
