"""The family ``navigation-v1``: a point in the plane that has to find a hidden goal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from roamrl.envs.batched import BatchedEnv
from roamrl.envs.canonical import JSON
from roamrl.envs.context import ContextSpace
from roamrl.envs.family import Family
from roamrl.envs.known.drawn_splits import drawn_splits
from roamrl.envs.known.navigation.config import NavigationConfig, read_config
from roamrl.envs.known.navigation.context import context_space
from roamrl.envs.known.navigation.env import MEASURES, NavigationEnv, action_space, observation_space
from roamrl.envs.placement import Placement
from roamrl.envs.reference import Reference
from roamrl.envs.split import Split
from roamrl.envs.task import Task


class NavigationFamily(Family):
    """Two-dimensional navigation (Finn, Abbeel and Levine, ICML 2017, sec. 5.3), the optimum known exactly.

    Differences: the reward is the negative distance, not its square, and reaching the goal ends no episode.
    """

    name = "navigation"
    version = 1
    about = "find a hidden goal in the plane; the optimum is known"
    measures = MEASURES

    def config(self, overrides: Mapping[str, JSON] | None = None) -> dict[str, JSON]:
        """Return a full config; see :class:`~roamrl.envs.known.navigation.config.NavigationConfig`."""
        return read_config(overrides or {}).to_json()

    def context_space(self, config: Mapping[str, JSON]) -> ContextSpace:
        """Return the context table under a full config."""
        return context_space(read_config(config))

    def spaces(self, config: Mapping[str, JSON]) -> tuple[spaces.Box, spaces.Space[Any]]:
        """Return the observation and action space of one point."""
        return observation_space(read_config(config)), action_space()

    def episode_steps(self, config: Mapping[str, JSON]) -> int:
        """Return the steps of an episode."""
        return read_config(config).steps

    def make_placed(
        self, placement: Placement, autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP
    ) -> BatchedEnv:
        """Make a batched environment whose rows have the placement's seeds, indices and tasks."""
        return NavigationEnv(placement, autoreset_mode)

    def references(self, config: Mapping[str, JSON]) -> Mapping[str, Reference]:
        """Return the references under a full config by name."""
        from roamrl.envs.known.navigation.references import references

        return references()

    def splits(self, config: Mapping[str, JSON]) -> Mapping[str, Split]:
        """Return splits drawn for a config; ``ood-goal``: the other half of the circle, or around the square."""
        full = read_config(config)

        def gaps(tasks: Sequence[Task]) -> NDArray[np.float64]:
            return np.array([gap_a_step(task, full) for task in tasks])

        return drawn_splits(self, full.to_json(), "goal", gaps)

    def features(self, task: Task) -> NDArray[np.float64]:
        """Return the goal in units of the config's extent, [2]."""
        return np.asarray(task.context["goal"], np.float64) / read_config(task.config).extent


def gap_a_step(task: Task, config: NavigationConfig) -> float:
    """Return how much nearer the optimum is to the goal than the start, mean over the steps of an episode."""
    goal = np.abs(np.asarray(task.context["goal"], np.float64))
    moved = config.speed * np.arange(1, config.steps + 1)[:, None]
    left = np.linalg.norm(np.maximum(goal - moved, 0.0), axis=1)
    return math.hypot(*goal) - float(left.mean())


NAVIGATION = NavigationFamily()
