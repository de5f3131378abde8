"""Pillars: the ways to generalise that a comparison sets against each other, told by where a strategy lives."""

from __future__ import annotations

from typing import Final

from roamrl.algorithms.strategy import get_strategy
from roamrl.envs.errors import InputError
from roamrl.platform.study.schema import CLASSICAL_TUNED

TRANSFER: Final = "policy transfer"
MULTITASK: Final = "multi-task"
META: Final = "meta-learning"
OTHER: Final = "other"
REFERENCES: Final = "references"

PILLARS: Final = (TRANSFER, MULTITASK, META, OTHER, REFERENCES)
"""In the order of tables."""

_PACKAGES: Final = {"transfer": TRANSFER, "multitask": MULTITASK, "meta": META}
_ROOT: Final = "roamrl.algorithms."


def pillar_of(strategy: str) -> str:
    """Return the pillar of a strategy: the package of ``roamrl.algorithms`` that its module lies in.

    Strategies that lie in none (scratch) are references, like the classical policy that is tuned on a target. Those of
    other packages have a pillar of their own, as have those that are not installed where the report is written.
    """
    if strategy == CLASSICAL_TUNED:
        return REFERENCES
    try:
        module = get_strategy(strategy).__module__
    except InputError:
        return OTHER
    if not module.startswith(_ROOT):
        return OTHER
    package, inside, _ = module.removeprefix(_ROOT).partition(".")
    return _PACKAGES.get(package, OTHER) if inside else REFERENCES
