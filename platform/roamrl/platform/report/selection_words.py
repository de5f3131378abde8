"""Choosing the source in words: who leaves least, who cannot be told from it, and where predicting did not help."""

from __future__ import annotations

import numpy as np

from roamrl.platform.evaluation.statistics import Estimate, stratified_bootstrap_interval
from roamrl.platform.report.formatting import episodes, estimate, interval, listed, plural, score, signed
from roamrl.platform.report.selection import Selector, SourcePool, mean, selector_rows
from roamrl.platform.report.settings import ReportSettings

SIMPLER = {"predicted": ("nearest", "best-on-val", "random"), "nearest": ("random",), "best-on-val": ("random",)}
"""Selectors that take no target episodes, and the simpler ones that they have to beat."""


def selection_words(pool: SourcePool, settings: ReportSettings) -> list[str]:
    """Return sentences about a pool; none where there is but one source."""
    if len(pool.sources) < 2 or not pool.selectors:
        return []
    return [_leader(pool, settings), *_no_better(pool, settings), *_foretold(pool)]


def difference(pool: SourcePool, ours: Selector, theirs: Selector, settings: ReportSettings) -> Estimate:
    """Return by how much our regret is above theirs, target by target, with its interval over targets."""
    return stratified_bootstrap_interval([pool.regrets(ours) - pool.regrets(theirs)], mean, settings.bootstrap)


def _leader(pool: SourcePool, settings: ReportSettings) -> str:
    rows = {row.selector: row for row in selector_rows(pool, settings)}
    ranked = sorted(pool.selectors, key=lambda selector: rows[selector.name].regret.value)
    first = ranked[0]
    line = (
        f"Choosing one of {len(pool.sources)} source policies for each of {plural(len(pool.targets), 'target')}: "
        f"{first.name} leaves least of the best one's "
        f"zero-shot score behind, {estimate(rows[first.name].regret, 3)}"
    )
    told = {selector.name: difference(pool, selector, first, settings) for selector in ranked[1:]}
    worse = [f"{name} ({score(rows[name].regret.value, 3)})" for name, gap in told.items() if _above(gap)]
    level = [f"{name} ({score(rows[name].regret.value, 3)})" for name, gap in told.items() if not _above(gap)]
    if worse:
        line += f"; {listed(worse)} {'leaves' if len(worse) == 1 else 'leave'} significantly more"
    if level:
        line += f"; {listed(level)} cannot be told from it"
    spent = [
        f"{selector.name} takes {episodes(selector.episodes)} of the target" for selector in ranked if selector.episodes
    ]
    price = listed(spent) if spent else ""
    return f"{line}. {price[0].upper()}{price[1:]} before it learns." if price else f"{line}."


def _no_better(pool: SourcePool, settings: ReportSettings) -> list[str]:
    """Say where a selector is not shown to be better than a simpler one: limits are results."""
    known = {selector.name: selector for selector in pool.selectors}
    lines = []
    for name, simpler in SIMPLER.items():
        gaps = (
            {other: difference(pool, known[name], known[other], settings) for other in simpler if other in known}
            if (name in known)
            else {}
        )
        equal = [f"{other} ({_gap(gap)})" for other, gap in gaps.items() if not _above(gap.negative())]
        if equal:
            lines.append(f"By regret, {name} is not shown to be better than {listed(equal)}.")
    return lines


def _foretold(pool: SourcePool) -> list[str]:
    found = pool.validation
    if found is None:
        return []
    return [
        f"Gains foretold for {plural(found.tasks, 'validation task')}, each left out whole: "
        f"R² {score(found.explained)} against the mean of the others, rank correlation over sources "
        f"{score(found.ranks)}."
    ]


def _gap(gap: Estimate) -> str:
    return f"{signed(gap.value, 3)} {interval(gap, 3)}".rstrip()


def _above(gap: Estimate) -> bool:
    """Whether a difference is above 0 with its whole interval; without an interval nothing is shown."""
    return bool(np.isfinite(gap.low) and gap.low > 0.0)
