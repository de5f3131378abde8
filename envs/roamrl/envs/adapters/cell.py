"""One row: an environment from elsewhere that plays a context from a seed, and can play an episode again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import gymnasium
import numpy as np
from numpy.typing import NDArray

from roamrl.envs.adapters.config import GymnasiumConfig
from roamrl.envs.adapters.faces import Face, observed_tail
from roamrl.envs.adapters.making import (
    AnyEnv,
    check_kept,
    constructor_kwargs,
    load_function,
    make_environment,
    place_context,
)
from roamrl.envs.canonical import JSON
from roamrl.envs.errors import InputError

TERMINATED: Final = 1
TRUNCATED: Final = 2
ENDED: Final = "ended"
"""Key of ``info`` at the last step of an episode: :data:`TERMINATED` or :data:`TRUNCATED`."""


@dataclass(frozen=True)
class Episode:
    """An episode so far.

    Attributes:
        context: The context it is played in.
        seed: Its seed.
        actions: The policy's actions, [n, ...].
    """

    context: Mapping[str, JSON]
    seed: int
    actions: NDArray[Any]


class Cell(gymnasium.Env[NDArray[np.float32], Any]):
    """A row of a Gymnasium vector environment whose episodes are begun by :class:`~.cells.GymnasiumCells`.

    It never says ``terminated`` or ``truncated`` itself, since Gymnasium's vector environments refuse to step rows that
    ended; ``info["ended"]`` says so, and steps after it change nothing.

    Args:
        config: What is made.
        face: How it looks to a policy.
        row: Number of the row.
    """

    def __init__(self, config: GymnasiumConfig, face: Face, row: int = 0) -> None:
        self.metadata = {"render_modes": []}
        self.observation_space = face.observation
        self.action_space = face.action
        self._config, self._face, self._row = config, face, row
        self._env: Any = None
        self._kwargs: Mapping[str, Any] = {}
        self._context: Mapping[str, JSON] = {}
        self._steps = 0
        self._ended = False
        self._inner: Any = None
        self._obs = np.zeros(face.observation.shape, np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin an episode in the context ``options["contexts"][row]``."""
        self._begin((options or {})["contexts"][self._row], int(seed or 0))
        return self._obs, {}

    def step(self, action: Any) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Step, or wait if the episode is over."""
        if self._ended:
            return self._obs, 0.0, False, False, {}
        self._inner, reward, terminated, truncated, _ = self._made().step(self._face.to_inner(action))
        self._obs = self._face.see(self._inner, self._tail)
        self._steps += 1
        truncated = truncated or self._steps >= self._config.max_episode_steps
        self._ended = bool(terminated or truncated)
        info = {ENDED: TERMINATED if terminated else TRUNCATED} if self._ended else {}
        return self._obs, float(reward), False, False, info

    def suggest(self, policy: str) -> Any:
        """Return the action that the function ``module:function`` chooses here."""
        function = load_function(policy, "reference")
        return self._face.from_inner(function(self._inner, self._made().unwrapped, dict(self._context)))

    def replay(self, episodes: Sequence[Episode | None]) -> NDArray[np.float32]:
        """Play this row's episode again up to where it was; return the observation there."""
        episode = episodes[self._row]
        if episode is not None:
            self._begin(episode.context, episode.seed)
            for action in episode.actions:
                self.step(action)
        return self._obs

    def close(self) -> None:
        """Close the environment."""
        if self._env is not None:
            self._env.close()
            self._env = None

    def _begin(self, context: Mapping[str, JSON], seed: int) -> None:
        kwargs = constructor_kwargs(self._config, context, seed)
        if self._env is None or kwargs != self._kwargs or self._config.seed_kwarg is not None:
            self.close()
            self._env = make_environment(self._config, kwargs)
            self._kwargs = kwargs
            self._refuse_other_spaces(self._env, context)
        place_context(self._env, self._config, context)
        self._inner, _ = self._env.reset(seed=seed)
        check_kept(self._env, self._config, context)
        self._context, self._tail = context, observed_tail(self._config, context)
        self._obs = self._face.see(self._inner, self._tail)
        self._steps, self._ended = 0, False

    def _made(self) -> AnyEnv:
        if self._env is None:
            raise InputError("step before reset; call reset() first")
        made: AnyEnv = self._env
        return made

    def _refuse_other_spaces(self, env: AnyEnv, context: Mapping[str, JSON]) -> None:
        """Refuse a context under which observations have another length, or other actions are there."""
        wanted, found = self._face.inner_observation, env.observation_space
        same_size = gymnasium.spaces.flatdim(found) == gymnasium.spaces.flatdim(wanted)
        if not same_size or env.action_space != self._face.inner_action:
            raise InputError(
                f"context {dict(context)} changes the spaces of {self._config.make}: {found} and {env.action_space} in "
                f"place of {wanted} and {self._face.inner_action}. Tasks of a family share spaces; pad them in a "
                "function of your own (make: module:function)"
            )
