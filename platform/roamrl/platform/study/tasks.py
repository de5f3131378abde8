"""From the splits a study names to tasks: recordings resolved, contexts checked, every task with a name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from roamrl.envs.canonical import JSON
from roamrl.envs.errors import InputError
from roamrl.envs.family import Family, get_family
from roamrl.envs.radio.trace_library import TraceLibrary, open_traces
from roamrl.envs.split import Split, pick
from roamrl.envs.task import Task
from roamrl.platform.study.schema import SplitEntry, Study

TRACE_PREFIX = "trace:"


@dataclass(frozen=True)
class NamedTask:
    """A task with the name that tables show and the split it belongs to."""

    task: Task
    name: str
    split: str
    split_hash: str


def study_splits(study: Study) -> dict[str, tuple[NamedTask, ...]]:
    """Return the tasks of every split of a study.

    Raises:
        InputError: If a name, value or recording is unknown, or splits that must not meet share a task.
    """
    family = get_family(study.family)
    library = open_traces(study.traces) if study.traces else None
    splits = {name: _tasks_of(study, family, library, name, entry) for name, entry in study.splits.items()}
    _keep_apart(study, splits)
    return splits


def trace_hashes(value: JSON) -> set[str]:
    """Return the hashes of all recordings that a JSON value refers to."""
    if isinstance(value, str):
        return {value} if value.startswith("sha256:") else set()
    items = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return {found for item in items for found in trace_hashes(item)}


def _tasks_of(
    study: Study, family: Family, library: TraceLibrary | None, name: str, entry: SplitEntry
) -> tuple[NamedTask, ...]:
    config = family.config(study.config)
    if entry.published is not None:
        listed = config if entry.variant is None else family.config({"variant": entry.variant})
        tasks = pick(family.splits(listed), entry.published).tasks[: entry.first]
        if entry.variant is not None:
            tasks = tuple(family.task(dict(task.context), config) for task in tasks)
    elif entry.sample is not None:
        fixed = _resolve(entry.fixed, library)
        tasks = family.sample(entry.sample, entry.seed, config=config, outside=entry.outside, fixed=fixed)
    else:
        tasks = tuple(family.task(_resolve(task.context, library), config) for task in entry.tasks)
    names = [task.name for task in entry.tasks] or [f"{name}-{number}" for number in range(len(tasks))]
    digest = Split(name, 1, tasks).hash
    return tuple(NamedTask(task, label, name, digest) for task, label in zip(tasks, names, strict=True))


def _resolve(value: JSON, library: TraceLibrary | None) -> JSON:
    if isinstance(value, str) and value.startswith(TRACE_PREFIX):
        if library is None:
            raise InputError(f"{value!r} names a recording; say where they lie with --set traces=DIR")
        return library.resolve(value.removeprefix(TRACE_PREFIX))
    if isinstance(value, Mapping):
        return {key: _resolve(item, library) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_resolve(item, library) for item in value]
    return value


def _keep_apart(study: Study, splits: Mapping[str, tuple[NamedTask, ...]]) -> None:
    """Refuse a task that is both chosen on and reported, or reported twice."""
    seen: dict[str, str] = {}
    for split in (study.val, *study.targets):
        for named in splits[split]:
            other = seen.setdefault(named.task.id, split)
            if other != split:
                raise InputError(f"task {named.name!r} of split {split!r} is in split {other!r} too; keep them apart")
