"""The family ``bandit-v1``: Bernoulli bandits whose arms' probabilities are hidden."""

from __future__ import annotations

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
from roamrl.envs.known.bandit.config import read_config
from roamrl.envs.known.bandit.context import context_space
from roamrl.envs.known.bandit.env import MEASURES, BanditEnv, action_space, observation_space
from roamrl.envs.known.drawn_splits import drawn_splits
from roamrl.envs.placement import Placement
from roamrl.envs.reference import Reference
from roamrl.envs.split import Split
from roamrl.envs.task import Task


class BanditFamily(Family):
    """Bernoulli bandits (Duan et al., "RL^2: Fast reinforcement learning via slow reinforcement learning", 2016).

    An episode is all there is to learn from: what a policy without memory can earn is what a random arm earns.
    """

    name = "bandit"
    version = 1
    about = "pull arms of unknown probability; good and optimal rules are known"
    measures = MEASURES

    def config(self, overrides: Mapping[str, JSON] | None = None) -> dict[str, JSON]:
        """Return a full config; see :class:`~roamrl.envs.known.bandit.config.BanditConfig`."""
        return read_config(overrides or {}).to_json()

    def context_space(self, config: Mapping[str, JSON]) -> ContextSpace:
        """Return the context table under a full config."""
        return context_space(read_config(config))

    def spaces(self, config: Mapping[str, JSON]) -> tuple[spaces.Box, spaces.Space[Any]]:
        """Return the observation and action space of one bandit."""
        return observation_space(), action_space(read_config(config))

    def episode_steps(self, config: Mapping[str, JSON]) -> int:
        """Return the pulls of an episode."""
        return read_config(config).pulls

    def make_placed(
        self, placement: Placement, autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP
    ) -> BatchedEnv:
        """Make a batched environment whose rows have the placement's seeds, indices and tasks."""
        return BanditEnv(placement, autoreset_mode)

    def references(self, config: Mapping[str, JSON]) -> Mapping[str, Reference]:
        """Return the references under a full config by name."""
        from roamrl.envs.known.bandit.references import references

        return references()

    def splits(self, config: Mapping[str, JSON]) -> Mapping[str, Split]:
        """Return splits drawn for a config; ``ood-probabilities``: arms that all pay seldom."""

        def gaps(tasks: Sequence[Task]) -> NDArray[np.float64]:
            drawn = np.array([task.context["probabilities"] for task in tasks])
            return np.asarray(drawn.max(axis=1) - drawn.mean(axis=1))

        return drawn_splits(self, read_config(config).to_json(), "probabilities", gaps)

    def features(self, task: Task) -> NDArray[np.float64]:
        """Return the arms' probabilities, [K]."""
        return np.asarray(task.context["probabilities"], np.float64)


BANDIT = BanditFamily()
