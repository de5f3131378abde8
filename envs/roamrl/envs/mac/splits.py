"""The published splits of ``mac-v1``: read from a file beside this module, and drawn anew to rebuild it.

Saturated cells have no load, so there are as many of them as numbers of stations. They come first in ``train`` (N 2, 4,
6, 8), ``iid`` (3, 5, 7), ``ood-stations``, ``ood-length`` and ``ood-dynamic``, at the default load, and nowhere else:
in ``val`` they would be those of ``train``, and ``ood-load`` and ``ood-burst`` shift what saturation overrides. The
rest is drawn from the ranges of the context, with Poisson and periodic arrivals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from roamrl.envs.canonical import JSON
from roamrl.envs.errors import InputError
from roamrl.envs.family import Family
from roamrl.envs.mac.context import BETWEEN, BEYOND, TRAINED
from roamrl.envs.split import Split, read_splits, write_splits
from roamrl.envs.split_drawing import Drawn, draw_split, seed_of
from roamrl.envs.task import Task

VERSION: Final = 1
FILE: Final = "splits.json"

SIZES: Final[Mapping[str, int]] = {"train": 64, "val": 16, "iid": 16}
OOD_SIZE: Final = 16
OUTSIDE: Final[Mapping[str, tuple[str, ...]]] = {
    "ood-stations": ("stations",),
    "ood-load": ("load",),
    "ood-burst": ("arrival",),
    "ood-length": ("packet_slots",),
    "ood-all": ("stations", "load", "arrival", "packet_slots"),
    "ood-dynamic": ("dynamic",),
}
"""Variables drawn outside the training range. ``ood-load`` has eight distinct tasks and ``ood-all`` five."""

SATURATED: Final[Mapping[str, tuple[int, ...]]] = {
    "train": TRAINED,
    "iid": BETWEEN,
    "ood-stations": BEYOND,
    "ood-length": TRAINED,
    "ood-dynamic": TRAINED,
}
"""Stations of the saturated tasks of a split."""

DRAWS: Final = 16
"""Candidates drawn for each task wanted: at low load everybody carries everything, and many are left out."""

LEAST_GAP: Final = 0.05
"""Least J_oracle - J_trivial of a task, in reward a slot: below it a score is noise."""

GAP_EPISODES: Final = 8
DRAWN_UNDER: Final = ("queue_packets", "burst_packets", "collision_cost")
"""Config keys whose values the splits hold for: others change what is seen, or widen the gaps of the same cells."""


def published(config: Mapping[str, JSON]) -> dict[str, Split]:
    """Return the published splits whose every task a full config can play (``n_max``, slots of jumps)."""
    from roamrl.envs.mac.family import MAC

    splits = _read()
    first = splits["train"].tasks[0].config
    if any(first[key] != config[key] for key in DRAWN_UNDER):
        return {}
    if dict(first) == dict(config):
        return dict(splits)
    space = MAC.context_space(config)
    found = {}
    for name, split in splits.items():
        try:
            contexts = [space.resolve(task.context) for task in split]
        except InputError:
            continue
        found[name] = Split(name, split.version, tuple(Task(MAC.id, config, context) for context in contexts))
    return found


@cache
def _read() -> dict[str, Split]:
    return read_splits(resources.files("roamrl.envs.mac").joinpath(FILE))


def write_published(family: Family, folder: Path) -> dict[str, Drawn]:
    """Draw the splits and write their file to a folder; the same family gives the same file."""
    drawn = draw_splits(family)
    omitted = {name: entry.omitted for name, entry in drawn.items()}
    write_splits(folder / FILE, {name: entry.split for name, entry in drawn.items()}, omitted)
    return drawn


def draw_splits(family: Family, sizes: Mapping[str, int] | None = None) -> dict[str, Drawn]:
    """Draw every split of the default config; a split's tasks depend on its name alone.

    Args:
        family: The family.
        sizes: Number of tasks of the splits to draw; the published ones by default.
    """
    wanted = {**SIZES, **dict.fromkeys(OUTSIDE, OOD_SIZE)} if sizes is None else sizes
    return {
        name: draw_split(name, VERSION, size, _candidates(family, name), lambda some: gaps(family, some), LEAST_GAP)
        for name, size in wanted.items()
    }


def _candidates(family: Family, name: str) -> list[Task]:
    """Return the tasks among which a split's are chosen, the saturated ones first."""
    published_size = SIZES.get(name, OOD_SIZE)
    outside = OUTSIDE.get(name, ())
    rng = np.random.default_rng(seed_of({"family": family.id, "split": name, "version": VERSION}))
    found = [_saturated(family, stations, outside) for stations in SATURATED.get(name, ())]
    for _ in range(DRAWS * published_size):
        given: dict[str, Any] = {}
        if "arrival" not in outside:
            given["arrival"] = str(rng.choice(["poisson", "periodic"]))
        if name == "iid":
            given["stations"] = int(rng.choice(BETWEEN))
        found += family.sample(1, int(rng.integers(1 << 31)), outside=outside, fixed=given)
    return found


def _saturated(family: Family, stations: int, outside: Sequence[str]) -> Task:
    """Return the saturated task of a number of stations, with what lies outside in its one value there."""
    load = family.context_space(family.config())["load"].default
    fixed = {"stations": stations, "arrival": "saturated", "load": load}
    return family.sample(1, 0, outside=outside, fixed=fixed)[0]


def gaps(family: Family, tasks: Sequence[Task]) -> NDArray[np.float64]:
    """Return J_oracle - J_trivial of tasks in reward a slot, [T]."""
    config = tasks[0].config

    def returns(role: str) -> NDArray[np.float64]:
        played = family.reference(config, role).play(family, tasks, episodes=GAP_EPISODES, seed=0)
        return np.asarray(played.returns.mean(axis=1))

    return np.asarray((returns("oracle") - returns("trivial")) / config["episode_slots"])
