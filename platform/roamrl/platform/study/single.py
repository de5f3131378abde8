"""Training one strategy on one split, without a study around it: policies into the store, scores at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from roamrl.algorithms.strategy import get_strategy
from roamrl.envs.canonical import JSON
from roamrl.envs.errors import InputError
from roamrl.platform.study.load import check_study
from roamrl.platform.study.progress import NoProgress, Progress
from roamrl.platform.study.run import announce, recorded_run, write_tables
from roamrl.platform.study.schema import Study
from roamrl.platform.study.stages import pretrain, reference_stage

VAL_TASKS = 4
"""Tasks of the published ``val`` split on which a trained policy is scored beside its own."""


@dataclass(frozen=True)
class TrainSummary:
    """What training left behind.

    Attributes:
        folder: The run's folder, with ``results.parquet``.
        experts: Ids of the published experts.
        failed: Units that failed.
    """

    folder: Path
    experts: tuple[str, ...]
    failed: int


def training_study(
    strategy: str,
    *,
    family: str,
    split: str,
    first: int | None,
    steps: int,
    seeds: int,
    config: Mapping[str, JSON],
    settings: Mapping[str, Any],
) -> Study:
    """Describe the training as a study of one arm.

    Raises:
        InputError: If the strategy has nothing to train ahead of a target, or a name is unknown.
    """
    if get_strategy(strategy).pretrains_on == "nothing":
        raise InputError(f"strategy {strategy!r} learns only within a study's adaptation; train 'specialist' instead")
    raw = {
        "name": f"train-{strategy}",
        "about": f"{strategy} on {split}",
        "family": family,
        "config": dict(config),
        "splits": {
            split: {"published": split, "first": first},
            "val": {"published": "val", "first": VAL_TASKS},
        },
        "targets": [split],
        "val": "val",
        "arms": {strategy: {"strategy": strategy, "sources": split, "settings": dict(settings)}},
        "pretrain": {"steps": steps, "seeds": seeds},
    }
    return check_study(raw, "roamrl train")


def train_one(
    study: Study,
    *,
    out: Path | None = None,
    address: str | None = None,
    fresh: bool = False,
    store: str | None = None,
    progress: Progress | None = None,
) -> TrainSummary:
    """Carry out the training of :func:`training_study`: references, pretraining, publishing.

    Args:
        study: The study of one arm.
        out: The run's folder; None for ``runs/<study>``.
        address: Ray cluster to use; None starts Ray on this machine.
        fresh: Forget an earlier run in the same folder.
        store: The expert store, a folder or URL.
        progress: Told of the run's course.
    """
    with recorded_run(study, out, address, fresh, store, progress or NoProgress()) as state:
        announce(state, ("references", "pretrain"))
        reference_stage(state)
        pretrain(state)
        write_tables(state.folder, state.failures, study.val)
        finished = state.folder.finished()
    state.progress.finish()
    experts = [expert for entry in finished.values() if entry["stage"] == "pretrain" for expert in entry["experts"]]
    return TrainSummary(state.folder.path, tuple(experts), len(state.failures))
