"""The published splits of ``slicing-v1``: read from files beside this module, and drawn anew to rebuild them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from roamrl.envs.canonical import JSON
from roamrl.envs.errors import InputError
from roamrl.envs.family import Family
from roamrl.envs.split import Split, read_splits, write_splits
from roamrl.envs.split_drawing import DRAWS, Drawn, draw_split, seed_of
from roamrl.envs.task import Task

VERSION: Final = 1
FILES: Final[Mapping[str, str]] = {"default": "splits.json", "hidden-sla": "splits-hidden-sla.json"}
"""File of each variant of the config."""

SIZES: Final[Mapping[str, int]] = {"train": 64, "val": 16, "iid": 16}
OOD_SIZE: Final = 16
OUTSIDE: Final[Mapping[str, tuple[str, ...]]] = {
    "ood-load": ("load",),
    "ood-prb": ("prb",),
    "ood-snr": ("snr_mean_db",),
    "ood-sla_target": ("sla_target",),
    "ood-burst": ("burst", "load"),
    "ood-all": ("load", "prb", "snr_mean_db", "sla_target", "burst"),
}
"""Variables drawn outside the training range; bursts shift together with the load."""

LEAST_GAP: Final = 0.05
"""Least J_oracle - J_trivial of a task, in mean reward a window: below it a score is noise."""

GAP_EPISODES: Final = 4
PRESENTATION: Final = ("action", "history", "observed")
"""Config keys that change what a policy sees or says and not the cell: the same contexts serve under all of them."""


def published(config: Mapping[str, JSON]) -> dict[str, Split]:
    """Return the published splits for a full config; none if its cells are not those of a named variant."""
    splits = _read(str(config["variant"]))
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
def _read(variant: str) -> dict[str, Split]:
    return read_splits(resources.files("roamrl.envs.slicing").joinpath(FILES[variant]))


def write_published(
    family: Family, folder: Path, variants: Sequence[str] = tuple(FILES)
) -> dict[str, dict[str, Drawn]]:
    """Draw the splits of the variants and write their files to a folder; the same family gives the same files."""
    written = {}
    for variant in variants:
        drawn = draw_splits(family, family.config({"variant": variant}))
        omitted = {name: entry.omitted for name, entry in drawn.items()}
        write_splits(folder / FILES[variant], {name: entry.split for name, entry in drawn.items()}, omitted)
        written[variant] = drawn
    return written


def draw_splits(family: Family, config: Mapping[str, JSON], sizes: Mapping[str, int] | None = None) -> dict[str, Drawn]:
    """Draw every split of a config; a split's tasks depend on its name and the config alone.

    Args:
        family: The family.
        config: A full config.
        sizes: Number of tasks of the splits to draw; the published ones by default.
    """
    wanted = {**SIZES, **dict.fromkeys(OUTSIDE, OOD_SIZE)} if sizes is None else sizes
    return {name: _draw(family, config, name, size) for name, size in wanted.items()}


def _draw(family: Family, config: Mapping[str, JSON], name: str, size: int) -> Drawn:
    seed = seed_of({"split": name, "version": VERSION, "variant": config["variant"]})
    candidates = family.sample(DRAWS * size, seed, config=config, outside=OUTSIDE.get(name, ()))
    return draw_split(name, VERSION, size, candidates, lambda tasks: gaps(family, tasks), LEAST_GAP)


def gaps(family: Family, tasks: Sequence[Task]) -> NDArray[np.float64]:
    """Return J_oracle - J_trivial of tasks in mean reward a window, [T].

    The cheap oracle decides where it already clears ``LEAST_GAP``; the beam is asked about the rest.
    """
    config = tasks[0].config
    steps = family.episode_steps(config)
    references = family.references(config)

    def mean_reward(name: str, some: Sequence[Task]) -> NDArray[np.float64]:
        played = references[name].play(family, some, episodes=GAP_EPISODES, seed=0)
        return np.asarray(played.returns.mean(axis=1) / steps)

    trivial = mean_reward("equal-split", tasks)
    gap = mean_reward("oracle-window", tasks) - trivial
    doubtful = np.flatnonzero(gap < LEAST_GAP)
    if len(doubtful):
        gap[doubtful] = mean_reward("oracle", [tasks[int(index)] for index in doubtful]) - trivial[doubtful]
    return gap


def trace_splits(
    family: Family, config: Mapping[str, JSON], known: Sequence[str], other: Sequence[str], seed: int = 0
) -> dict[str, Split]:
    """Return splits over recorded XR traces: ``train``, ``val`` and ``iid`` replay known ones, ``ood-trace`` others.

    The remaining variables are drawn from their training ranges. A shift is a trace of another rate or frame rate;
    another application at the same rate is none.

    Args:
        family: The family.
        config: A full config with an XR slice.
        known: Traces as ``sha256:<hash>``.
        other: Traces of another rate or frame rate.
        seed: Raised for other draws.
    """
    if not known or not other:
        raise InputError("trace splits need at least one known trace and one of another rate or frame rate")
    splits = {}
    for number, (name, size) in enumerate({**SIZES, "ood-trace": OOD_SIZE}.items()):
        traces = other if name == "ood-trace" else known
        drawn = [
            task
            for index in range(size)
            for task in family.sample(
                1, seed_of([seed, number, index]), config=config, fixed={"xr_trace": traces[index % len(traces)]}
            )
        ]
        splits[name] = Split(name, VERSION, tuple(drawn))
    return splits
