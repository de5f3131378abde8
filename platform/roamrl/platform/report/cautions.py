"""What a reader must know before she trusts the table: what is missing, too few, or too good to be true."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from roamrl.platform.evaluation.normalisation import BY_ORACLE, BY_SPECIALIST
from roamrl.platform.report.arms import SIMPLE_STRATEGIES, TargetView, is_specialist, target_splits
from roamrl.platform.report.formatting import listed, percent, plural
from roamrl.platform.report.run_data import RunData, first_seen
from roamrl.platform.study.schema import CLASSICAL_TUNED

PUBLISHED_SEEDS = 10
REQUIRED_REFERENCES = ("trivial", "classical", "oracle")
ORACLE_SLACK = 0.02
MOST_SCORE_ERROR = 0.02


def cautions(run: RunData, views: Sequence[TargetView]) -> list[str]:
    """Return sentences, gravest first."""
    return [
        *_failures(run),
        *_too_good(run),
        *_missing_arms(run, views),
        *_no_oracle(run),
        *_missing_targets(run),
        *_few_runs(run, views),
        *_few_episodes(run),
        *_left_out(run),
    ]


def _failures(run: RunData) -> list[str]:
    if run.failures is None:
        return ["The run did not record which units failed (no failures.json)."]
    if not run.failures:
        return []
    failed = plural(len(run.failures), "unit")
    return [f"{failed} failed and {'is' if len(run.failures) == 1 else 'are'} missing from every number; see the end."]


def _too_good(run: RunData) -> list[str]:
    """Name policies above the oracle, beyond the error of evaluation: the oracle is then no upper bound."""
    # Probes are a few episodes on streams of their own, so that luck can carry them above the oracle's mean.
    scored = [row for row in run.rows if row.arm != "oracle" and row.stage != "probe"]
    above = [row for row in scored if row.score > 1.0 + ORACLE_SLACK]
    if not above or run.yardstick is not BY_ORACLE:
        return []
    arms, tasks = first_seen(row.arm for row in above), first_seen(row.task_name for row in above)
    return [
        f"{listed(arms)} scored above the oracle on {plural(len(tasks), 'task')} ({_few(tasks)}): "
        "its search is too weak there, or the evaluation is in error."
    ]


def _missing_arms(run: RunData, views: Sequence[TargetView]) -> list[str]:
    """Name what a comparison needs and this one lacks."""
    strategies = {arm.strategy for view in views for arm in view.arms}
    references = {row.arm for row in run.rows if row.stage == "reference"}
    missing = [name for name in REQUIRED_REFERENCES if name not in references]
    missing = [name for name in missing if name != "oracle" or run.yardstick is BY_ORACLE]
    missing += [name for name in SIMPLE_STRATEGIES if name not in strategies]
    if not any(is_specialist(row) for row in run.rows):
        missing.append("specialist")
    if not strategies - {*SIMPLE_STRATEGIES, CLASSICAL_TUNED}:
        missing.append("a transfer arm")
    if not missing:
        return []
    return [f"Missing: {listed(missing)}. A table without them is not fit for publication."]


def _no_oracle(run: RunData) -> list[str]:
    """Say what scores are where no oracle bounds them."""
    if run.yardstick is BY_ORACLE:
        return []
    if run.yardstick is BY_SPECIALIST:
        return [
            "The family has no oracle: scores are shares of the best specialist, which is a learned policy like the "
            "others; nothing says how far it is from the best there could be.",
            *_weak_specialists(run),
        ]
    return [
        "The family has no oracle and the study no specialist: numbers are returns as they are, and means over targets "
        "mix their scales. Add an arm 'specialist: {strategy: specialist}'."
    ]


def _weak_specialists(run: RunData) -> list[str]:
    """Name targets on which the policy that counts as 1 learned too little to be a measure of anything."""
    beaten = [row for row in run.rows if row.arm == "classical" and row.task_id in run.tops and row.score > 1.0]
    tasks = first_seen(row.task_name for row in beaten if np.isfinite(run.tops[row.task_id][1]))
    if not tasks:
        return []
    return [
        f"The classical policy is better than the best specialist on {plural(len(tasks), 'target')} ({_few(tasks)}): "
        "shares there compare with a policy that learned too little. Train specialists longer."
    ]


def _missing_targets(run: RunData) -> list[str]:
    named = run.study.get("targets")
    absent = [str(name) for name in named if name not in target_splits(run)] if isinstance(named, list) else []
    return [f"No arm has results on the targets {listed(absent)}."] if absent else []


def _few_runs(run: RunData, views: Sequence[TargetView]) -> list[str]:
    arms = [arm for view in views for arm in view.arms]
    if not arms:
        return ["No arm has results on any target."]
    least = min(arm.least_seeds for arm in arms)
    lines = []
    if least < 2:
        lines.append(
            "Intervals are not available where an arm has one run on a task: there is nothing to resample, and "
            "nothing below is shown to be more than chance. Give the study more seeds."
        )
    elif least < PUBLISHED_SEEDS:
        lines.append(
            f"Only {plural(least, 'seed')} a task: {percent(run.settings.confidence)} intervals from so few are "
            f"rough; a published table needs {PUBLISHED_SEEDS}."
        )
    for view in views:
        counts = {arm.name: len(arm.runs) for arm in view.arms}
        if len(set(counts.values())) > 1:
            each = ", ".join(f"{name} {number}" for name, number in counts.items())
            lines.append(f"Unequal numbers of runs on {view.split}: {each}.")
    return list(dict.fromkeys(lines))


def _few_episodes(run: RunData) -> list[str]:
    """Name targets whose scores hang on the evaluation episodes that happened to be drawn."""
    errors: dict[str, list[float]] = {}
    for row in run.rows:
        if row.stage == "adapt" and np.isfinite(row.score_error):
            errors.setdefault(row.split, []).append(row.score_error)
    median = {split: float(np.median(values)) for split, values in errors.items()}
    rough = [f"{split} {error:.2g}" for split, error in median.items() if error > MOST_SCORE_ERROR]
    if not rough:
        return []
    return [
        f"A score's standard error from its evaluation episodes alone is above {MOST_SCORE_ERROR} on {listed(rough)} "
        "(median over evaluations). All arms meet the same episodes, so that intervals over runs do not show it: "
        "levels are rough, differences between arms less so. Raise evaluation.episodes."
    ]


def _left_out(run: RunData) -> list[str]:
    lines = []
    if run.dropped_tasks:
        names = _few(run.dropped_tasks)
        lines.append(
            f"{plural(len(run.dropped_tasks), 'task')} left out, as oracle and trivial are too close: {names}."
        )
    if run.unscored:
        lines.append(f"{plural(run.unscored, 'evaluation')} left out, as the score is not a number.")
    return lines


def _few(names: Sequence[str], most: int = 6) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
