"""A sweep's folder: the study, the tasks it trains and scores on, what every trial reported, and Tune's own state."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from roamrl.envs.atomic_file import write_atomically
from roamrl.envs.canonical import JSON, content_hash
from roamrl.envs.errors import InputError
from roamrl.envs.radio.trace_library import lookup, open_traces
from roamrl.envs.radio.traces import write_traces
from roamrl.envs.task import Task
from roamrl.platform.evaluation.references import ReferenceReturns
from roamrl.platform.study.folder import Failure
from roamrl.platform.study.folder_lock import empty, is_empty
from roamrl.platform.study.schema import Study
from roamrl.platform.study.tasks import NamedTask

STUDY_FILE, TASKS_FILE, REFERENCES_FILE = "sweep-study.yaml", "tasks.json", "references.json"
REPORTS_FILE, RESULT_FILE = "reports.json", "sweep.json"


class SweepFolder:
    """One sweep on disk.

    ``sweep-study.yaml`` (resolved, with its search), ``tasks.json`` and ``references.json`` (sources and ``val``; the
    targets are not there), ``traces.parquet`` (their recordings), ``trials/<key>/`` (learner and ``reports.json`` of
    each), ``tune/`` (for resuming), ``sweep.parquet``, ``sweep.json``, ``best.yaml``, ``report/``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def open(cls, path: Path, study: Study, *, fresh: bool = False) -> SweepFolder:
        """Open a sweep's folder, new or to go on with.

        Raises:
            InputError: As :meth:`check` does.
        """
        folder = cls(path)
        folder.check(study, fresh=fresh)
        file = path / STUDY_FILE
        if fresh and file.exists():
            empty(path)
        path.mkdir(parents=True, exist_ok=True)
        if not file.exists():
            text = yaml.safe_dump(study.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
            write_atomically(file, text.encode())
        return folder

    def check(self, study: Study, *, fresh: bool = False) -> None:
        """Check that a study can be swept in the folder, and change nothing.

        Raises:
            InputError: If it holds another sweep or something else.
        """
        if (self.path / STUDY_FILE).exists():
            if not fresh and _identity(self.study()) != _identity(study):
                raise InputError(
                    f"{self.path} holds a sweep with other settings; give another --out, or --fresh to replace it"
                )
        elif not is_empty(self.path):
            raise InputError(f"{self.path} is not empty and holds no sweep; give another --out")

    def study(self) -> Study:
        """Return the study of the sweep."""
        return Study.model_validate(yaml.safe_load((self.path / STUDY_FILE).read_text(encoding="utf-8")))

    @property
    def traces_file(self) -> Path:
        """The recordings that tasks refer to."""
        return self.path / "traces.parquet"

    def trial(self, settings: Mapping[str, JSON]) -> Path:
        """Return the folder of the trial with these settings."""
        return self.path / "trials" / content_hash(dict(settings))[:16]

    def write_tasks(self, splits: Mapping[str, Sequence[NamedTask]], traces: set[str]) -> None:
        """Keep the tasks that are trained and scored on, and the recordings they refer to (by hash; open)."""
        if traces and not self.traces_file.exists():
            write_traces(self.traces_file, [lookup(reference) for reference in sorted(traces)])
        value = {name: [_task_json(named) for named in split] for name, split in splits.items()}
        self.write_json(TASKS_FILE, value)

    def tasks(self) -> dict[str, tuple[NamedTask, ...]]:
        """Return the tasks by split, their recordings open."""
        if self.traces_file.exists():
            open_traces(self.traces_file)
        splits = json.loads((self.path / TASKS_FILE).read_text(encoding="utf-8"))
        return {
            name: tuple(
                NamedTask(Task.from_json(each["task"]), each["name"], name, each["split_hash"]) for each in split
            )
            for name, split in splits.items()
        }

    def write_references(self, references: Mapping[str, ReferenceReturns]) -> None:
        """Keep what the references got, by task id."""
        value = {
            task: {role: [float(x) for x in returns] for role, returns in found.returns.items()}
            for task, found in references.items()
        }
        self.write_json(REFERENCES_FILE, value)

    def references(self) -> dict[str, ReferenceReturns]:
        """Return what the references got, by task id, for scores alone: rates of violation are not kept."""
        found = json.loads((self.path / REFERENCES_FILE).read_text(encoding="utf-8"))
        return {
            task: ReferenceReturns({role: np.array(returns) for role, returns in roles.items()}, {})
            for task, roles in found.items()
        }

    def result(self) -> dict[str, Any] | None:
        """Return how the sweep ended, None if it has not."""
        file = self.path / RESULT_FILE
        return json.loads(file.read_text(encoding="utf-8")) if file.exists() else None

    def write_failures(self, failures: Sequence[Failure]) -> None:
        """Keep what failed."""
        self.write_json("failures.json", [vars(failure) for failure in failures])

    def write_json(self, name: str, value: Any) -> None:
        """Write a JSON file of the sweep, whole or not at all."""
        write_atomically(self.path / name, (json.dumps(value, indent=1) + "\n").encode())


def _identity(study: Study) -> JSON:
    return {"study": study.hash, "search": study.search.model_dump(mode="json") if study.search else None}


def _task_json(named: NamedTask) -> dict[str, JSON]:
    return {"task": named.task.to_json(), "name": named.name, "split_hash": named.split_hash}
