from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from roamrl.platform.cli.main import app

SCRIPT = Path(sys.executable).with_name("roamrl")

IMPORTED = """
import json, sys
from roamrl.platform.cli.main import main
try:
    main(["--help"])
except SystemExit:
    pass
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""

COMMANDS = [
    *(["init"], ["run"], ["train"], ["evaluate"], ["recommend"], ["report"]),
    *(["families"], ["strategies"], ["studies"], ["references"], ["bench"], ["version"]),
    *(
        ["store", name]
        for name in ("init", "ls", "show", "verify", "gc", "compact", "tag", "rm", "push", "pull", "keygen", "sign")
    ),
    *(["traces", name] for name in ("import", "ls")),
    *(["submit"], ["sweep"], ["doctor"], ["export"], ["serve"]),
    *(["jobs", name] for name in ("ls", "logs", "stop")),
    *(["cluster", name] for name in ("start", "status", "stop", "monitoring", "manifests")),
]


def test_help_takes_less_than_half_a_second() -> None:
    """Processor time, the least of three: what the command itself costs, however busy the machine is."""
    spent = []
    for _ in range(3):
        before = os.times()
        subprocess.run([str(SCRIPT), "--help"], check=True, capture_output=True, timeout=60)
        after = os.times()
        spent.append(after.children_user + after.children_system - before.children_user - before.children_system)
    assert min(spent) < 0.5


def test_help_imports_nothing_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORTED], check=True, capture_output=True, text=True, timeout=60)
    imported = set(json.loads(done.stdout.splitlines()[-1]))
    assert (
        imported & {"ray", "torch", "numpy", "numba", "gymnasium", "pydantic", "pyarrow", "matplotlib", "rich"} == set()
    )


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself_within_80_columns(command: list[str], roamrl: Callable) -> None:
    answer = roamrl(*command, "--help")
    assert answer.code == 0
    assert answer.lines[0].startswith(f"Usage: roamrl {' '.join(command)}")
    assert max(len(line) for line in answer.lines) <= 80


def test_the_list_of_commands_is_complete() -> None:
    groups = {group.name: group.typer_instance for group in app.registered_groups}
    found = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    nested = {
        (name, command.name or command.callback.__name__)
        for name, group in groups.items()
        if group is not None
        for command in group.registered_commands
        if command.callback
    }
    assert {tuple(command) for command in COMMANDS} == {(name,) for name in found} | nested


def test_the_module_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "roamrl.platform", "--help"], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.startswith("Usage: roamrl")
