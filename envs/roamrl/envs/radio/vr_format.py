"""Recorded VR streaming: a csv line a video frame, of burst size in bytes and time to the next frame in seconds.

Lines that begin with ``#`` are the header. Format of Lecci, Drago, Zanella and Zorzi, "An Open Framework for
Analyzing and Modeling XR Network Traffic", IEEE Access 9, 2021, DOI 10.1109/ACCESS.2021.3113162.

The last frame has no successor and a recorded gap of 0: it is left out, so that replay goes round on recorded gaps.
Where the header states a duration, the frames must span it (within 1 %): a file cut short is refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Final

import numpy as np

from roamrl.envs.radio.trace import BadLine, Trace

LONGEST_GAP_S: Final = 60.0
LARGEST_FRAME_BYTES: Final = 100_000_000
DURATION_TOLERANCE: Final = 0.01
_DURATION = re.compile(r"#\s*trace duration:\s*(\S+)\s*s?\s*$", re.IGNORECASE)


def is_vr(first_line: str) -> bool:
    """Say whether a file that begins with this line is a VR recording."""
    if first_line.startswith("#"):
        return True
    return len(first_line.split(",")) == 2 and isinstance(_parse(first_line), tuple)


def read_vr(name: str, file: str, lines: Sequence[str]) -> tuple[Trace | None, list[BadLine]]:
    """Read a VR recording; the lines it cannot use are left out of the trace and returned.

    Args:
        name: Name of the trace.
        file: What to call the file in errors.
        lines: The file's lines without their ends.

    Returns:
        The trace (None if too few lines are good) and the bad lines.
    """
    bad: list[BadLine] = []
    sizes: list[int] = []
    gaps: list[float] = []
    stated: tuple[int, str] | None = None
    last = max((i for i, text in enumerate(lines) if text.strip() and not text.startswith("#")), default=-1)
    for index, text in enumerate(lines):
        if text.startswith("#"):
            match = _DURATION.match(text)
            stated = (index + 1, match.group(1)) if match else stated
            continue
        if not text.strip() and index > last:
            continue
        frame = _parse(text)
        if isinstance(frame, str):
            bad.append(BadLine(file, index + 1, frame))
        elif frame[1] > 0:
            sizes.append(frame[0])
            gaps.append(frame[1])
        elif index != last:
            bad.append(BadLine(file, index + 1, "a time of 0 s to the next frame before the last line"))
    bad.extend(_cut_short(file, stated, sum(gaps), skipped=bool(bad)))
    if not sizes:
        bad.append(BadLine(file, max(len(lines), 1), "no frame that has a next one; a trace needs at least two frames"))
        return None, bad
    return Trace(name, "xr", frame_bytes=np.array(sizes, np.int64), gaps_s=np.array(gaps)), bad


def _parse(text: str) -> tuple[int, float] | str:
    fields = text.split(",")
    if len(fields) != 2:
        return f"{len(fields)} field{'s' * (len(fields) != 1)}, expected 2: burst size in bytes, seconds to next frame"
    try:
        size, gap = float(fields[0]), float(fields[1])
    except ValueError:
        return f"not two numbers: {text[:60]!r}"
    if not (size.is_integer() and 0 < size <= LARGEST_FRAME_BYTES):
        return f"burst size {fields[0].strip()[:30]!r} is no whole number of bytes in 1..{LARGEST_FRAME_BYTES}"
    if not (math.isfinite(gap) and 0.0 <= gap <= LONGEST_GAP_S):
        return f"time to the next frame {fields[1].strip()[:30]!r} is not within 0..{LONGEST_GAP_S:g} s"
    return int(size), gap


def _cut_short(file: str, stated: tuple[int, str] | None, span_s: float, skipped: bool) -> list[BadLine]:
    if stated is None:
        return []
    line, text = stated
    try:
        duration_s = float(text)
    except ValueError:
        return [BadLine(file, line, f"trace duration {text!r} is no number of seconds")]
    if skipped or abs(span_s - duration_s) <= DURATION_TOLERANCE * duration_s:
        return []
    return [
        BadLine(file, line, f"the header states {duration_s:.6g} s, the frames span {span_s:.6g} s: file cut short?")
    ]
