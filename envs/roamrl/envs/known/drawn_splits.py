"""Splits of the known families, drawn from their laws: the same config always has the same ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from roamrl.envs.canonical import JSON
from roamrl.envs.split import Split
from roamrl.envs.split_drawing import DRAWS, draw_split, seed_of
from roamrl.envs.task import Task

if TYPE_CHECKING:
    from roamrl.envs.family import Family

VERSION: Final = 1
SIZES: Final = {"train": 64, "val": 16, "iid": 16}
OOD_SIZE: Final = 16
LEAST_GAP: Final = 0.05
"""Least J_oracle - J_trivial a step (PROTOCOL 2): below it a score is noise."""

Gaps = Callable[[Sequence[Task]], NDArray[np.float64]]


def drawn_splits(family: Family, config: dict[str, JSON], variable: str, gaps: Gaps) -> dict[str, Split]:
    """Return ``train``, ``val``, ``iid`` and ``ood-<variable>`` of a family with one context variable.

    Args:
        family: The family.
        config: A full config.
        variable: Its context variable.
        gaps: J_oracle - J_trivial a step of some tasks, [T].
    """
    wanted = {**{name: (size, ()) for name, size in SIZES.items()}, f"ood-{variable}": (OOD_SIZE, (variable,))}
    return {
        name: draw_split(name, VERSION, size, _candidates(family, config, name, size, outside), gaps, LEAST_GAP).split
        for name, (size, outside) in wanted.items()
    }


def _candidates(
    family: Family, config: dict[str, JSON], name: str, size: int, outside: Sequence[str]
) -> tuple[Task, ...]:
    seed = seed_of({"family": family.id, "config": config, "split": name, "version": VERSION})
    return family.sample(DRAWS * size, seed, config=config, outside=outside)
