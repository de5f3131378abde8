"""Suites: studies that are run one after the other, each in a folder of its own, and reported on one page."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field

from roamrl.cluster.session import ray_session
from roamrl.envs.atomic_file import write_atomically
from roamrl.envs.errors import InputError, unknown_name
from roamrl.platform.report.suite_page import SUITE_FILE, write_suite_report
from roamrl.platform.study.learning_entries import Entry
from roamrl.platform.study.load import check_entry, load_study, study_names
from roamrl.platform.study.progress import NoProgress, Progress
from roamrl.platform.study.run import RunSummary, run_study
from roamrl.platform.study.schema import Study


class SuiteEntry(Entry):
    """What a suite's file says.

    Attributes:
        name: Short name.
        about: What its studies ask together, in a sentence.
        suite: Built-in studies, or files beside the suite's own, in the order in which they run.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    about: str = ""
    suite: tuple[str, ...] = Field(min_length=1)


@dataclass(frozen=True)
class Suite:
    """Studies that belong together."""

    name: str
    about: str
    studies: tuple[Study, ...]


def suite_names() -> list[str]:
    """Return the names of the built-in suites."""
    return sorted(item.name.removesuffix(".yaml") for item in _builtin().iterdir() if item.name.endswith(".yaml"))


def builtin_suite(name: str) -> Suite:
    """Return a built-in suite.

    Raises:
        InputError: If there is none of that name, or it says something it may not say.
    """
    found = find_suite(name) if name in suite_names() else None
    if found is None:
        raise unknown_name("suite", name, suite_names())
    return found


def find_suite(name_or_path: str, overrides: Sequence[str] = ()) -> Suite | None:
    """Read a suite; None where what is named is none, and so may be a study.

    Args:
        name_or_path: Name of a built-in suite, or a YAML file.
        overrides: ``a.b=value`` each, for every one of its studies.

    Raises:
        InputError: If there is neither a suite nor a study of that name, or the suite or one of its studies says
            something it may not say.
    """
    file = _file(name_or_path)
    if file is None:
        return None
    try:
        raw = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError):
        return None  # what is wrong with it is said when it is read as a study
    if not isinstance(raw, dict) or "suite" not in raw:
        return None
    entry = check_entry(SuiteEntry, raw, name_or_path)
    studies = tuple(load_study(_beside(file, name), overrides) for name in entry.suite)
    names = [study.name for study in studies]
    if len(set(names)) != len(names):
        raise InputError(f"{name_or_path}: each study of a suite needs a name of its own, got {names}")
    return Suite(entry.name, entry.about, studies)


def run_suite(
    suite: Suite,
    *,
    out: Path | None = None,
    address: str | None = None,
    fresh: bool = False,
    store: str | None = None,
    progress: Progress | None = None,
) -> RunSummary:
    """Run the studies of a suite in their order, or go on with a run that was cut off; the arguments are a study's.

    Each study's run lies in a folder of its name; the page over all of them is written anew after each.

    Raises:
        InputError: If a study, a folder or the store cannot be used.
    """
    folder = (out or Path("runs") / suite.name).resolve()
    _claim(folder, suite)
    failed = 0
    recovered: tuple[Path, ...] = ()
    with ray_session(address, about={"roamrl_suite": suite.name, "roamrl_run": str(folder)}):
        for study in suite.studies:
            place = folder / study.name
            done = run_study(
                study, out=place, address=address, fresh=fresh, store=store, progress=progress or NoProgress()
            )
            failed, recovered = failed + done.failed, (*recovered, *done.recovered)
            page = write_suite_report(folder)
    return RunSummary(folder, failed, page, recovered)


def _claim(folder: Path, suite: Suite) -> None:
    """Make the folder this suite's own.

    Raises:
        InputError: If it holds something else.
    """
    file = folder / SUITE_FILE
    if not file.exists() and folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder} is not empty and holds no run of a suite; give another --out")
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(file, (json.dumps(describe(suite), indent=1) + "\n").encode())


def _builtin() -> Traversable:
    return files("roamrl.platform") / "suites"


def _file(name_or_path: str) -> Traversable | Path | None:
    if name_or_path in study_names():
        return None
    if name_or_path in suite_names():
        return _builtin() / f"{name_or_path}.yaml"
    path = Path(name_or_path)
    if path.is_file():
        return path
    if path.exists() or path.suffix or "/" in name_or_path:
        return None
    raise unknown_name("study", name_or_path, [*study_names(), *suite_names()])


def _beside(file: Traversable | Path, name: str) -> str:
    """Return a study's file beside the suite's where there is one, or the name as it is."""
    if isinstance(file, Path) and (file.parent / name).is_file():
        return str(file.parent / name)
    return name


def describe(suite: Suite) -> dict[str, Any]:
    """Return a suite as plain values, for people and programs."""
    return {"name": suite.name, "about": suite.about, "studies": [study.name for study in suite.studies]}
