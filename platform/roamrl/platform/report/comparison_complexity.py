"""What training an arm takes beside steps and time: the peak memory of its trials, and what was tuned on val."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from roamrl.envs.errors import InputError
from roamrl.platform.report.lineage import lineage, parents_of
from roamrl.platform.report.run_data import RunData
from roamrl.platform.report.source_pools import needed_pools


def peak_memory_mb(run: RunData) -> dict[str, float]:
    """Return by arm the largest known peak memory of a trial behind it, MB; arms of which none is known are absent.

    Behind an arm are its own trials on targets and on val, and those that trained the experts it needs, theirs with
    them. A trial's is the peak of its process, whose members share it: it is not a policy's own.
    """
    trained = {row.expert_id: row.peak_memory_mb for row in run.sources if row.stage == "pretrain" and row.expert_id}
    parents, pools = parents_of(run.sources), needed_pools(run)
    peaks: dict[str, set[float]] = {}
    experts: dict[str, set[str]] = {}
    for row in run.rows:
        if row.stage in ("tune", "adapt", "pretrain"):
            peaks.setdefault(row.arm, set()).add(row.peak_memory_mb)
            experts.setdefault(row.arm, set()).update(row.source_ids, pools.get(row.arm, ()))
    found = {}
    for arm, own in peaks.items():
        every = own | {trained.get(expert, math.nan) for expert in lineage(experts[arm], parents)}
        known = [peak for peak in every if math.isfinite(peak)]
        if known:
            found[arm] = max(known)
    return found


def tuned_hyperparameters(run: Path) -> dict[str, int]:
    """Return by arm the number of hyperparameters that val chose: those that differ among the candidates it had.

    Raises:
        InputError: If ``tuning.json`` is none that this version wrote.
    """
    file = run / "tuning.json"
    if not file.exists():
        return {}
    try:
        choices = json.loads(file.read_text(encoding="utf-8"))
        return {str(arm): _differing(choice["val"]) for arm, choice in choices.items()}
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{file} cannot be read ({error}); run the study again to rewrite it") from error


def _differing(candidates: list[dict[str, Any]]) -> int:
    described = [{"lr": each["lr"], **each["settings"]} for each in candidates]
    names = {name for each in described for name in each}
    return sum(len({json.dumps(each.get(name), sort_keys=True) for each in described}) > 1 for name in names)
