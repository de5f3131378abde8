"""What is trained on: a toy that costs nothing, and cells of ``slicing-v1``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gymnasium import spaces
from gymnasium.vector import AutoresetMode

from roamrl.envs.batched import BatchedEnv
from roamrl.envs.family import Family, get_family, register_family
from roamrl.envs.task import Task
from roamrl.platform.bench.toy import TOY, ToyCell


@dataclass(frozen=True)
class Work:
    """Something to train on.

    Attributes:
        name: What rows call it.
        family: Its family.
        task: The one task that is played.
    """

    name: str
    family: Family
    task: Task
    _spaces: tuple[spaces.Box, spaces.Space[Any]] = field(repr=False)

    @property
    def observation_space(self) -> spaces.Box:
        """Space of one sub-environment."""
        return self._spaces[0]

    @property
    def action_space(self) -> spaces.Space[Any]:
        """Space of one sub-environment."""
        return self._spaces[1]

    def cells(self, count: int, seed: int = 0, mode: AutoresetMode = AutoresetMode.SAME_STEP) -> BatchedEnv:
        """Make a native batch of ``count`` sub-environments."""
        return self.family.make_vec([self.task], count, seed, mode)

    def rllib_env(self, given: Mapping[str, Any]) -> Any:
        """Make what RLlib asks for: a native batch if ``num_envs`` is given, else one sub-environment."""
        seed = int(given.get("seed", 0))
        if "num_envs" in given:
            return self.cells(int(given["num_envs"]), seed, AutoresetMode.NEXT_STEP)
        if self.family is TOY:
            return ToyCell()
        return self.family.make(self.task, seed)


def toy_work() -> Work:
    """Return the toy, its family made known in this process."""
    register_family(TOY)
    return Work("toy", TOY, TOY.task(), TOY.spaces({}))


def family_work(
    family_id: str,
    context: Mapping[str, Any] | None = None,
    name: str | None = None,
    config: Mapping[str, Any] | None = None,
) -> Work:
    """Return the default task of a family (with context or config changed), under the family's short name."""
    family = get_family(family_id)
    task = family.task(context, config)
    return Work(name or family.name, family, task, family.spaces(task.config))
