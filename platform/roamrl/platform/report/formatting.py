"""Numbers as people read them: true minus signs, few digits, and a dash where there is nothing to say."""

from __future__ import annotations

import math

from roamrl.platform.evaluation.statistics import Estimate

NOTHING = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"


def score(value: float | None, digits: int = 2) -> str:
    """Return a score or return; a dash for None and NaN."""
    if value is None or math.isnan(value):
        return NOTHING
    text = f"{value:.{digits}f}"
    if float(text) == 0.0:
        text = text.lstrip("-")
    return text.replace("-", MINUS)


def signed(value: float | None, digits: int = 2) -> str:
    """Return a change with its sign."""
    text = score(value, digits)
    return text if text == NOTHING or text.startswith(MINUS) or float(text) == 0.0 else f"+{text}"


def interval(estimate: Estimate | None, digits: int = 2) -> str:
    """Return the interval in brackets, empty where it is not available."""
    if estimate is None or not estimate.has_interval:
        return ""
    return f"[{score(estimate.low, digits)}, {score(estimate.high, digits)}]"


def estimate(value: Estimate | None, digits: int = 2) -> str:
    """Return a number with its interval."""
    return f"{score(value.value, digits)} {interval(value, digits)}".rstrip() if value is not None else NOTHING


def percent(value: float | None) -> str:
    """Return a share in per cent."""
    return NOTHING if value is None or math.isnan(value) else f"{100.0 * value:.0f} %"


def signed_percent(value: float | None) -> str:
    """Return a relative change in per cent with its sign."""
    return NOTHING if value is None or math.isnan(value) else f"{signed(100.0 * value, 0)} %"


def share(value: Estimate | None) -> str:
    """Return a share with its interval, in per cent."""
    if value is None:
        return NOTHING
    ends = f" [{100.0 * value.low:.0f}, {100.0 * value.high:.0f}]" if value.has_interval else ""
    return f"{percent(value.value)}{ends}"


def count(value: float | None) -> str:
    """Return a count with thin spaces between thousands; infinite is *not reached*."""
    if value is None or math.isnan(value):
        return NOTHING
    return "not reached" if math.isinf(value) else f"{value:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def duration(seconds: float | None) -> str:
    """Return a time in the unit that suits it."""
    if seconds is None or math.isnan(seconds):
        return NOTHING
    if seconds < 120.0:
        return f"{seconds:.1f} s"
    return f"{seconds / 60.0:.1f} min" if seconds < 7200.0 else f"{seconds / 3600.0:.1f} h"


def plural(number: int, noun: str) -> str:
    """Return a number with its noun."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def episodes(number: float) -> str:
    """Return a number of episodes with its noun."""
    return f"{count(number)} episode{'' if number == 1 else 's'}"


def listed(names: list[str]) -> str:
    """Return names as a phrase: a, b and c."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
