"""What each arm costs: environment steps with pretraining, wall time and CPU time.

Pretraining is that of everything an arm needs before it meets its first target (PROTOCOL 8): the experts a run starts
from, with those that they were made of; and for an arm that chooses by looking at every source of a pool, the pool.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from roamrl.platform.report.arms import TargetRun, TargetView
from roamrl.platform.report.lineage import lineage, parents_of
from roamrl.platform.report.run_data import Row, RunData
from roamrl.platform.report.source_pools import needed_pools


@dataclass(frozen=True)
class CostRow:
    """Mean cost of one run of an arm; NaN where it was not recorded.

    Attributes:
        arm: Its name.
        runs: Runs on targets.
        experts: Experts that these runs start from, each counted once (not what those were made of).
        pool: Experts of the pool that the arm needs to choose from; 0 for one that needs what it starts from alone.
        pretrain_steps: Environment steps of pretraining that a run needs.
        source_steps: Those of the experts that it starts from: what is left to pay where a store has the pool already.
        target_steps: Environment steps on the target.
        tuning_steps: Environment steps of all candidates that the arm's settings were chosen from, once an arm.
        pretrain_cpu_s: CPU time of pretraining that a run needs.
        target_cpu_s: CPU time on the target.
        pretrain_wall_s: Wall time of pretraining that a run needs.
        target_wall_s: Wall time on the target.
    """

    arm: str
    runs: int
    experts: int
    pool: int
    pretrain_steps: float
    source_steps: float
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
    for row in run.sources:
        if row.stage == "pretrain" and row.expert_id and row.expert_id not in spent:
            spent[row.expert_id] = row
    pools, parents = needed_pools(run), parents_of(run.sources)
    return [
        _cost_row(name, runs, pools.get(name, ()), spent, parents, _tuning_steps(run.rows, name))
        for name, runs in met.items()
    ]


def _tuning_steps(rows: Iterable[Row], arm: str) -> float:
    """Return the steps of an arm's candidates: the last evaluation of each (unit, task, seed) counts."""
    last: dict[tuple[str, str, int], float] = {}
    for row in rows:
        if row.stage == "tune" and row.arm == arm:
            key = (row.unit, row.task_id, row.seed)
            last[key] = max(last.get(key, 0.0), row.env_steps)
    return sum(last.values())


def _cost_row(
    name: str,
    runs: list[TargetRun],
    pool: tuple[str, ...],
    spent: dict[str, Row],
    parents: dict[str, tuple[str, ...]],
    tuning_steps: float,
) -> CostRow:
    sources = {source for each in runs for source in each.source_ids}
    needed = [lineage(pool or each.source_ids, parents) for each in runs]
    source_steps = float(np.mean([each.pretrain_env_steps for each in runs]))
    return CostRow(
        arm=name,
        runs=len(runs),
        experts=len(sources),
        pool=len(pool),
        pretrain_steps=sum(_steps(spent, expert) for expert in pool) if pool else source_steps,
        source_steps=source_steps,
        target_steps=float(np.mean([each.env_steps[-1] for each in runs])),
        tuning_steps=tuning_steps,
        pretrain_cpu_s=float(np.mean([sum(_cpu(spent, expert) for expert in each) for each in needed])),
        target_cpu_s=float(np.mean([each.cpu_s for each in runs])),
        pretrain_wall_s=float(np.mean([sum(_wall(spent, expert) for expert in each) for each in needed])),
        target_wall_s=float(np.mean([each.wall_s for each in runs])),
    )


def _steps(spent: dict[str, Row], source: str) -> float:
    """Return the environment steps of an expert, and of what it was made of."""
    return spent[source].env_steps + spent[source].pretrain_env_steps if source in spent else float("nan")


def _cpu(spent: dict[str, Row], source: str) -> float:
    return spent[source].cpu_s if source in spent else float("nan")


def _wall(spent: dict[str, Row], source: str) -> float:
    return spent[source].wall_s if source in spent else float("nan")
