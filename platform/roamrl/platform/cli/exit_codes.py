"""How commands end: 0 done, 1 the run failed, 2 the user's mistake, 130 interrupted; errors of people in one line."""

from __future__ import annotations

import errno
import select
import sys
from typing import Any

import typer
from typer.core import TyperGroup

FAILED = 1
MISTAKE = 2
INTERRUPTED = 130

_FULL = {errno.ENOSPC, errno.EDQUOT}
_LOCKED = {errno.EACCES, errno.EPERM, errno.EROFS}


class ReportingGroup(TyperGroup):
    """A group whose commands show an error that a person can mend without a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; end with the exit code that stands for how it went.

        Raises:
            typer.Exit: With 1, 2 or 130.
            BrokenPipeError: If who reads the output has gone, as in ``roamrl .. | head``.
            RuntimeError: If another connection broke off.
        """
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            say_error("interrupted")
            raise typer.Exit(INTERRUPTED) from error
        except Exception as error:
            code = _code_of(error)
            if code is None:
                if isinstance(error, BrokenPipeError) and not _is_reader_gone():
                    raise RuntimeError("a connection broke off") from error  # Typer would end without a word
                raise
            say_error(f"error: {_message(error)}")
            raise typer.Exit(code) from error


def say_error(text: str) -> None:
    """Print to stderr, in red where that is a terminal."""
    typer.secho(text, fg=typer.colors.RED, err=True)


def _code_of(error: Exception) -> int | None:
    """Return the exit code of an expected error, None for a fault of ours."""
    from roamrl.cluster.errors import ClusterError
    from roamrl.envs.errors import InputError

    if isinstance(error, InputError):
        return MISTAKE
    if isinstance(error, ClusterError) or (isinstance(error, OSError) and error.errno in _FULL | _LOCKED):
        return FAILED
    return None


def _is_reader_gone() -> bool:
    """Return whether the other end of this process's output is closed."""
    poll = select.poll()
    for stream in (sys.stdout, sys.stderr):
        try:
            poll.register(stream.fileno(), 0)
        except (OSError, ValueError):  # closed, or not a file
            return True
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def _message(error: Exception) -> str:
    if not isinstance(error, OSError):
        return str(error)
    where = f"{error.filename}: " if error.filename is not None else ""
    mend = "; make room there, and give the same command again" if error.errno in _FULL else ""
    return f"{where}{error.strerror}{mend}"
