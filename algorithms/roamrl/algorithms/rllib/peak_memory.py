"""Peak resident memory of this process, counted from a moment on."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

STATUS = Path("/proc/self/status")
CLEAR_REFS = Path("/proc/self/clear_refs")
_FORGET_PEAK = "5"
_MB = 1e6


class PeakMemory:
    """The most resident memory that this process has had since the object was made.

    Processes of Tune train one trial after the other, so the peak has to be forgotten in between. Linux does that on
    request (proc(5): 5 written to ``clear_refs`` resets ``VmHWM``). Where that is not possible, only the peak of the
    process's whole life is told, which is this object's only if it has risen since; otherwise it is not known.

    Args:
        forget: Whether to let the process forget its peak so far; leave it to others who may still ask for theirs.
    """

    def __init__(self, *, forget: bool) -> None:
        self._before = 0.0 if forget and _forget_peak() else _peak_mb()
        self._carried: float | None = 0.0

    def carry(self, mb: float | None) -> None:
        """Take in the peak of an earlier process that did the same work, MB; None if it is not known."""
        self._carried = mb

    def mb(self) -> float | None:
        """Return the larger of this process's peak and the one carried over, 10^6 bytes; None if one is not known."""
        peak = _peak_mb()
        if self._carried is None or peak <= self._before:
            return None
        return max(peak, self._carried)


def _forget_peak() -> bool:
    """Let the process forget its peak; return whether it did."""
    try:
        CLEAR_REFS.write_text(_FORGET_PEAK, encoding="ascii")
    except OSError:  # no /proc, or one that may not be written: the whole life's peak has to serve
        return False
    return _high_water_mark() is not None


def _peak_mb() -> float:
    mark = _high_water_mark()
    if mark is not None:
        return mark
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / _MB


def _high_water_mark() -> float | None:
    """Return ``VmHWM`` in MB; None where it is not told."""
    try:
        lines = STATUS.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    found = [line.split() for line in lines if line.startswith("VmHWM:")]
    return int(found[0][1]) * 1024 / _MB if found else None
