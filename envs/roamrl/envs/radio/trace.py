"""Recorded traces: their arrays, their identity, and the lines that could not be read."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from roamrl.envs.errors import InputError

TraceKind = Literal["xr", "snr"]

PREFIX = "sha256:"
SHOWN_BAD_LINES = 10


@dataclass(frozen=True)
class BadLine:
    """A line of a recording that cannot be used.

    Attributes:
        file: The file, as it was given.
        line: Line number, from 1.
        reason: What is wrong, and what was expected.
    """

    file: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.reason}"


class BadTraceError(InputError):
    """Recordings with lines that cannot be used.

    Attributes:
        bad_lines: All of them, in the order of files and lines.
    """

    def __init__(self, bad_lines: Sequence[BadLine]) -> None:
        self.bad_lines = tuple(bad_lines)
        shown = [str(bad) for bad in self.bad_lines[:SHOWN_BAD_LINES]]
        more = len(self.bad_lines) - len(shown)
        if more > 0:
            shown.append(f"and {more} more")
        count = len(self.bad_lines)
        super().__init__(f"{count} bad line{'s' if count > 1 else ''} in traces; mend or remove:\n" + "\n".join(shown))


def _no_integers() -> NDArray[np.int64]:
    return np.zeros(0, np.int64)


def _no_floats() -> NDArray[np.float64]:
    return np.zeros(0, np.float64)


@dataclass(frozen=True, eq=False)
class Trace:
    """One recording; replay goes round when it ends.

    Attributes:
        name: What people call it (the file's stem); no part of its identity.
        kind: ``xr``: video frames of one user; ``snr``: the radio link of one user.
        frame_bytes: Size of each frame in bytes, [F]; empty for ``snr``.
        gaps_s: Time from each frame to the next in seconds, [F]; empty for ``snr``.
        snr_db: Samples of the signal-to-noise ratio in dB, [F]; empty for ``xr``.
        period_s: Time between SNR samples in seconds; 0 for ``xr``.
    """

    name: str
    kind: TraceKind
    frame_bytes: NDArray[np.int64] = field(default_factory=_no_integers)
    gaps_s: NDArray[np.float64] = field(default_factory=_no_floats)
    snr_db: NDArray[np.float64] = field(default_factory=_no_floats)
    period_s: float = 0.0

    def __post_init__(self) -> None:
        for array in (self.frame_bytes, self.gaps_s, self.snr_db):
            array.setflags(write=False)
        problem = self._problem()
        if problem:
            raise InputError(f"trace {self.name!r}: {problem}")

    def _problem(self) -> str:
        if self.kind == "xr":
            return self._frames_problem()
        if self.kind == "snr":
            return self._snr_problem()
        return f"kind {self.kind!r} is neither 'xr' nor 'snr'"

    def _frames_problem(self) -> str:
        if len(self.frame_bytes) != len(self.gaps_s) or len(self.gaps_s) < 1 or len(self.snr_db):
            return "an xr trace needs as many gaps as frames, at least one, and no SNR"
        if not (np.isfinite(self.gaps_s).all() and (self.gaps_s > 0).all() and (self.frame_bytes > 0).all()):
            return "frame sizes and gaps must be positive and finite"
        return ""

    def _snr_problem(self) -> str:
        if len(self.snr_db) < 1 or len(self.frame_bytes) or len(self.gaps_s):
            return "an snr trace needs at least one sample and no frames"
        if not (np.isfinite(self.snr_db).all() and np.isfinite(self.period_s) and self.period_s > 0):
            return "SNR samples must be finite and their period positive"
        return ""

    @cached_property
    def sha256(self) -> str:
        """Hash of the content: kind, period and samples as little-endian arrays; 64 hexadecimal digits."""
        digest = hashlib.sha256(f"roamrl-trace-1 {self.kind} {len(self)}\n".encode())
        digest.update(np.float64(self.period_s).astype("<f8").tobytes())
        for array, dtype in ((self.frame_bytes, "<i8"), (self.gaps_s, "<f8"), (self.snr_db, "<f8")):
            digest.update(np.ascontiguousarray(array, dtype=dtype).tobytes())
        return digest.hexdigest()

    @property
    def reference(self) -> str:
        """How a task's context names it: ``sha256:`` and the hash of its content."""
        return PREFIX + self.sha256

    def __len__(self) -> int:
        return len(self.frame_bytes) if self.kind == "xr" else len(self.snr_db)

    @property
    def duration_s(self) -> float:
        """Time after which replay goes round, in seconds."""
        return float(self.gaps_s.sum()) if self.kind == "xr" else len(self.snr_db) * self.period_s

    @property
    def mean_rate_mbps(self) -> float:
        """Mean rate of an xr trace in Mbit/s; 0 for ``snr``."""
        return float(self.frame_bytes.sum()) * 8e-6 / self.duration_s if self.kind == "xr" else 0.0

    @property
    def frame_rate_hz(self) -> float:
        """Mean frames a second of an xr trace; 0 for ``snr``."""
        return len(self.frame_bytes) / self.duration_s if self.kind == "xr" else 0.0
