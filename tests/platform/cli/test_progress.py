from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys

from roamrl.platform.cli.progress import PlainProgress

RUN = """
from roamrl.platform.cli.progress import shown_progress

try:
    with shown_progress() as progress:
        progress.start(8, 2_400_000)
        progress.stage("pretrain")
        for number in range(7):
            progress.unit_started(str(number), f"unit {number}")
            progress.unit_done(str(number), f"unit {number}", 300_000, 1.0)
        progress.unit_failed("7", "pretrain reuse, unit seven", "the worker died: out of memory " * 5)
        raise KeyboardInterrupt
except KeyboardInterrupt:
    print("the end")
"""


def plain(units: int) -> list[str]:
    stream = io.StringIO()
    progress = PlainProgress(stream)
    progress.start(units, 3_000_000)
    progress.stage("pretrain")
    for number in range(units):
        progress.unit_started(str(number), "a unit")
        progress.unit_done(str(number), "a unit", 3_000_000 // units, 1.0)
    progress.finish()
    return stream.getvalue().splitlines()


def test_without_a_terminal_a_long_run_prints_a_dozen_lines() -> None:
    lines = plain(1000)
    assert lines[:2] == ["1000 units, 3 M windows to simulate", "stage pretrain"]
    assert [line.split()[0] for line in lines[2:-1]] == [f"{tenth}00/1000" for tenth in range(1, 11)]
    assert lines[-1].startswith("finished after")


def test_without_a_terminal_a_short_run_prints_a_line_a_unit() -> None:
    assert [line.split()[0] for line in plain(3)[2:-1]] == ["1/3", "2/3", "3/3"]


def test_a_failed_unit_is_named_and_counted() -> None:
    stream = io.StringIO()
    progress = PlainProgress(stream)
    progress.start(2, 100)
    progress.unit_failed("k", "adapt joint", "disk full")
    progress.unit_done("l", "adapt reuse", 100, 1.0)
    lines = stream.getvalue().splitlines()
    assert lines[1] == "failed: adapt joint: disk full"
    assert lines[-1].startswith("2/2 units, 100 windows")


def test_a_watcher_that_was_not_told_the_total_still_names_stages() -> None:
    stream = io.StringIO()
    progress = PlainProgress(stream)
    progress.stage("references")
    progress.unit_done("k", "references", 0, 1.0)
    assert stream.getvalue() == "stage references\n"


def test_in_a_terminal_one_line_of_80_columns_moves_and_is_taken_down() -> None:
    screen, terminal = pty.openpty()
    env = os.environ | {"TERM": "xterm", "COLUMNS": "120"}
    with subprocess.Popen([sys.executable, "-c", RUN], stderr=terminal, stdout=subprocess.PIPE, env=env) as process:
        os.close(terminal)
        shown = b""
        while True:
            try:
                piece = os.read(screen, 65536)
            except OSError:
                break
            if not piece:
                break
            shown += piece
        out = process.communicate(timeout=60)[0]
    os.close(screen)
    text = shown.decode()
    lines = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line) for line in re.split(r"[\r\n]+", text)]
    assert out == b"the end\n"
    assert max(len(line) for line in lines) <= 80
    assert any(line.startswith("pretrain") and "8/8" in line and "2.1 M/2.4 M windows" in line for line in lines)
    assert any(line.startswith("failed: pretrain reuse, unit seven") for line in lines)
    assert text.rstrip().endswith("\x1b[?25h")


def test_units_that_tuning_adds_are_not_more_than_all() -> None:
    stream = io.StringIO()
    progress = PlainProgress(stream)
    progress.start(10, 0)
    for _ in range(12):
        progress.unit_done("k", "u", 0, 1.0)
    counts = [line.split()[0] for line in stream.getvalue().splitlines()[1:]]
    assert counts[-2:] == ["11/11", "12/12"]
