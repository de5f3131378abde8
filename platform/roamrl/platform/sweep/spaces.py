"""What is drawn from a search's spaces: settings of every trial, reproducible and independent of how many there are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np

from roamrl.algorithms.population.exploit import Range
from roamrl.envs.canonical import JSON, canonical_json
from roamrl.envs.errors import InputError
from roamrl.platform.study.search_entries import SearchEntry, SpaceEntry

DRAWN_TRIALS = 16
"""Trials of a search that draws, where its budget does not say how many."""

_TRIES = 100

Settings = dict[str, JSON]
"""Values by what is searched: dotted paths, or names of members' settings. Nothing stands for the study as it is."""


def draw_settings(search: SearchEntry) -> list[Settings]:
    """Return the settings of every trial, all different; the first are none, the study as it is.

    Trial i depends on the seed and i alone, so a larger budget adds trials to those of a smaller one.

    Raises:
        InputError: If the budget has no room for the grid, or the spaces have not that many different settings.
    """
    grid = grid_points({name: space for name, space in search.spaces.items() if space.grid})
    drawn = {name: space for name, space in search.spaces.items() if not space.grid}
    trials = search.budget.trials or 1 + (DRAWN_TRIALS - 1 if drawn else len(grid))
    if trials - 1 < len(grid):
        raise InputError(
            f"search.budget.trials {trials} has no room for the {len(grid)} points of the grid and the study's own "
            f"settings; give {len(grid) + 1}, or draw with 'choice'"
        )
    if not drawn and trials - 1 > len(grid):
        raise InputError(f"search.budget.trials {trials}: there are {len(grid)} points of the grid and the study's own")
    found: list[Settings] = [{}]
    seen: set[bytes] = set()
    for number in range(trials - 1):
        rng = np.random.default_rng([search.seed, number])
        for _ in range(_TRIES):
            settings = {**grid[number % len(grid)], **{name: draw(space, rng) for name, space in drawn.items()}}
            if canonical_json(settings) not in seen:
                break
        else:
            raise InputError(f"search.budget.trials {trials}: the spaces have not so many different settings")
        seen.add(canonical_json(settings))
        found.append(settings)
    return found


def grid_points(grids: Mapping[str, SpaceEntry]) -> list[Settings]:
    """Return every combination of the grids' values; one empty combination without grids."""
    return [
        dict(zip(grids, values, strict=True)) for values in product(*(space.grid or () for space in grids.values()))
    ]


def draw(space: SpaceEntry, rng: np.random.Generator) -> JSON:
    """Draw a value from a space that is no grid."""
    if space.choice:
        return space.choice[int(rng.integers(len(space.choice)))]
    if space.randint:
        return int(rng.integers(space.randint[0], space.randint[1] + 1))
    low, high = space.ends
    if space.loguniform:
        return float(min(max(math.exp(rng.uniform(math.log(low), math.log(high))), low), high))
    return float(rng.uniform(low, high))


def extremes(space: SpaceEntry) -> Sequence[JSON]:
    """Return the values whose soundness stands for that of all: everything listed, or both ends."""
    return space.listed or space.ends if space.randint is None else space.randint


def range_of(space: SpaceEntry) -> Range:
    """Return a member's space as population-based training moves in it."""
    if space.listed:
        values = tuple(float(value) for value in space.listed)
        return Range(min(values), max(values), choices=values)
    low, high = space.ends
    return Range(low, high, log=space.loguniform is not None)


def tune_domain(space: SpaceEntry) -> Any:
    """Return a space as Ray Tune's search algorithms take it."""
    from ray import tune

    if space.choice:
        return tune.choice(list(space.choice))
    if space.randint:
        return tune.randint(space.randint[0], space.randint[1] + 1)
    return tune.loguniform(*space.ends) if space.loguniform else tune.uniform(*space.ends)
