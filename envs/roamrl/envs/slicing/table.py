"""From tasks to the numbers the kernel reads: one table of parameters, one library of traces."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from roamrl.envs.canonical import JSON
from roamrl.envs.radio.fading import fading_correlation, shadowing_correlation
from roamrl.envs.radio.trace import Trace, TraceKind
from roamrl.envs.radio.traffic import PARETO_MEAN
from roamrl.envs.slicing import lanes
from roamrl.envs.slicing.config import SCHEDULERS, SlicingConfig
from roamrl.envs.slicing.lanes import CONTROL, VIDEO, XR, Traces
from roamrl.envs.task import Task


@dataclass(frozen=True)
class TaskTable:
    """What the kernel knows of T tasks of one config with K slices.

    Attributes:
        parameters: Columns as in ``lanes``, [T, K, PARAMETERS].
        traces: Recordings the parameters refer to.
        packets: Room for one user's packets of one window.
    """

    parameters: NDArray[np.float64]
    traces: Traces
    packets: int


def trace_names(value: JSON) -> tuple[str, ...]:
    """Return the traces a context's ``xr_trace`` or ``snr_trace`` names."""
    entries = (value,) if isinstance(value, str) else tuple(value)
    return tuple(entry for entry in entries if entry)


def look_up(name: str, kind: TraceKind) -> Trace:
    """Return a recorded trace by the hash of its content (reading recordings needs pyarrow, so it is loaded late)."""
    from roamrl.envs.radio.trace_library import lookup

    return lookup(name, kind)


def compile_tasks(tasks: Sequence[Task], config: SlicingConfig) -> TaskTable:
    """Build the table of tasks.

    Raises:
        InputError: If a task names a trace that this process has not opened.
    """
    frames, radios = _TraceList("xr"), _TraceList("snr")
    parameters = np.zeros((len(tasks), len(config.slices), lanes.PARAMETERS))
    for entry, task in enumerate(tasks):
        context: Any = task.context
        xr_first, xr_count = frames.add(trace_names(context["xr_trace"]))
        snr_first, snr_count = radios.add(trace_names(context["snr_trace"]))
        parameters[entry] = _parameters(context, config)
        parameters[entry, :, lanes.SNR_TRACE] = snr_first
        parameters[entry, :, lanes.SNR_TRACES] = snr_count
        if xr_count:
            _replay(parameters[entry], context, xr_first, xr_count)
    traces = _library(frames.traces, radios.traces)
    return TaskTable(parameters, traces, _most_packets(parameters, traces, config.window_ms))


class _TraceList:
    """Traces in the order of first use; those one task names lie side by side."""

    def __init__(self, kind: TraceKind) -> None:
        self._kind: TraceKind = kind
        self.traces: list[Trace] = []
        self._first: dict[tuple[str, ...], int] = {}

    def add(self, names: tuple[str, ...]) -> tuple[int, int]:
        if names not in self._first:
            self._first[names] = len(self.traces)
            self.traces.extend(look_up(name, self._kind) for name in names)
        return self._first[names], len(names)


def _parameters(context: Any, config: SlicingConfig) -> NDArray[np.float64]:
    """Return the parameters of one task's slices, [K, PARAMETERS]."""
    kinds = config.kinds
    window_s = config.window_ms / 1e3
    table = np.zeros((len(kinds), lanes.PARAMETERS))
    scale = context["load"] * np.asarray(context["rate_scale"], np.float64)
    rate_bits_ms = np.asarray(config.rate_mbps) * 1e3
    packet_bits = np.asarray(config.packet_bytes) * 8.0
    code = np.array([kind.code for kind in kinds])
    gap_ms = np.where(code == XR, 1e3 / config.frames_per_s, packet_bits / rate_bits_ms)
    table[:, lanes.KIND] = code
    table[:, lanes.PRB] = context["prb"]
    table[:, lanes.USERS] = context["users"]
    table[:, lanes.STAY] = math.inf if context["stay"] is None else context["stay"]
    table[:, lanes.PACKETS_PER_MS] = scale / gap_ms
    table[:, lanes.PACKET_BITS] = np.where(code == CONTROL, packet_bits, rate_bits_ms * gap_ms * scale)
    table[:, lanes.GAP_MS] = np.where(code == VIDEO, gap_ms / PARETO_MEAN, gap_ms)
    for column, name in (
        (lanes.BURST_HIGH, "high"),
        (lanes.BURST_LOW, "low"),
        (lanes.BURST_DOWN, "p_down"),
        (lanes.BURST_UP, "p_up"),
    ):
        table[:, column] = context["burst"][name]
    table[:, lanes.TIMER_MS] = config.timer_ms
    table[:, lanes.LINGER] = np.ceil(np.asarray(config.timer_ms) / config.window_ms)
    table[:, lanes.C1] = context["sla_target"]["c1"]
    table[:, lanes.C2] = context["sla_target"]["c2"]
    nominal = [kind.c2 for kind in kinds]
    table[:, lanes.DELAY_UNIT_MS] = table[:, lanes.C2] if "sla_target" in config.observed else nominal
    table[:, lanes.WEIGHT] = context["weights"]
    table[:, lanes.SNR_DB] = context["snr_mean_db"]
    table[:, lanes.SNR_SPREAD_DB] = context["snr_spread_db"]
    table[:, lanes.SHADOWING_RHO] = shadowing_correlation(context["speed_mps"], window_s)
    table[:, lanes.FADING_RHO] = fading_correlation(context["speed_mps"])
    table[:, lanes.SCHEDULER] = SCHEDULERS.index(config.scheduler)
    return table


def _replay(table: NDArray[np.float64], context: Any, first: int, count: int) -> None:
    """Let the XR slices of one task replay traces: bytes and gaps as recorded, bytes times load and rate scale."""
    xr = table[:, lanes.KIND] == XR
    scale = context["load"] * np.asarray(context["rate_scale"], np.float64)
    table[xr, lanes.XR_TRACE] = first
    table[xr, lanes.XR_TRACES] = count
    table[xr, lanes.PACKET_BITS] = scale[xr]


def _library(frames: list[Trace], radios: list[Trace]) -> Traces:
    none = np.zeros(0)
    return Traces(
        np.concatenate([none, *[trace.frame_bytes * 8.0 for trace in frames]]),
        np.concatenate([none, *[trace.gaps_s * 1e3 for trace in frames]]),
        np.cumsum([0, *[len(trace.frame_bytes) for trace in frames]]).astype(np.int64),
        np.concatenate([none, *[trace.snr_db for trace in radios]]),
        np.cumsum([0, *[len(trace.snr_db) for trace in radios]]).astype(np.int64),
        np.array([trace.period_s * 1e3 for trace in radios], np.float64),
    )


def _most_packets(table: NDArray[np.float64], traces: Traces, window_ms: float) -> int:
    """Return a bound on a user's packets in a window (of Poisson arrivals: never passed in practice)."""
    code, gaps = table[..., lanes.KIND], table[..., lanes.GAP_MS]
    burst = np.maximum(table[..., lanes.BURST_HIGH], table[..., lanes.BURST_LOW])
    poisson = table[..., lanes.PACKETS_PER_MS] * burst * window_ms
    regular = window_ms / gaps + 4.0
    most = float(np.where(code == CONTROL, poisson + 10.0 * np.sqrt(poisson) + 16.0, regular).max())
    for first, last in zip(traces.frame_start[:-1], traces.frame_start[1:], strict=True):
        most = max(most, _densest(traces.gap_ms[first:last], window_ms) + 2.0)
    return math.ceil(most)


def _densest(gaps_ms: NDArray[np.float64], window_ms: float) -> int:
    """Return the most frames of a recording that fall into any window."""
    times = np.concatenate([[0.0], np.cumsum(np.tile(gaps_ms, 2))])
    until = np.searchsorted(times, times + window_ms, side="left")
    return int((until - np.arange(len(times)))[: len(gaps_ms)].max())
