"""The published splits of ``urllc-v1``: read from the file beside this module, and drawn anew to rebuild it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from roamrl.envs.canonical import JSON
from roamrl.envs.family import Family
from roamrl.envs.split import Split, read_splits, write_splits
from roamrl.envs.split_drawing import DRAWS, Drawn, draw_split, seed_of
from roamrl.envs.task import Task
from roamrl.envs.urllc.arrival_law import Means
from roamrl.envs.urllc.context import BURSTS, HIGH_LOADS
from roamrl.envs.urllc.references import Constant, oracle

VERSION: Final = 1
FILE: Final = "splits.json"

SIZES: Final[Mapping[str, int]] = {
    "train": 64,
    "val": 16,
    "iid": 16,
    "ood-load": 16,
    "ood-burst": 16,
    "ood-fading": 16,
    "ood-all": 16,
}
OUTSIDE: Final[Mapping[str, tuple[str, ...]]] = {
    "ood-fading": ("fading_mean_db",),
    "ood-all": ("arrivals", "fading_mean_db"),
}
"""Variables drawn outside the training range."""

LAWS: Final[Mapping[str, Means]] = {"ood-load": HIGH_LOADS, "ood-burst": BURSTS}
"""Laws of arrivals of the splits that leave the training range in one way only: by load, or by bursts at the loads of
training."""

LEAST_GAP: Final = 0.05
"""Least J_oracle - J_trivial of a task, in reward a slot (that is, in power)."""

PRESENTATION: Final = ("history", "observed", "episode_slots")
"""Config keys that change what a policy sees, or for how long, and not the downlink: the same contexts serve under all
of them."""


def published(config: Mapping[str, JSON]) -> dict[str, Split]:
    """Return the published splits for a full config; none if its downlinks are not those of the default."""
    splits = _read()
    first = splits["train"].tasks[0].config
    if any(first[key] != config[key] for key in first if key not in PRESENTATION):
        return {}
    if dict(first) == dict(config):
        return dict(splits)
    return {
        name: Split(name, split.version, tuple(Task(task.family, config, task.context) for task in split))
        for name, split in splits.items()
    }


@cache
def _read() -> dict[str, Split]:
    return read_splits(resources.files("roamrl.envs.urllc").joinpath(FILE))


def write_published(family: Family, folder: Path) -> dict[str, Drawn]:
    """Draw the splits and write their file to a folder; the same family gives the same file."""
    drawn = draw_splits(family)
    omitted = {name: entry.omitted for name, entry in drawn.items()}
    write_splits(folder / FILE, {name: entry.split for name, entry in drawn.items()}, omitted)
    return drawn


def draw_splits(family: Family, sizes: Mapping[str, int] = SIZES) -> dict[str, Drawn]:
    """Draw splits of the default config; a split's tasks depend on its name alone.

    Args:
        family: The family.
        sizes: Number of tasks of the splits to draw.
    """
    return {
        name: draw_split(name, VERSION, size, _candidates(family, name, DRAWS * size), gaps, LEAST_GAP)
        for name, size in sizes.items()
    }


def _candidates(family: Family, name: str, count: int) -> tuple[Task, ...]:
    config = family.config()
    space = family.context_space(config)
    rng = np.random.default_rng(seed_of({"split": name, "version": VERSION}))
    tasks = []
    for _ in range(count):
        fixed = {"arrivals": LAWS[name].sample(rng)} if name in LAWS else None
        tasks.append(Task(family.id, config, space.sample(rng, outside=OUTSIDE.get(name, ()), fixed=fixed)))
    return tuple(tasks)


def gaps(tasks: Sequence[Task]) -> NDArray[np.float64]:
    """Return J_oracle - J_trivial of tasks in mean reward a slot, exactly, [T]."""
    best, trivial = oracle(), Constant()
    return np.array([best.long_run(task).reward - trivial.long_run(task).reward for task in tasks])
