"""The course of a run in the terminal: one line that moves there, a few plain lines elsewhere; always on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from roamrl.platform.cli.tables import count, duration, terminal_width

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

    from roamrl.platform.study.progress import Progress

_LINES = 10
"""Lines a run of many units prints where there is no terminal, beside one a stage."""


@contextmanager
def shown_progress() -> Iterator[Progress]:
    """Give a run somebody who watches, and leave the terminal in order however the run ends."""
    if not sys.stderr.isatty():
        yield PlainProgress(sys.stderr)
        return
    watcher = BarProgress()
    try:
        yield watcher
    finally:
        watcher.finish()


class PlainProgress:
    """Writes a line a stage, a failed unit and a tenth of the run."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._began = time.monotonic()
        self._total = 0
        self._done = 0
        self._windows = 0

    def start(self, total_units: int, total_windows: int) -> None:
        """Say how much there is to do."""
        self._total = total_units
        self._write(f"{total_units} units, {count(total_windows)} windows to simulate")

    def stage(self, name: str) -> None:
        """Name the stage."""
        self._write(f"stage {name}")

    def unit_started(self, key: str, label: str) -> None:
        """Stay silent: most units are short."""

    def unit_done(self, key: str, label: str, windows: int, seconds: float) -> None:
        """Write a line whenever another tenth of the units is done."""
        self._windows += windows
        self._count()

    def unit_failed(self, key: str, label: str, error: str) -> None:
        """Say what failed."""
        self._write(f"failed: {label}: {error}")
        self._count()

    def finish(self) -> None:
        """Say how long it took."""
        self._write(f"finished after {duration(time.monotonic() - self._began)}")

    def _count(self) -> None:
        before = self._done * _LINES // max(1, self._total)
        self._done += 1
        if self._total and self._done * _LINES // self._total > before:
            total = max(self._total, self._done)  # step sizes chosen on val may add units
            spent = duration(time.monotonic() - self._began)
            self._write(f"{self._done}/{total} units, {count(self._windows)} windows, {spent}")

    def _write(self, text: str) -> None:
        print(text, file=self._stream, flush=True)


class BarProgress:
    """Moves one line of 80 columns: stage, bar, units, windows, time; failed units stay above it."""

    def __init__(self) -> None:
        self._stage = "starting"
        self._windows = 0
        self._total_windows = 0
        self._bar: Bar | None = None
        self._task: TaskID | None = None

    def start(self, total_units: int, total_windows: int) -> None:
        """Show how much there is to do."""
        self._total_windows = total_windows
        bar, task = self._shown()
        bar.update(task, total=total_units)
        self._refresh()

    def stage(self, name: str) -> None:
        """Show the stage's name."""
        self._stage = name
        self._refresh()

    def unit_started(self, key: str, label: str) -> None:
        """Leave the line as it is: several units run at once."""

    def unit_done(self, key: str, label: str, windows: int, seconds: float) -> None:
        """Move the bar."""
        self._windows += windows
        self._advance()

    def unit_failed(self, key: str, label: str, error: str) -> None:
        """Write what failed above the bar, and move it."""
        from rich.text import Text

        bar, _ = self._shown()
        bar.console.print(Text(f"failed: {label}: {error}", style="red"))
        self._advance()

    def finish(self) -> None:
        """Take the line down; called twice it does nothing."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _advance(self) -> None:
        bar, task = self._shown()
        bar.advance(task)
        shown = bar.tasks[0]
        if shown.total is not None and shown.completed > shown.total:  # step sizes chosen on val may add units
            bar.update(task, total=shown.completed)
        self._refresh()

    def _refresh(self) -> None:
        bar, task = self._shown()
        total = f"/{count(self._total_windows)}" if self._total_windows else ""
        bar.update(task, description=self._stage[:12], windows=f"{count(self._windows)}{total} windows")

    def _shown(self) -> tuple[Bar, TaskID]:
        if self._bar is None or self._task is None:
            self._bar = _new_bar()
            self._task = self._bar.add_task(self._stage, total=None, windows="")
            self._bar.start()
        return self._bar, self._task


def _new_bar() -> Bar:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    return Progress(
        TextColumn("{task.description:<12}"),
        BarColumn(bar_width=18),
        MofNCompleteColumn(),
        TextColumn("{task.fields[windows]}"),
        TimeElapsedColumn(),
        console=Console(stderr=True, width=terminal_width(), highlight=False),
    )
