"""Processes of this machine, read from ``/proc``: whose they are, and which belong together."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from roamrl.cluster.errors import ClusterError

MARK = "ROAMRL_NODE"
"""Variable that the processes of a node inherit."""

_PROC = Path("/proc")
_POLL_S = 0.1


@dataclass(frozen=True)
class Process:
    """One process; its start time tells it from a later one with the same number.

    Attributes:
        pid: Its number.
        parent: Its parent's number.
        session: Number of the session's first process (``setsid``); it is not given away while one of them runs.
        started: Start in clock ticks since the machine's.
        command: Its command line, arguments separated by spaces.
    """

    pid: int
    parent: int
    session: int
    started: int
    command: str

    @property
    def alive(self) -> bool:
        """Whether this very process still runs."""
        now = find_process(self.pid)
        return now is not None and now.started == self.started


def check_platform() -> None:
    """Refuse systems other than Linux.

    Raises:
        ClusterError: There.
    """
    if not sys.platform.startswith("linux"):
        raise ClusterError("RoamRL starts clusters on Linux alone; start this node with `ray start`")


def find_process(pid: int) -> Process | None:
    """Return a running process, None if there is none of that number or it only waits to be collected."""
    try:
        status = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
        command = (_PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return None
    state, parent, *rest = status.rpartition(")")[2].split()  # the name before it may hold spaces and brackets
    if state in "ZX":
        return None
    words = command.replace(b"\0", b" ").decode(errors="replace").strip()
    return Process(pid, int(parent), int(rest[1]), int(rest[17]), words)


def session_family(session: int, mark: str) -> list[Process]:
    """Return the processes of a session, their descendants, and whoever inherited a variable with the mark.

    Args:
        session: Number of its first process, which itself may have ended.
        mark: What the command line of at least one of its processes holds, and of no other session, and what their
            environment hands on to processes that leave the session and lose their parent.
    """
    numbers = [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit()]
    everyone = [found for number in numbers if (found := find_process(number))]
    members = [process for process in everyone if process.session == session]
    inside = {process.pid for process in everyone if _inherited(process.pid, mark)}
    if any(mark in process.command for process in members):
        inside |= {process.pid for process in members}
    grown = True
    while grown:
        added = {process.pid for process in everyone if process.parent in inside} - inside
        grown = bool(added)
        inside |= added
    return [process for process in everyone if process.pid in inside]


def _inherited(pid: int, mark: str) -> bool:
    try:
        variables = (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:  # it has ended, or is another user's
        return False
    return f"{MARK}={mark}".encode() in variables


def end_processes(processes: Iterable[Process], patience_s: float) -> list[Process]:
    """Ask processes to end, kill those that do not in time, and return those that are left even so."""
    for sent, wait_s in ((signal.SIGTERM, patience_s), (signal.SIGKILL, 5.0)):
        alive = [process for process in processes if process.alive]
        for process in alive:
            with suppress(ProcessLookupError):
                os.kill(process.pid, sent)
        if wait_for_end(alive, wait_s):
            return []
    return [process for process in processes if process.alive]


def wait_for_end(processes: Iterable[Process], patience_s: float) -> bool:
    """Wait until none of the processes runs; say whether that was so in time."""
    waiting = list(processes)
    until = time.monotonic() + patience_s
    while waiting := [process for process in waiting if process.alive]:
        if time.monotonic() > until:
            return False
        time.sleep(_POLL_S)
    return True
