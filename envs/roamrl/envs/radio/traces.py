"""Reading and writing trace files: csv in the recorded formats, and Parquet; import from the one to the other."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow
import pyarrow.parquet

from roamrl.envs.errors import InputError
from roamrl.envs.radio.nr_format import LEAST_SAMPLES, is_nr, read_nr
from roamrl.envs.radio.trace import BadLine, BadTraceError, Trace
from roamrl.envs.radio.vr_format import is_vr, read_vr

SCHEMA: Final = pyarrow.schema(
    [
        pyarrow.field("name", pyarrow.string(), nullable=False),
        pyarrow.field("kind", pyarrow.string(), nullable=False),
        pyarrow.field("sha256", pyarrow.string(), nullable=False),
        pyarrow.field("period_s", pyarrow.float64(), nullable=False),
        pyarrow.field("frame_bytes", pyarrow.list_(pyarrow.int64()), nullable=False),
        pyarrow.field("gaps_s", pyarrow.list_(pyarrow.float64()), nullable=False),
        pyarrow.field("snr_db", pyarrow.list_(pyarrow.float64()), nullable=False),
    ]
)
"""A row a trace. ``frame_bytes`` and ``gaps_s`` are empty for kind ``snr``, ``snr_db`` for kind ``xr``."""


@dataclass(frozen=True)
class ImportReport:
    """What an import did.

    Attributes:
        out: The Parquet file.
        traces: The traces written to it.
        bad_lines: Lines left out, because bad lines were to be skipped.
        unused: Files without anything to use, each with the reason.
    """

    out: Path
    traces: tuple[Trace, ...]
    bad_lines: tuple[BadLine, ...]
    unused: tuple[tuple[str, str], ...]


@dataclass
class _Reading:
    traces: list[Trace]
    bad_lines: list[BadLine]
    unused: list[tuple[str, str]]


def trace_files(path: Path) -> list[Path]:
    """Return the csv and Parquet files of a directory and the folders below it, sorted; or the file itself.

    Raises:
        InputError: If there is none, or the path does not exist.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise InputError(f"no traces at {path}: give a directory, a csv file or a Parquet file that exists")
    inside = sorted(entry for entry in path.rglob("*") if entry.suffix.lower() in (".csv", ".parquet"))
    found = [e for e in inside if e.is_file() and not any(p.startswith(".") for p in e.relative_to(path).parts)]
    if not found:
        raise InputError(f"no traces in {path}: it holds neither a csv nor a Parquet file")
    return found


def read_traces(path: Path | str) -> list[Trace]:
    """Read all traces of a directory, a csv file or a Parquet file, in the order of their file names.

    Raises:
        BadTraceError: If lines cannot be used; it holds every one with file, line number and reason.
        InputError: If there is no trace, or two different ones share a name.
    """
    reading = _read(Path(path))
    if reading.bad_lines:
        raise BadTraceError(reading.bad_lines)
    return _named(reading, Path(path))


def import_traces(source: Path | str, out: Path | str, *, skip_bad_lines: bool = False) -> ImportReport:
    """Check recordings and convert them to one Parquet file, which appears whole or not at all.

    Args:
        source: A directory, a csv file or a Parquet file.
        out: The Parquet file to write; an existing one is replaced.
        skip_bad_lines: Leave bad lines out and name them in the report, instead of refusing. A VR frame that is left
            out takes its gap with it.

    Raises:
        BadTraceError: If lines cannot be used and are not to be skipped; nothing is written.
        InputError: If there is no trace, or two different ones share a name; nothing is written.
    """
    reading = _read(Path(source))
    if reading.bad_lines and not skip_bad_lines:
        raise BadTraceError(reading.bad_lines)
    traces = _named(reading, Path(source))
    write_traces(Path(out), traces)
    return ImportReport(Path(out), tuple(traces), tuple(reading.bad_lines), tuple(reading.unused))


def write_traces(path: Path | str, traces: Sequence[Trace]) -> None:
    """Write traces to a Parquet file atomically: readers see the old file or the new one."""
    path = Path(path)
    table = pyarrow.Table.from_pylist([_row(trace) for trace in traces], schema=SCHEMA)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, scratch = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error}; give a file in a folder that can be written") from error
    try:
        with os.fdopen(handle, "wb") as stream:
            pyarrow.parquet.write_table(table, stream, compression="zstd")
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(scratch, 0o644)
        os.replace(scratch, path)
    except BaseException:
        os.unlink(scratch)
        raise


def _row(trace: Trace) -> dict[str, Any]:
    return {
        "name": trace.name,
        "kind": trace.kind,
        "sha256": trace.sha256,
        "period_s": trace.period_s,
        "frame_bytes": trace.frame_bytes,
        "gaps_s": trace.gaps_s,
        "snr_db": trace.snr_db,
    }


def _read(path: Path) -> _Reading:
    reading = _Reading([], [], [])
    for file in trace_files(path):
        if file.suffix.lower() == ".parquet":
            reading.traces.extend(_read_parquet(file))
        else:
            _read_csv(file, reading)
    return reading


def _read_csv(file: Path, reading: _Reading) -> None:
    try:
        lines = file.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    except OSError as error:
        raise InputError(f"cannot read {file}: {error}") from error
    first = lines[0] if lines else ""
    if is_nr(first):
        trace, bad = read_nr(file.stem, str(file), lines)
        if trace is None and not bad:
            reading.unused.append((str(file), f"fewer than {LEAST_SAMPLES} seconds on 5G with SNR and CQI"))
    elif is_vr(first):
        trace, bad = read_vr(file.stem, str(file), lines)
    else:
        reason = "neither a VR recording (size,gap) nor a 5G one (Timestamp,..,NetworkMode,..,SNR,CQI,..)"
        trace, bad = None, [BadLine(str(file), 1, reason if first.strip() else f"empty; {reason}")]
    reading.bad_lines.extend(bad)
    if trace is not None:
        reading.traces.append(trace)


def _read_parquet(file: Path) -> list[Trace]:
    try:
        table = pyarrow.parquet.read_table(file, partitioning=None)
        rows = table.select(SCHEMA.names).cast(SCHEMA).to_pylist()
    except (pyarrow.ArrowException, KeyError, OSError, ValueError) as error:
        raise InputError(
            f"{file} is no Parquet file of traces ({error}); write one with `roamrl traces import DIR --out FILE`"
        ) from error
    traces = [_trace(row, file) for row in rows]
    for row, trace in zip(rows, traces, strict=True):
        if row["sha256"] != trace.sha256:
            raise InputError(f"{file}: trace {trace.name!r} does not have the content hash it was written with")
    return traces


def _trace(row: dict[str, Any], file: Path) -> Trace:
    try:
        return Trace(
            row["name"],
            row["kind"],
            frame_bytes=np.array(row["frame_bytes"], np.int64),
            gaps_s=np.array(row["gaps_s"], np.float64),
            snr_db=np.array(row["snr_db"], np.float64),
            period_s=row["period_s"],
        )
    except (InputError, TypeError, ValueError) as error:
        raise InputError(f"{file}: {error}") from error


def _named(reading: _Reading, path: Path) -> list[Trace]:
    known: dict[str, Trace] = {}
    for trace in reading.traces:
        if known.setdefault(trace.name, trace).sha256 != trace.sha256:
            raise InputError(f"two different traces in {path} are called {trace.name!r}; rename one of the files")
    if not known:
        reasons = "; ".join(f"{file}: {reason}" for file, reason in reading.unused)
        raise InputError(f"no usable trace in {path}" + (f" ({reasons})" if reasons else ""))
    return list(known.values())
