"""What training an arm takes beside steps and time: the peak memory of its trials, and what was tuned on val."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from roamrl.envs.errors import InputError
from roamrl.platform.report.lineage import lineage, parents_of
from roamrl.platform.report.run_data import RunData
from roamrl.platform.study.folder import RunFolder

DONE_FILE, PEAK = "learner-done.json", "peak_memory_mb"


def peak_memory_mb(run: RunData) -> dict[str, float]:
    """Return by arm the largest peak memory of the trials behind it, MB; arms of which nothing was recorded are absent.

    Behind an arm are its own trials on targets, and those that trained the experts it starts from, theirs with them.
    """
    folder = RunFolder(run.folder)
    peaks: dict[str, float] = {}
    experts: dict[str, str] = {}
    for key, facts in folder.finished().items():
        peak = _peak(folder.unit(key) / DONE_FILE)
        if peak is not None:
            peaks[key] = peak
        experts |= {str(expert): key for expert in facts.get("experts") or () if expert}
    parents = parents_of(run.rows)
    found: dict[str, float] = {}
    for row in run.rows:
        if row.stage not in ("tune", "adapt", "pretrain"):
            continue
        units = [row.unit, *(experts[source] for source in lineage(row.source_ids, parents) if source in experts)]
        known = [peaks[unit] for unit in units if unit in peaks]
        if known:
            found[row.arm] = max(*known, found.get(row.arm, 0.0))
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


def _peak(file: Path) -> float | None:
    if not file.is_file():
        return None
    value = json.loads(file.read_bytes()).get(PEAK)
    return None if value is None else float(value)


def _differing(candidates: list[dict[str, Any]]) -> int:
    described = [{"lr": each["lr"], **each["settings"]} for each in candidates]
    names = {name for each in described for name in each}
    return sum(len({json.dumps(each.get(name), sort_keys=True) for each in described}) > 1 for name in names)
