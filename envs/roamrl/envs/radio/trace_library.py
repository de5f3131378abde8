"""The traces this process knows: opened by path, resolved by name, looked up by the hash of their content."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

from roamrl.envs.errors import InputError, unknown_name
from roamrl.envs.radio.trace import PREFIX, Trace, TraceKind
from roamrl.envs.radio.traces import read_traces, trace_files

_Signature = tuple[tuple[str, int, int], ...]


class TraceLibrary:
    """The traces of one directory or file, by name."""

    def __init__(self, path: Path, traces: list[Trace]) -> None:
        self.path = path
        self._traces = {trace.name: trace for trace in traces}

    def __len__(self) -> int:
        return len(self._traces)

    def __iter__(self) -> Iterator[Trace]:
        return iter(self._traces.values())

    def names(self, kind: TraceKind | None = None) -> list[str]:
        """Return the names, of one kind or of all, sorted."""
        return sorted(name for name, trace in self._traces.items() if kind in (None, trace.kind))

    def get(self, name: str) -> Trace:
        """Return the trace of that name, or of that content hash.

        Raises:
            InputError: If there is none; names the nearest one.
        """
        if name.startswith(PREFIX):
            return lookup(name)
        if name not in self._traces:
            raise unknown_name(f"trace in {self.path}", name, self._traces)
        return self._traces[name]

    def resolve(self, name: str) -> str:
        """Return how a task's context names the trace of that name: ``sha256:`` and the hash of its content."""
        return self.get(name).reference


_lock = threading.RLock()
_by_hash: dict[str, Trace] = {}
_opened: dict[Path, tuple[_Signature, TraceLibrary]] = {}


def open_traces(path: Path | str) -> TraceLibrary:
    """Read the traces of a directory, a csv file or a Parquet file and make them known to this process.

    The same files are read once; files that changed are read anew.

    Raises:
        InputError: If there is no trace or a line is bad.
    """
    where = Path(path).resolve()
    with _lock:
        stats = [(file, file.stat()) for file in trace_files(where)]
        signature = tuple((str(file), stat.st_mtime_ns, stat.st_size) for file, stat in stats)
        known = _opened.get(where)
        if known is None or known[0] != signature:
            known = (signature, TraceLibrary(Path(path), read_traces(where)))
            _opened[where] = known
            register(*known[1])
        return known[1]


def register(*traces: Trace) -> None:
    """Make traces known to this process by the hash of their content."""
    with _lock:
        for trace in traces:
            _by_hash.setdefault(trace.sha256, trace)


def lookup(reference: str, kind: TraceKind | None = None) -> Trace:
    """Return the trace that a task's context names as ``sha256:<hash>``.

    Raises:
        InputError: If this process has not opened it (says how to give it), or it is of another kind than asked for.
    """
    with _lock:
        trace = _by_hash.get(reference.removeprefix(PREFIX))
    if trace is None:
        raise InputError(
            f"trace {reference!r} is not known here: open the recordings it came from, with open_traces(PATH) or "
            "`--set traces=DIR` (a directory, csv or Parquet file); a trace's content is its identity"
        )
    if kind not in (None, trace.kind):
        raise InputError(f"trace {trace.name!r} is of kind {trace.kind!r}; one of kind {kind!r} is needed here")
    return trace


def resolve(name: str) -> str:
    """Return ``sha256:<hash>`` for the name of a trace in any collection opened so far.

    Raises:
        InputError: If no opened trace has that name, or several different ones do.
    """
    if name.startswith(PREFIX):
        return lookup(name).reference
    with _lock:
        known = [trace for _, collection in _opened.values() for trace in collection]
    found = {trace.reference for trace in known if trace.name == name}
    if not found:
        raise unknown_name("trace", name, (trace.name for trace in known))
    if len(found) > 1:
        raise InputError(f"{len(found)} different traces are called {name!r}; name one by its sha256:<hash>")
    return found.pop()
