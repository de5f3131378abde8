"""The pools of source policies that a run recorded, and the arms that need all of theirs trained."""

from __future__ import annotations

import json
from typing import Any, Final

from roamrl.envs.errors import InputError
from roamrl.platform.report.run_data import RunData

RECORD: Final = "selection.json"

LOOK_AT_ALL: Final = ("nearest", "best-on-val", "probe", "predicted")
"""Ways to choose (a study's ``choose``) that set every source of a pool against the others.

Which one a target will ask for is not known while they are trained, so an arm that chooses thus has to have them all. A
source drawn at random, or met in turn, needs no other.
"""


def pool_records(run: RunData) -> list[dict[str, Any]]:
    """Return the pools of ``selection.json`` that some arm that is shown draws on; none for runs without it.

    Raises:
        InputError: If the file is none that this version wrote.
    """
    path = run.folder / RECORD
    if not path.exists():
        return []
    try:
        pools: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["pools"]
        return [pool for pool in pools if any(run.shows(arm) for arm in pool["arms"])]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise unreadable(run, error) from error


def unreadable(run: RunData, error: Exception) -> InputError:
    """Return what to say of a record that cannot be read."""
    return InputError(f"{run.folder / RECORD} cannot be read ({error}); finish the run again to rewrite it")


def needed_pools(run: RunData) -> dict[str, tuple[str, ...]]:
    """Return by arm the experts of the pool that it needs; arms that need what they start from alone are absent."""
    arms = run.study.get("arms") or {}
    found = {}
    for pool in pool_records(run):
        try:
            experts = tuple(str(source["expert"]) for source in pool["sources"])
        except (KeyError, TypeError) as error:
            raise unreadable(run, error) from error
        for arm in pool["arms"]:
            if (arms.get(arm) or {}).get("choose") in LOOK_AT_ALL:
                found[str(arm)] = experts
    return found
