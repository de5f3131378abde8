"""Errors a person can mend: what was wrong, what was expected, and how to put it right."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Something a person gave (a study, a task, a trace, an option) cannot be used as it is.

    The message names the culprit, what was expected, and a way to mend it. The command line prints it without
    a traceback and exits with status 2.
    """


def unknown_name(kind: str, name: str, known: Iterable[str]) -> InputError:
    """Build the error for a name nobody knows, with the nearest known one.

    Args:
        kind: What the name stands for, e.g. ``"context variable"``.
        name: What was given.
        known: The names that would have been accepted.
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return InputError(f"unknown {kind} {name!r}: {hint}known: {', '.join(names) or 'none'}")
