"""Small environments of other people's making, each with one property that the adapter has to cope with."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces


class Counter(gymnasium.Env):
    """Counts to ``goal``; observes a Dict, acts in a MultiDiscrete that starts at one, pays what was pressed."""

    def __init__(self, goal: int = 5, wide: bool = False) -> None:
        self.goal = goal
        places = 3 if wide else 2
        self.observation_space = spaces.Dict(
            {"place": spaces.Discrete(3), "noise": spaces.Box(-1.0, 1.0, (places,), np.float64)}
        )
        self.action_space = spaces.MultiDiscrete([2, 3], start=[1, 1])
        self.count = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.count = 0
        return self._look(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(np.asarray(action))
        self.count += 1
        return self._look(), float(10 * action[0] + action[1]), self.count >= self.goal, False, {}

    def _look(self) -> dict[str, Any]:
        noise = self.np_random.uniform(-1.0, 1.0, self.observation_space["noise"].shape)
        return {"place": np.int64(self.count % 3), "noise": noise}


class Unseeded(Counter):
    """Ignores the seed of ``reset``, as some environments do; the constructor's holds for all episodes together."""

    def __init__(self, settings: dict[str, int] | None = None) -> None:
        super().__init__()
        self.rng = np.random.default_rng((settings or {}).get("seed", 0))

    def _look(self) -> dict[str, Any]:
        return {"place": np.int64(0), "noise": self.rng.uniform(-1.0, 1.0, 2)}


class Forgetful(Counter):
    """Sets its own attribute anew at every reset."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        self.goal = 5
        return super().reset(seed=seed, options=options)


class Wordy(Counter):
    """Acts in words, which have no place in a policy."""

    def __init__(self) -> None:
        super().__init__()
        self.action_space = spaces.Text(5)


def press_most(observation: Any, env: Any, context: Any) -> Any:
    """The best policy of the counter."""
    assert set(observation) == {"place", "noise"}
    assert env.goal == context["goal"]
    return [2, 3]


def set_goal(env: Any, context: Any) -> None:
    """Count in pairs."""
    env.goal = 2 * context["pairs"]


NOT_A_FUNCTION = 3
