"""What each arm costs: environment steps with pretraining, wall time and CPU time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from roamrl.platform.report.arms import TargetRun, TargetView
from roamrl.platform.report.lineage import lineage, parents_of
from roamrl.platform.report.run_data import Row, RunData


@dataclass(frozen=True)
class CostRow:
    """Mean cost of one run of an arm; NaN where it was not recorded.

    Attributes:
        arm: Its name.
        runs: Runs on targets.
        experts: Experts that these runs start from, each counted once (not what those were made of).
        pretrain_steps: Environment steps of pretraining behind a run.
        target_steps: Environment steps on the target.
        tuning_steps: Environment steps of all candidates that the arm's settings were chosen from, once an arm.
        pretrain_cpu_s: CPU time of the experts behind a run.
        target_cpu_s: CPU time on the target.
        pretrain_wall_s: Wall time of the experts behind a run.
        target_wall_s: Wall time on the target.
    """

    arm: str
    runs: int
    experts: int
    pretrain_steps: float
    target_steps: float
    tuning_steps: float
    pretrain_cpu_s: float
    target_cpu_s: float
    pretrain_wall_s: float
    target_wall_s: float

    @property
    def steps(self) -> float:
        """Environment steps with pretraining."""
        return self.pretrain_steps + self.target_steps


def cost_rows(run: RunData, views: Iterable[TargetView]) -> list[CostRow]:
    """Return one row an arm over all splits of targets; views are those of one tuning protocol."""
    met: dict[str, list[TargetRun]] = {}
    for view in views:
        for arm in view.arms:
            met.setdefault(arm.name, []).extend(arm.runs)
    spent: dict[str, Row] = {}
    for row in run.rows:
        if row.stage == "pretrain" and row.expert_id and row.expert_id not in spent:
            spent[row.expert_id] = row
    parents = parents_of(run.rows)
    return [_cost_row(name, runs, spent, parents, _tuning_steps(run.rows, name)) for name, runs in met.items()]


def _tuning_steps(rows: Iterable[Row], arm: str) -> float:
    """Return the steps of an arm's candidates: the last evaluation of each (unit, task, seed) counts."""
    last: dict[tuple[str, str, int], float] = {}
    for row in rows:
        if row.stage == "tune" and row.arm == arm:
            key = (row.unit, row.task_id, row.seed)
            last[key] = max(last.get(key, 0.0), row.env_steps)
    return sum(last.values())


def _cost_row(
    name: str, runs: list[TargetRun], spent: dict[str, Row], parents: dict[str, tuple[str, ...]], tuning_steps: float
) -> CostRow:
    sources = {source for each in runs for source in each.source_ids}
    behind = [lineage(each.source_ids, parents) for each in runs]
    return CostRow(
        arm=name,
        runs=len(runs),
        experts=len(sources),
        pretrain_steps=float(np.mean([each.pretrain_env_steps for each in runs])),
        target_steps=float(np.mean([each.env_steps[-1] for each in runs])),
        tuning_steps=tuning_steps,
        pretrain_cpu_s=float(np.mean([sum(_cpu(spent, expert) for expert in each) for each in behind])),
        target_cpu_s=float(np.mean([each.cpu_s for each in runs])),
        pretrain_wall_s=float(np.mean([sum(_wall(spent, expert) for expert in each) for each in behind])),
        target_wall_s=float(np.mean([each.wall_s for each in runs])),
    )


def _cpu(spent: dict[str, Row], source: str) -> float:
    return spent[source].cpu_s if source in spent else float("nan")


def _wall(spent: dict[str, Row], source: str) -> float:
    return spent[source].wall_s if source in spent else float("nan")
