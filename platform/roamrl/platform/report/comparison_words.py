"""Simple ways against policy transfer and meta-learning in words: where they win, and where they do not."""

from __future__ import annotations

from collections.abc import Sequence

from roamrl.platform.report.arms import SCRATCH, Arm, TargetView
from roamrl.platform.report.comparison_pillars import META, TRANSFER, pillar_of
from roamrl.platform.report.comparison_views import Field
from roamrl.platform.report.formatting import estimate, listed, plural
from roamrl.platform.report.settings import ReportSettings
from roamrl.platform.report.verdicts import Finding, Measure, judge
from roamrl.platform.study.schema import CLASSICAL_TUNED

JOINT = "joint"
VERBS = (("better", "beats"), ("not significant", "cannot be told from"), ("worse", "loses to"))
NOT_TESTED = "not tested"
AREA: Measure = "area"


def simple_against_others(fields: Sequence[Field], settings: ReportSettings) -> tuple[str, ...]:
    """Return sentences, by area under the adaptation curve over the first field's targets, and then split by split.

    The simple ways are fine-tuned joint training and the classical policy tuned on the target; scratch stands in where
    a study has neither. Empty where there is no transfer and no meta-learning to compare with.

    Args:
        fields: What is compared, the pooled field first.
        settings: Of the report.
    """
    if not fields:
        return ()
    pooled, alone = fields[0], fields[1:]
    simple = [arm for arm in pooled.view.arms if arm.strategy in (JOINT, CLASSICAL_TUNED)]
    simple = simple or [arm for arm in pooled.view.arms if arm.strategy == SCRATCH]
    lines = []
    for arm in simple:
        for pillar in (TRANSFER, META):
            others = [other for other in pooled.view.arms if pillar_of(other.strategy) == pillar]
            lines += _sentence(pooled, alone, arm, others, pillar, settings)
    return tuple(lines)


def _sentence(
    pooled: Field, alone: Sequence[Field], arm: Arm, others: Sequence[Arm], pillar: str, settings: ReportSettings
) -> list[str]:
    """Return the sentence about a simple arm and the arms of one pillar; none where nothing can be compared."""
    found = [(other, judge(pooled.view, AREA, arm, other, settings.bootstrap)) for other in others]
    known = [(other, finding) for other, finding in found if finding is not None]
    if not known:
        return []
    clauses = []
    for verdict, verb in (*VERBS, (NOT_TESTED, "was not tested against")):
        group = [_named(finding, other, arm, alone, settings) for other, finding in known if finding.verdict == verdict]
        if group:
            clauses.append(f"{verb} {listed(group)}")
    return [f"{_subject(arm)} against {pillar}, over {pooled.name}: it {'; it '.join(clauses)}."]


def _subject(arm: Arm) -> str:
    words = {JOINT: "Fine-tuned joint training", SCRATCH: "Learning from nothing"}
    name = words.get(arm.strategy, "The classical policy tuned on the target")
    return f"{name} ({arm.name})"


def _named(finding: Finding, other: Arm, arm: Arm, alone: Sequence[Field], settings: ReportSettings) -> str:
    """Return the other arm with the probability of improvement, and on which splits alone the simple arm wins."""
    chance = estimate(finding.judgement.probability)
    parts = [f"P = {chance}"]
    if alone and finding.verdict != NOT_TESTED:
        parts.append(_by_split(other.name, arm.name, alone, settings))
    return f"{other.name} ({'; '.join(parts)})"


def _by_split(other: str, arm: str, alone: Sequence[Field], settings: ReportSettings) -> str:
    won, lost, tested = [], [], 0
    for field in alone:
        finding = _of_names(field.view, arm, other, settings)
        if finding is not None:
            tested += 1
            won += [field.name] if finding.verdict == "better" else []
            lost += [field.name] if finding.verdict == "worse" else []
    text = f"better on {len(won)} of {plural(tested, 'split')} taken alone"
    if 0 < len(won) < tested:
        text += f", namely {listed(won)}"
    return text + (f"; worse on {listed(lost)}" if lost else "")


def _of_names(view: TargetView, arm: str, other: str, settings: ReportSettings) -> Finding | None:
    arms = {each.name: each for each in view.arms}
    if arm not in arms or other not in arms:
        return None
    return judge(view, AREA, arms[arm], arms[other], settings.bootstrap)
