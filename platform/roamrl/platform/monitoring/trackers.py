"""Trackers of experiments: MLflow and Weights & Biases, told of every trial by Ray Tune's own loggers.

TensorBoard needs nothing of this: Tune writes its event files beside every trial, below ``tune`` in the run's folder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from roamrl.envs.errors import unknown_name
from roamrl.platform.monitoring.run_watch import run_now
from roamrl.platform.optional_packages import need_packages

if TYPE_CHECKING:
    from ray.tune.callback import Callback

PROJECT = "roamrl"
"""Project of runs in Weights & Biases, and the experiment in MLflow of trials outside of a study."""


def _mlflow(study: str) -> Callback:
    """Return MLflow's logger: an experiment a study, a run a trial, where ``MLFLOW_TRACKING_URI`` says."""
    from ray.air.integrations.mlflow import MLflowLoggerCallback

    return MLflowLoggerCallback(experiment_name=study)


def _wandb(study: str) -> Callback:
    """Return the logger of Weights & Biases: a group a study, a run a trial; ``WANDB_MODE=offline`` sends nothing."""
    from ray.air.integrations.wandb import WandbLoggerCallback

    return WandbLoggerCallback(project=PROJECT, group=study)


TRACKERS: dict[str, Callable[[str], Callback]] = {"mlflow": _mlflow, "wandb": _wandb}
"""Makers of loggers by the names of their packages, which are those of the extras that bring them."""

_chosen: list[str] = []


@contextmanager
def tracked(names: Sequence[str]) -> Iterator[None]:
    """Tell trackers of the trials that run within the block.

    Args:
        names: Which: ``mlflow``, ``wandb``.

    Raises:
        InputError: If one is unknown, or its package is not installed.
    """
    for name in names:
        if name not in TRACKERS:
            raise unknown_name("tracker", name, TRACKERS)
        need_packages(name, name)
    before = list(_chosen)
    _chosen[:] = dict.fromkeys(names)
    try:
        yield
    finally:
        _chosen[:] = before


def new_trackers() -> list[Callback]:
    """Return a logger for each tracker that was chosen, for one experiment of Tune."""
    run = run_now()
    return [TRACKERS[name](run.study if run else PROJECT) for name in _chosen]
