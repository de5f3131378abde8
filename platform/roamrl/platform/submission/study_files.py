"""The files that a job needs of a study: itself, resolved, the recordings and the modules that it names."""

from __future__ import annotations

import hashlib
import importlib.util
import re
import shutil
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from roamrl.envs.errors import InputError
from roamrl.platform.study.load import load_study
from roamrl.platform.study.schema import Study
from roamrl.platform.study.suite import find_suite

_FUNCTION = re.compile(r"([A-Za-z_]\w*)(\.\w+)*:[\w.-]+")
_NAMESPACE = "roamrl"


@dataclass(frozen=True)
class StudyFiles:
    """A study or suite in a folder that can be sent.

    Attributes:
        name: Its name.
        digest: Beginning of its hash, eight digits.
        file: Its file, relative to the folder.
    """

    name: str
    digest: str
    file: str


def collect_study(name_or_path: str, overrides: Sequence[str], folder: Path) -> StudyFiles:
    """Put a study, or the studies of a suite, into an empty folder with all they name.

    Overrides and what a study extends are resolved here, so a mistake shows before anything is sent.

    Args:
        name_or_path: Built-in study or suite, or a YAML file.
        overrides: ``a.b=value`` each.
        folder: Where to.

    Raises:
        InputError: If there is no such study, it says something it may not say, or a file it names is not there.
    """
    suite = find_suite(name_or_path, overrides)
    studies = suite.studies if suite else (load_study(name_or_path, overrides),)
    traces: dict[str, str] = {}
    for study in studies:
        raw = study.model_dump(mode="json")
        if study.traces is not None:
            if study.traces not in traces:
                traces[study.traces] = _copy_traces(study.traces, folder / f"traces-{len(traces)}")
            raw["traces"] = traces[study.traces]
        _write(folder / _file_of(study), raw)
        for module in sorted(_modules(raw)):
            _copy_module(module, folder)
    if suite:
        entry = {"name": suite.name, "about": suite.about, "suite": [_file_of(study) for study in suite.studies]}
        _write(folder / "suite.yaml", entry)
        digest = hashlib.sha256("".join(study.hash for study in studies).encode()).hexdigest()
        return StudyFiles(suite.name, digest[:8], "suite.yaml")
    (study,) = studies
    return StudyFiles(study.name, study.hash[:8], _file_of(study))


def _file_of(study: Study) -> str:
    return f"{study.name}.yaml"


def _write(file: Path, value: Mapping[str, Any]) -> None:
    file.write_text(yaml.safe_dump(dict(value), sort_keys=False, allow_unicode=True), encoding="utf-8")


def _copy_traces(source: str, target: Path) -> str:
    """Copy recordings, and return their place relative to the folder."""
    path = Path(source)
    if path.is_dir():
        shutil.copytree(path, target)
        return target.name
    if path.is_file():
        target.mkdir()
        shutil.copy2(path, target / path.name)
        return f"{target.name}/{path.name}"
    raise InputError(f"traces: there is no file or folder {source}; say where they lie with --set traces=DIR")


def _modules(value: Any) -> Iterator[str]:
    """Yield the first part of every ``module:function`` in a study."""
    if isinstance(value, str):
        if found := _FUNCTION.fullmatch(value):
            yield found[1]
        return
    items = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    for item in items:
        yield from _modules(item)


def _copy_module(name: str, folder: Path) -> None:
    """Copy a module that is here as a file of somebody's own; an installed one must be installed on the nodes too."""
    spec = importlib.util.find_spec(name) if name != _NAMESPACE else None
    if spec is None or not spec.origin or not Path(spec.origin).is_file():
        return
    source = Path(spec.origin).resolve()
    paths = sysconfig.get_paths()
    installed = (Path(paths[kind]).resolve() for kind in ("stdlib", "platstdlib", "purelib", "platlib"))
    if any(source.is_relative_to(place) for place in installed):
        return
    if spec.submodule_search_locations:
        ignored = shutil.ignore_patterns("__pycache__", "*.py[co]")
        shutil.copytree(source.parent, folder / name, ignore=ignored, dirs_exist_ok=True)
    else:
        shutil.copy2(source, folder / source.name)
