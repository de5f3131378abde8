"""A run's folder: the resolved study, finished units, parts of the tables, and what is needed to go on."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from roamrl.envs.atomic_file import write_atomically
from roamrl.envs.errors import InputError
from roamrl.envs.radio.trace_library import lookup
from roamrl.envs.radio.traces import write_traces
from roamrl.platform.study.folder_lock import empty, is_empty
from roamrl.platform.study.schema import Study


@dataclass(frozen=True)
class Failure:
    """A unit that failed, for the report."""

    unit: str
    stage: str
    error: str


def failure_reason(error: BaseException) -> str:
    """Return the last line of an error's text, or its type where it has none."""
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(error).__name__


class RunFolder:
    """One run on disk.

    ``study.yaml`` (resolved), ``traces.parquet`` (the recordings it refers to), ``units/<key>`` (learners, snapshots),
    ``parts/<key>.parquet`` and ``parts/<key>.curves.parquet`` (rows of a finished unit), ``manifest.jsonl`` (one line
    a finished unit), ``failures.json``, ``tune/`` (Tune's own, for resuming only), ``results.parquet``,
    ``curves.parquet``, ``run.json``, ``report/``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def open(cls, path: Path, study: Study, *, fresh: bool) -> RunFolder:
        """Open a run's folder, new or to be resumed.

        Raises:
            InputError: As :meth:`check` does.
        """
        folder = cls(path)
        folder.check(study, fresh=fresh)
        if fresh and folder.study_file.exists():
            empty(path)
        path.mkdir(parents=True, exist_ok=True)
        return folder

    def check(self, study: Study, *, fresh: bool) -> None:
        """Check that a study can run in the folder, and change nothing.

        Raises:
            InputError: If the folder holds another study's run or something else.
        """
        if self.study_file.exists():
            if fresh:
                return
            known = Study.model_validate(yaml.safe_load(self.study_file.read_text(encoding="utf-8")))
            if known.hash != study.hash:
                raise InputError(
                    f"{self.path} holds a run of study {known.name!r} with other settings; give another --out, or "
                    "--fresh to replace it"
                )
        elif not is_empty(self.path):
            raise InputError(f"{self.path} is not empty and holds no run; give another --out")

    @property
    def study_file(self) -> Path:
        """The resolved study."""
        return self.path / "study.yaml"

    @property
    def traces_file(self) -> Path:
        """The recordings that tasks refer to."""
        return self.path / "traces.parquet"

    def unit(self, key: str) -> Path:
        """Folder of a unit."""
        return self.path / "units" / key[:16]

    def part(self, key: str) -> Path:
        """Rows of a finished unit."""
        return self.path / "parts" / f"{key[:16]}.parquet"

    def curves_part(self, key: str) -> Path:
        """Training curve rows of a finished unit."""
        return self.path / "parts" / f"{key[:16]}.curves.parquet"

    def write_study(self, study: Study, traces: set[str]) -> None:
        """Keep the resolved study and the recordings it refers to (by hash; they must be open)."""
        if traces and not self.traces_file.exists():
            write_traces(self.traces_file, [lookup(reference) for reference in sorted(traces)])
        text = yaml.safe_dump(study.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
        self.write_text("study.yaml", text)

    def finished(self) -> dict[str, dict[str, Any]]:
        """Return the manifest: what is known of every finished unit, by key; a line cut off by a kill is none."""
        file = self.path / "manifest.jsonl"
        if not file.exists():
            return {}
        entries = [entry for line in file.read_bytes().split(b"\n") if (entry := _entry(line)) is not None]
        return {entry["key"]: entry for entry in entries}

    def finish(self, key: str, facts: Mapping[str, Any]) -> None:
        """Add a unit to the manifest; its part must be written before."""
        file = self.path / "manifest.jsonl"
        torn = file.exists() and not file.read_bytes().endswith(b"\n")
        with file.open("a", encoding="utf-8") as end:
            end.write(("\n" if torn else "") + json.dumps({"key": key, **facts}) + "\n")
            end.flush()
            os.fsync(end.fileno())

    def write_failures(self, failures: list[Failure]) -> None:
        """Keep what failed."""
        self.write_json("failures.json", [asdict(failure) for failure in failures])

    def write_json(self, name: str, value: Any) -> None:
        """Write a JSON file of the run, whole or not at all."""
        self.write_text(name, json.dumps(value, indent=1) + "\n")

    def write_text(self, name: str, text: str) -> None:
        """Write a text file of the run, whole or not at all."""
        write_atomically(self.path / name, text.encode())


def _entry(line: bytes) -> dict[str, Any] | None:
    """Return what a line of the manifest says of a unit; None for one that is not as it was written."""
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) and isinstance(entry.get("key"), str) else None
