"""The metrics of RoamRL: the one place for their names and labels, and the two calls that record them.

They are recorded through ``ray.util.metrics`` and served by every node of the session, where Prometheus finds a counter
``roamrl_x`` as ``ray_roamrl_x_total`` and a gauge as ``ray_roamrl_x``. Labels take few values (studies, strategies,
stages, splits), never ids. Without a Ray session in this process nothing is recorded, and Ray is not imported for it.

Ray forgets a gauge that is not set again within two of its report periods (10 s each by default). A thread of this
process therefore sets every gauge again, at its last value, until the session ends.
"""

from __future__ import annotations

import sys
import threading
import time
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes:
        name: Its name, without what Ray adds.
        kind: Whether it only grows, or is set.
        about: What it says, with its unit.
        labels: Names of its labels.
    """

    name: str
    kind: Literal["counter", "gauge"]
    about: str
    labels: tuple[str, ...] = ()

    @property
    def series(self) -> str:
        """Name under which Prometheus has it."""
        return f"ray_{self.name}{'_total' if self.kind == 'counter' else ''}"


_TRAINING = ("study", "strategy", "stage")
_SCORES = ("study", "strategy", "stage", "split")

ENV_STEPS = Metric("roamrl_env_steps", "counter", "Environment steps of training, all members together.", _TRAINING)
NONFINITE_MEMBERS = Metric(
    "roamrl_nonfinite_members",
    "gauge",
    "Members that had to leave out an update, since its loss or gradient was not finite.",
    _TRAINING,
)
TRIAL_RESTARTS = Metric(
    "roamrl_trial_restarts", "gauge", "Times a trial of this run began again after its process failed.", _TRAINING
)
UNITS = Metric("roamrl_units", "gauge", "Units of the run that are done, open or failed.", ("study", "state"))
RETURN = Metric(
    "roamrl_return", "gauge", "Mean episode return of the policies evaluated so far, each at its last point.", _SCORES
)
SCORE = Metric("roamrl_score", "gauge", "Mean score of the policies evaluated so far, each at its last point.", _SCORES)
STORE_PUBLISHES = Metric("roamrl_store_publishes", "counter", "Experts published.")
STORE_LOADS = Metric("roamrl_store_loads", "counter", "Experts whose weights were loaded.")
CACHE_READS = Metric(
    "roamrl_cache_reads", "counter", "Weights asked of the node's cache, by whether it had them.", ("outcome",)
)
SPOOLED_ENTRIES = Metric("roamrl_spooled_entries", "gauge", "Experts that wait for a store that takes no writes.")

METRICS = (
    ENV_STEPS,
    NONFINITE_MEMBERS,
    TRIAL_RESTARTS,
    UNITS,
    RETURN,
    SCORE,
    STORE_PUBLISHES,
    STORE_LOADS,
    CACHE_READS,
    SPOOLED_ENTRIES,
)
"""All of them."""

REFRESH_S = 5.0
"""Seconds after which gauges are set again."""

_recorders: dict[str, Any] = {}
_levels: dict[tuple[Metric, tuple[tuple[str, str], ...]], float] = {}
_lock = threading.Lock()
_refreshing = threading.Event()


def count(metric: Metric, amount: float = 1, **labels: str) -> None:
    """Let a counter grow; by 0 does nothing."""
    if amount > 0 and _in_session():
        _recorder(metric).inc(amount, tags=labels)


def level(metric: Metric, value: float, **labels: str) -> None:
    """Set a gauge; it keeps its value to the end of the session."""
    if not _in_session():
        return
    with _lock:
        _levels[metric, tuple(sorted(labels.items()))] = value
        _recorder(metric).set(value, tags=labels)
        if not _refreshing.is_set():
            _refreshing.set()
            threading.Thread(target=_refresh, name="roamrl-gauges", daemon=True).start()


def _refresh() -> None:
    """Set all gauges again and again; forget them when the session is over."""
    while True:
        time.sleep(REFRESH_S)
        with _lock:
            if not _in_session():
                _levels.clear()
                _refreshing.clear()
                return
            for (metric, labels), value in _levels.items():
                _recorder(metric).set(value, tags=dict(labels))


def _in_session() -> bool:
    ray = sys.modules.get("ray")
    return ray is not None and bool(ray.is_initialized())


def _recorder(metric: Metric) -> Any:
    """Return Ray's object of a metric, one a process: a second would be another series of the same name."""
    if metric.name not in _recorders:
        from ray.util.metrics import Counter, Gauge

        kind = Counter if metric.kind == "counter" else Gauge
        _recorders[metric.name] = kind(metric.name, metric.about, metric.labels)
    return _recorders[metric.name]
