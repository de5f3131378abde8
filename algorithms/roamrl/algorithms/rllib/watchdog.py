"""A watchdog over calls into an environment: one that does not come back is given up after so many seconds."""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TypeVar

import ray

from roamrl.envs.atomic_file import write_atomically
from roamrl.envs.errors import InputError

PATIENCE = "ROAMRL_ENVIRONMENT_PATIENCE_S"
"""Environment variable: seconds that one step or reset of all rows of an environment may take; 600 unless set."""

HUNG_FILE = "environment-hung.txt"
"""File of a learner's folder: why the process that trained it ended itself."""

GRACE_S = 30.0
"""Seconds for which a call that was interrupted may go on before the process ends itself."""

_DEFAULT_S = 600.0
_POLL_S = 0.2
_SIGNAL = getattr(signal, "SIGUSR2", None)
_Answer = TypeVar("_Answer")


class EnvironmentHungError(RuntimeError):
    """A call into an environment did not come back in time."""


def default_patience_s() -> float:
    """Return the seconds that a call may take, as the environment variable or else the default says.

    Raises:
        InputError: If the variable holds no positive number.
    """
    given = os.environ.get(PATIENCE) or str(_DEFAULT_S)
    try:
        patience = float(given)
    except ValueError as error:
        raise InputError(f"{PATIENCE}={given!r} is no number of seconds; give e.g. 600") from error
    if not patience > 0:
        raise InputError(f"{PATIENCE}={given!r} must be above 0; give e.g. 600, or inf to wait for ever")
    return patience


def forget_hang(folder: Path) -> None:
    """Forget why an earlier process ended itself: another begins."""
    (folder / HUNG_FILE).unlink(missing_ok=True)


def hang_reason(folder: Path) -> str | None:
    """Return why the last process that trained the learner of a folder ended itself; None if it did not."""
    try:
        return (folder / HUNG_FILE).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


@dataclass(eq=False)
class _Call:
    watchdog: Watchdog
    what: str
    thread: int
    began: float
    interrupted: bool = False

    @property
    def late(self) -> float:
        """Seconds beyond those it may take."""
        return time.monotonic() - self.began - self.watchdog.patience_s

    @property
    def words(self) -> str:
        seconds = time.monotonic() - self.began
        return f"the environment of {self.watchdog.about} did not come back from {self.what} within {seconds:.0f} s"


class Watchdog:
    """Watches calls of one thread at a time.

    A call that takes too long is interrupted by a signal, whose handler raises :class:`EnvironmentHungError` within
    it, where Python runs it in the main thread. Code that does not return to Python, or swallows the error, cannot be
    interrupted: an actor of Ray then leaves its reason in the learner's folder and ends itself, and Tune starts
    another; any other process is left alone.

    Attributes:
        patience_s: Seconds a call may take; infinity for no limit.
        about: Whose environment it is, for messages.
        folder: The learner's folder, if it has one.
    """

    def __init__(self, patience_s: float, about: str, folder: Path | None = None) -> None:
        self.patience_s = patience_s
        self.about = about
        self.folder = folder

    def call(self, what: str, function: Callable[..., _Answer], *arguments: object) -> _Answer:
        """Return what a function returns.

        Args:
            what: Name of the call, for messages.
            function: It.
            *arguments: Its arguments.

        Raises:
            EnvironmentHungError: If it takes longer than it may.
        """
        if math.isinf(self.patience_s):
            return function(*arguments)
        return _keeper.watch(_Call(self, what, threading.get_ident(), time.monotonic()), function, arguments)


class _Keeper:
    """The thread of this process that looks at the clock, and the signal by which it interrupts."""

    def __init__(self) -> None:
        self._call: _Call | None = None
        self._thread: threading.Thread | None = None
        self._can_interrupt = False

    def watch(self, call: _Call, function: Callable[..., _Answer], arguments: tuple[object, ...]) -> _Answer:
        if self._thread is None or not self._thread.is_alive():
            self._begin()
        self._call = call
        try:
            return function(*arguments)
        finally:
            self._call = None

    def _begin(self) -> None:
        if _SIGNAL is not None and threading.current_thread() is threading.main_thread():
            if signal.getsignal(_SIGNAL) is signal.SIG_DFL:
                signal.signal(_SIGNAL, self._raise)
                self._can_interrupt = True
        self._thread = threading.Thread(target=self._keep, name="environment-watchdog", daemon=True)
        self._thread.start()

    def _raise(self, number: int, frame: FrameType | None) -> None:
        call = self._call
        if call is not None and call.interrupted and call.late > 0:
            raise EnvironmentHungError(call.words)

    def _keep(self) -> None:
        while True:
            time.sleep(_POLL_S)
            call = self._call
            if call is None or call.late <= 0:
                continue
            if not call.interrupted:
                call.interrupted = True
                self._interrupt(call)
            elif call.late > GRACE_S and _in_actor():
                if call.watchdog.folder is not None:
                    write_atomically(call.watchdog.folder / HUNG_FILE, call.words.encode())
                os.kill(os.getpid(), signal.SIGKILL)

    def _interrupt(self, call: _Call) -> None:
        main = threading.main_thread().ident
        if self._can_interrupt and _SIGNAL is not None and main is not None and call.thread == main:
            signal.pthread_kill(main, _SIGNAL)


_keeper = _Keeper()


def _in_actor() -> bool:
    return ray.is_initialized() and ray.get_runtime_context().get_actor_id() is not None
