"""A context as numbers of about one: what the agent is shown, and by what contexts are compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from roamrl.envs.slicing.config import SlicingConfig
from roamrl.envs.slicing.lanes import XR
from roamrl.envs.slicing.table import look_up, trace_names
from roamrl.envs.task import Task

_SCALES: Mapping[str, tuple[float, float]] = {
    "load": (0.0, 1.0),
    "snr_mean_db": (18.0, 4.0),
    "snr_spread_db": (4.0, 4.0),
    "speed_mps": (2.6, 10.0),
    "prb": (0.0, 51.0),
    "weights": (0.0, 1.0),
    "users": (0.0, 6.0),
    "rate_scale": (0.0, 1.0),
}
"""Centre and unit of each variable."""

_RATE_MBPS = 10.0
_FRAMES_PER_S = 60.0


def observed_numbers(task: Task, config: SlicingConfig) -> NDArray[np.float64]:
    """Return the observed context of a task, scaled, in the order of ``config.observed``."""
    names = [name for name in config.observed if name in _SCALES]
    return np.concatenate([np.zeros(0), *[_scaled(task.context, name) for name in names]])


def task_features(task: Task, config: SlicingConfig) -> NDArray[np.float64]:
    """Return the numbers by which contexts are compared, [D]: the whole context, XR traces by rate and frame rate.

    Raises:
        InputError: If the task names a trace that this process has not opened.
    """
    context: Any = task.context
    target = context["sla_target"]
    parts = [_scaled(context, name) for name in _SCALES]
    parts.append(np.log([kind.c1 for kind in config.kinds] / np.asarray(target["c1"], np.float64)))
    parts.append(np.log([kind.c2 for kind in config.kinds] / np.asarray(target["c2"], np.float64)))
    parts.append(np.asarray(context["burst"]["high"], np.float64) / 4.0)
    parts.append(np.array([0.0 if context["stay"] is None else 40.0 / context["stay"]]))
    parts.append(_xr(context, config))
    return np.concatenate(parts)


def _scaled(context: Mapping[str, Any], name: str) -> NDArray[np.float64]:
    centre, unit = _SCALES[name]
    return (np.atleast_1d(np.asarray(context[name], np.float64)) - centre) / unit


def _xr(context: Mapping[str, Any], config: SlicingConfig) -> NDArray[np.float64]:
    """Return rate and frame rate of the XR traffic."""
    names = trace_names(context["xr_trace"])
    if names:
        traces = [look_up(name, "xr") for name in names]
        rate = float(np.mean([trace.mean_rate_mbps for trace in traces]))
        frames = float(np.mean([trace.frame_rate_hz for trace in traces]))
    else:
        kinds = zip(config.kinds, config.rate_mbps, strict=True)
        rate, frames = sum(rate for kind, rate in kinds if kind.code == XR), config.frames_per_s
    return np.array([rate / _RATE_MBPS, frames / _FRAMES_PER_S])
