"""Splits of an environment from elsewhere, drawn from its ranges: the same config always has the same ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from roamrl.envs.adapters.config import GymnasiumConfig
from roamrl.envs.canonical import JSON, content_hash
from roamrl.envs.split import Split

if TYPE_CHECKING:
    from roamrl.envs.family import Family
    from roamrl.envs.task import Task

VERSION: Final = 1
SIZES: Final = {"train": 64, "val": 16, "iid": 16}
OOD_SIZE: Final = 16
_DRAWS: Final = 8


def drawn_splits(family: Family, config: GymnasiumConfig) -> dict[str, Split]:
    """Return ``train``, ``val``, ``iid`` (no task in two of them), ``ood-<variable>`` and ``ood-all``.

    Where the training ranges hold fewer distinct tasks than wanted, the three share them four to one to one; a split
    that would be empty is left out. There is no ``ood`` split of a variable without such a range.
    """
    full = config.to_json()
    outside = [variable.name for variable in config.variables if variable.ood is not None]
    splits = _shared(family, full) if any(variable.train is not None for variable in config.variables) else {}
    for name in outside:
        splits[f"ood-{name}"] = _draw(family, full, f"ood-{name}", OOD_SIZE, (name,))
    if len(outside) > 1:
        splits["ood-all"] = _draw(family, full, "ood-all", OOD_SIZE, tuple(outside))
    return {name: Split(name, VERSION, tasks) for name, tasks in splits.items() if tasks}


def _shared(family: Family, full: dict[str, JSON]) -> dict[str, tuple[Task, ...]]:
    wanted = sum(SIZES.values())
    found = _draw(family, full, "within", wanted, ())
    held_out = SIZES["val"] if len(found) == wanted else len(found) // 6
    return {
        "val": found[:held_out],
        "iid": found[held_out : 2 * held_out],
        "train": found[2 * held_out :],
    }


def _draw(family: Family, full: dict[str, JSON], name: str, size: int, outside: tuple[str, ...]) -> tuple[Task, ...]:
    seed = int(content_hash({"config": full, "split": name, "version": VERSION})[:12], 16)
    return tuple(dict.fromkeys(family.sample(_DRAWS * size, seed, config=full, outside=outside)))[:size]
