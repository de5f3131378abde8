"""What a check says."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How a check went: a warning leaves runs working, a failure does not."""

    OK = "ok"
    WARN = "warning"
    FAIL = "wrong"
    SKIPPED = "not checked"


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: What.
        verdict: How it went.
        found: What was found.
        mend: How to put it right; empty where nothing is wrong.
    """

    name: str
    verdict: Verdict
    found: str
    mend: str = ""


def judged(name: str, good: bool, found: str, mend: str, otherwise: Verdict = Verdict.FAIL) -> Check:
    """Return the check of a condition; ``otherwise`` is its verdict, and ``mend`` is said, where it does not hold."""
    return Check(name, Verdict.OK if good else otherwise, found, "" if good else mend)
