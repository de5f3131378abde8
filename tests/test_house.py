"""The rules of the house that no type checker knows."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE_ROOTS = ("algorithms", "cluster", "envs", "platform")

IMPORT_ALL_OF_ENVS = """
import importlib, json, pkgutil, sys
import roamrl.envs
modules = [found.name for found in pkgutil.walk_packages(roamrl.envs.__path__, "roamrl.envs.")]
for name in modules:
    importlib.import_module(name)
print(json.dumps({"modules": modules, "heavy": sorted({"ray", "torch"} & set(sys.modules))}))
"""


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("root", SOURCE_ROOTS)
def test_namespace_folders_hold_no_init(root: str) -> None:
    assert (ROOT / root / "roamrl" / root).is_dir()
    assert not (ROOT / root / "__init__.py").exists()
    assert not (ROOT / root / "roamrl" / "__init__.py").exists()


def test_tests_hold_no_init() -> None:
    assert [str(path) for path in (ROOT / "tests").rglob("__init__.py")] == []


def test_packages_below_a_namespace_hold_an_init() -> None:
    folders = {path.parent for root in SOURCE_ROOTS for path in (ROOT / root / "roamrl" / root).rglob("*.py")}
    assert len(folders) > len(SOURCE_ROOTS)
    assert [str(folder) for folder in folders if not (folder / "__init__.py").exists()] == []


@pytest.mark.parametrize("root", SOURCE_ROOTS)
def test_packages_are_typed(root: str) -> None:
    assert (ROOT / root / "roamrl" / root / "py.typed").is_file()


def test_standard_platform_module_is_not_shadowed() -> None:
    """``python -c`` puts the working directory, here the repository's root, first on the import path."""
    found, system = run_python("import platform; print(platform.__file__); print(platform.system())").split()
    assert Path(found).name == "platform.py"
    assert system == os.uname().sysname


def test_envs_imports_neither_ray_nor_torch() -> None:
    answer = json.loads(run_python(IMPORT_ALL_OF_ENVS))
    assert "roamrl.envs.slicing.family" in answer["modules"]
    assert answer["heavy"] == []


def test_readme_names_both_commands_and_they_can_be_run() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in ("scripts/quickstart.sh", "scripts/test.sh"):
        assert name in readme
        assert os.access(ROOT / name, os.X_OK)
    assert "https://download.pytorch.org/whl/cpu" in readme


def test_ci_calls_the_test_script_and_nothing_else() -> None:
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    commands = [line for line in lines if line and not line.startswith(("#", "set "))]
    assert len(commands) == 1
    assert "scripts/test.sh" in commands[0]
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


@pytest.mark.parametrize("group", ["roamrl.families", "roamrl.strategies"])
def test_entry_points_resolve(group: str) -> None:
    points = [point for point in entry_points(group=group) if point.value.startswith("roamrl.")]
    assert points
    for point in points:
        loaded = point.load()
        name = loaded.id if group == "roamrl.families" else loaded.name
        assert name == point.name


def test_console_script_resolves() -> None:
    (point,) = [point for point in entry_points(group="console_scripts") if point.name == "roamrl"]
    assert callable(point.load())


def test_constraints_pin_what_the_design_names() -> None:
    pins = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.M))
    assert pins["torch"] == "2.13.0"
    assert pins["ray"] == "2.60.0"
    assert pins["gymnasium"] == "1.2.2"


def test_every_dependency_is_pinned() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    names = {re.split(r"[\[<>=~! ]", requirement)[0].lower().replace("_", "-") for requirement in wanted}
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8").lower().replace("_", "-")
    pinned = {line.split("==")[0] for line in text.splitlines()}
    assert names - pinned == set()
