"""A phone on a commercial 5G network, second by second: the SNR that a user saw.

Format of Raca, Leahy, Sreenan and Quinlan, "Beyond Throughput, The Next Generation: A 5G Dataset with Channel and
Context Metrics", ACM MMSys 2020, DOI 10.1145/3339825.3394938. Columns used, by name: ``Timestamp``
(``YYYY.MM.DD_HH.MM.SS``), ``NetworkMode``, ``SNR`` (dB), ``CQI``; a missing value is ``-``.

Rows count where the phone is on 5G and has both SNR and CQI. They become one sample a second: rows of one second are
averaged; up to ``LONGEST_BRIDGE_S`` missing seconds are filled in linearly; a longer absence from 5G is cut out, so
that the recording goes on one sample later. A clock set back by up to ``LARGEST_SETBACK_S`` stands still
meanwhile; time that goes back further is an error. The trace holds SNR alone: CQI follows it by the link model.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray

from roamrl.envs.radio.trace import BadLine, Trace

COLUMNS: Final = ("Timestamp", "NetworkMode", "SNR", "CQI")
PERIOD_S: Final = 1.0
LONGEST_BRIDGE_S: Final = 5
LARGEST_SETBACK_S: Final = 2
LEAST_SAMPLES: Final = 10
SNR_RANGE_DB: Final = (-40.0, 60.0)
_TIMESTAMP: Final = re.compile(r"(\d{4})\.(\d\d)\.(\d\d)_(\d\d)\.(\d\d)\.(\d\d)", re.ASCII)
_EPOCH = datetime(1970, 1, 1)


def is_nr(first_line: str) -> bool:
    """Say whether a file that begins with this line is a 5G recording."""
    return set(COLUMNS) <= {name.strip() for name in first_line.split(",")}


def read_nr(name: str, file: str, lines: Sequence[str]) -> tuple[Trace | None, list[BadLine]]:
    """Read a 5G recording; the lines it cannot use are left out of the trace and returned.

    Args:
        name: Name of the trace.
        file: What to call the file in errors.
        lines: The file's lines without their ends; the first names the columns.

    Returns:
        The trace (None if fewer than ``LEAST_SAMPLES`` seconds are on 5G) and the bad lines.
    """
    header = [column.strip() for column in lines[0].split(",")]
    at = [header.index(column) for column in COLUMNS]
    bad: list[BadLine] = []
    seconds: list[int] = []
    snr_db: list[float] = []
    latest = 0
    for number, text in enumerate(lines[1:], start=2):
        if not text.strip() and number == len(lines):
            continue
        fields = text.split(",")
        row = _parse(fields, at, len(header))
        if not isinstance(row, str) and row[0] < latest - LARGEST_SETBACK_S:
            row = f"time goes back by {latest - row[0]} s"
        if isinstance(row, str):
            bad.append(BadLine(file, number, row))
            continue
        latest = max(latest, row[0])
        if row[1] is not None:
            seconds.append(latest)
            snr_db.append(row[1])
    samples = _one_a_second(np.array(seconds, np.int64), np.array(snr_db))
    if len(samples) < LEAST_SAMPLES:
        return None, bad
    return Trace(name, "snr", snr_db=samples, period_s=PERIOD_S), bad


def _parse(fields: list[str], at: list[int], width: int) -> tuple[int, float | None] | str:
    if len(fields) != width:
        return f"{len(fields)} fields, the header names {width}"
    when, mode, snr, cqi = (fields[column].strip() for column in at)
    second = _second(when)
    if second < 0:
        return f"timestamp {when[:40]!r} is not of the form YYYY.MM.DD_HH.MM.SS"
    if not mode or mode == "-":
        return "no NetworkMode"
    problem = _out_of_range("SNR", snr, *SNR_RANGE_DB) or _out_of_range("CQI", cqi, 0, 15)
    if problem:
        return problem
    usable = mode == "5G" and snr != "-" and cqi != "-"
    return second, float(snr) if usable else None


def _second(when: str) -> int:
    match = _TIMESTAMP.fullmatch(when)
    if match is None:
        return -1
    year, month, day, hour, minute, second = (int(part) for part in match.groups())
    try:
        return int((datetime(year, month, day, hour, minute, second) - _EPOCH).total_seconds())
    except ValueError:
        return -1


def _out_of_range(column: str, text: str, low: float, high: float) -> str:
    if text == "-":
        return ""
    try:
        value = float(text)
    except ValueError:
        return f"{column} {text[:30]!r} is neither a number nor '-'"
    if math.isfinite(value) and low <= value <= high:
        return ""
    return f"{column} {text[:30]} is not within {low:g}..{high:g}"


def _one_a_second(seconds: NDArray[np.int64], snr_db: NDArray[np.float64]) -> NDArray[np.float64]:
    if not len(seconds):
        return snr_db
    distinct, inverse = np.unique(seconds, return_inverse=True)
    means = np.bincount(inverse, weights=snr_db) / np.bincount(inverse)
    steps = np.diff(distinct)
    replayed = np.concatenate([[0], np.cumsum(np.where(steps > LONGEST_BRIDGE_S + 1, 1, steps))])
    return np.interp(np.arange(replayed[-1] + 1), replayed, means)
