"""Gymnasium's ids of our families: ``gymnasium.make`` gives one cell, ``gymnasium.make_vec`` a batch of them.

``import roamrl.envs`` registers them; a family's own code is loaded when an environment is made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import gymnasium
from gymnasium.vector import AutoresetMode

if TYPE_CHECKING:
    from roamrl.envs.batched import BatchedEnv
    from roamrl.envs.scalar import ScalarEnv
    from roamrl.envs.task import Task

ENVIRONMENTS = {
    "roamrl/Slicing-v1": "slicing-v1",
    "roamrl/Urllc-v1": "urllc-v1",
    "roamrl/Mac-v1": "mac-v1",
    "roamrl/Bandit-v1": "bandit-v1",
    "roamrl/Navigation-v1": "navigation-v1",
}
"""Gymnasium id to family id."""


def register_families() -> None:
    """Tell Gymnasium our ids."""
    for environment, family in ENVIRONMENTS.items():
        gymnasium.register(
            id=environment,
            entry_point="roamrl.envs.registration:make_cell",
            vector_entry_point="roamrl.envs.registration:make_cells",
            kwargs={"family": family},
        )


def make_cell(
    family: str,
    config: Mapping[str, Any] | None = None,
    context: Mapping[str, Any] | None = None,
    tasks: Sequence[Task] | None = None,
    seed: int = 0,
    index: int = 0,
) -> ScalarEnv:
    """Make one cell; what is not given has the family's defaults.

    Args:
        family: Id of the family (``gymnasium.make`` fills it in).
        config: What differs from the default config.
        context: What differs from the default context.
        tasks: Tasks instead of config and context; the first is played.
        seed: Seed of the cell's streams until ``reset(seed=..)`` gives another.
        index: The row of a batch with that seed which this cell equals.
    """
    from roamrl.envs.family import get_family

    return get_family(family).make(_tasks(family, config, context, tasks)[0], seed, index)


def make_cells(
    family: str,
    num_envs: int = 1,
    config: Mapping[str, Any] | None = None,
    context: Mapping[str, Any] | None = None,
    tasks: Sequence[Task] | None = None,
    seed: int = 0,
    autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP,
) -> BatchedEnv:
    """Make a batch of cells; row i plays task i modulo their number.

    Args:
        family: Id of the family (``gymnasium.make_vec`` fills it in).
        num_envs: Number of cells.
        config: What differs from the default config.
        context: What differs from the default context.
        tasks: Tasks instead of config and context.
        seed: Seed of all cells; they differ by their index.
        autoreset_mode: SAME_STEP is native; stock RLlib needs NEXT_STEP.
    """
    from roamrl.envs.family import get_family

    return get_family(family).make_vec(_tasks(family, config, context, tasks), num_envs, seed, autoreset_mode)


def _tasks(
    family: str,
    config: Mapping[str, Any] | None,
    context: Mapping[str, Any] | None,
    tasks: Sequence[Task] | None,
) -> Sequence[Task]:
    from roamrl.envs.errors import InputError
    from roamrl.envs.family import family_of, get_family

    if tasks is None:
        return [get_family(family).task(context, config)]
    if config is not None or context is not None:
        raise InputError("give tasks, or config and context; a task holds both")
    if family_of(tasks).id != family:
        raise InputError(f"tasks of {tasks[0].family} for an environment of {family}")
    return tasks
