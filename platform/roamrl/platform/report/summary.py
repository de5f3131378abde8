"""The summary in words: what won, what lost, what is not significant, where the simple thing is better."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from roamrl.platform.evaluation.statistics import iqm, stratified_bootstrap_interval
from roamrl.platform.report.arms import TargetView
from roamrl.platform.report.comparison_views import fields
from roamrl.platform.report.comparison_words import simple_against_others
from roamrl.platform.report.formatting import episodes, estimate, interval, listed, plural, score, signed
from roamrl.platform.report.settings import ReportSettings
from roamrl.platform.report.verdicts import Finding, Measure, Verdict, judge, judge_reference, measured

MEASURES = {"area": "area under the adaptation curve", "final": "final score"}
SHORT_TUNING = {"fixed": "step sizes fixed", "per-n": "step sizes per n", "none": "not tuned"}
CLASSICAL = "classical"
MOST_NAMED = 3
NO_TARGETS = "No arm has results on any target: there is nothing to compare."


@dataclass(frozen=True)
class Summary:
    """Sentences, by what they say; all but `protocols` are of the first tuning protocol.

    Attributes:
        headlines: Who leads on each split, and from whom the leader cannot be told.
        won: Arms significantly better than scratch, than joint training, or than the classical policy.
        lost: Arms significantly worse than scratch.
        simpler: Where joint training or the classical policy is significantly better than an arm.
        simple: Where simple ways beat policy transfer and meta-learning over all targets, and where they do not.
        undecided: Comparisons that are not significant.
        untested: Comparisons without repetitions to test them.
        protocols: How the verdicts of the other tuning protocol differ; empty with one protocol.
        findings: All comparisons made, under all protocols.
        tested: Number of comparisons that were tested.
        chance: Of these, how many would look significant by chance alone if no arm differed.
    """

    headlines: tuple[str, ...]
    won: tuple[str, ...]
    lost: tuple[str, ...]
    simpler: tuple[str, ...]
    simple: tuple[str, ...]
    undecided: tuple[str, ...]
    untested: tuple[str, ...]
    protocols: tuple[str, ...]
    findings: tuple[Finding, ...]
    tested: int
    chance: float


def summarise(
    views: Sequence[TargetView], settings: ReportSettings, study: Mapping[str, Any] = MappingProxyType({})
) -> Summary:
    """Compare every arm with scratch, joint training and the classical policy, and say how it went.

    Args:
        views: All views of targets.
        settings: Of the report.
        study: The study as it was run, whose splits say which targets are out of distribution.
    """
    if not views:
        return Summary((NO_TARGETS,), (), (), (), (), (), (), (), (), 0, 0.0)
    findings = [finding for view in views for finding in _findings(view, settings)]
    main = [view for view in views if view.tuning == views[0].tuning]
    first = [finding for finding in findings if finding.tuning == views[0].tuning]
    scratch = {view.scratch.name for view in views if view.scratch is not None}
    by_verdict: dict[Verdict, list[Finding]] = {}
    for finding in first:
        by_verdict.setdefault(finding.verdict, []).append(finding)
    worse = by_verdict.get("worse", [])
    tested = sum(finding.verdict != "not tested" for finding in findings)
    return Summary(
        headlines=tuple(line for view in main for line in _headlines(view, settings)),
        won=_sentences(by_verdict.get("better", []), "better than"),
        lost=_sentences([finding for finding in worse if finding.other in scratch], "worse than"),
        simpler=_simpler([finding for finding in worse if finding.other not in scratch]),
        simple=simple_against_others(fields(study, views, views[0].tuning), settings),
        undecided=_sentences(by_verdict.get("not significant", []), "not significantly different from"),
        untested=_sentences(by_verdict.get("not tested", []), "not tested against"),
        protocols=_protocols(main, views, findings, settings) if tested else (),
        findings=tuple(findings),
        tested=tested,
        chance=tested * (1.0 - settings.confidence),
    )


def _findings(view: TargetView, settings: ReportSettings) -> list[Finding]:
    """Return an arm's comparisons with the simple arms before it, then with the classical policy."""
    found: list[Finding | None] = []
    for place, arm in enumerate(view.arms):
        for other in (other for other in view.arms[:place] if other.simple):
            found.append(judge(view, "area", arm, other, settings.bootstrap))
            found.append(judge(view, "final", arm, other, settings.bootstrap))
        found.append(judge_reference(view, arm, CLASSICAL, settings.bootstrap))
    return [finding for finding in found if finding is not None]


def _headlines(view: TargetView, settings: ReportSettings) -> list[str]:
    """Say who leads on a split by area and by final score, and from whom the leader can be told."""
    lines = [_leader(view, measure, settings) for measure in ("area", "final")]
    place = f"On {view.split} targets"
    if not any(lines):
        return [f"{place} no arm was evaluated at two numbers of target episodes: there is no curve to compare."]
    return [f"{place} {line}." for line in lines if line]


def _leader(view: TargetView, measure: Measure, settings: ReportSettings) -> str:
    """Return the clause about the leader by one measure; empty if no arm has it."""
    scored = [(arm, value) for arm in view.arms if (value := measured(view, measure, arm)) is not None]
    if not scored or view.span is None:
        return ""
    estimates = {
        arm.name: stratified_bootstrap_interval(arm.strata(value), iqm, settings.bootstrap) for arm, value in scored
    }
    leader = max((arm for arm, _ in scored), key=lambda arm: estimates[arm.name].value)
    rivals: dict[str, list[str]] = {}
    for arm, _ in scored:
        finding = judge(view, measure, leader, arm, settings.bootstrap) if arm is not leader else None
        if finding is not None:
            rivals.setdefault(finding.verdict, []).append(f"{arm.name} ({score(estimates[arm.name].value)})")
    end = f" after {episodes(view.span[1])}" if measure == "final" else ""
    clause = f"the highest {MEASURES[measure]}{end} is that of {leader.name}: {estimate(estimates[leader.name])}"
    if "better" in rivals:
        everyone = len(rivals["better"]) == len(scored) - 1 > MOST_NAMED
        clause += f", significantly more than {'every other arm' if everyone else listed(rivals['better'])}"
    if "not significant" in rivals:
        clause += f"; it is not significantly different from {listed(rivals['not significant'])}"
    if "not tested" in rivals:
        clause += f", against {listed(rivals['not tested'])}; intervals are not available, so it may be chance"
    return clause


def _sentences(findings: Sequence[Finding], relation: str) -> tuple[str, ...]:
    """Write a sentence for each arm and split about the arms it was compared with, then one a split on classical."""
    pairs: dict[tuple[str, str], list[Finding]] = {}
    classical: dict[str, list[Finding]] = {}
    for finding in findings:
        if finding.other == CLASSICAL:
            classical.setdefault(finding.split, []).append(finding)
        else:
            pairs.setdefault((finding.split, finding.arm), []).append(finding)
    lines = [
        f"On {split} targets {arm} is {relation} {listed(_sized(group, 'other'))}."
        for (split, arm), group in pairs.items()
    ]
    for split, group in classical.items():
        verb = "is" if len(group) == 1 else "are"
        lines.append(f"On {split} targets {listed(_sized(group, 'arm'))} {verb} {relation} the classical policy.")
    return tuple(lines)


def _simpler(findings: Sequence[Finding]) -> tuple[str, ...]:
    """Write one sentence a split and simple way about the arms it beats."""
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((finding.split, finding.other), []).append(finding)
    return tuple(
        f"On {split} targets {'the classical policy' if other == CLASSICAL else other} is better than "
        f"{listed(_sized(group, 'arm', -1.0))}."
        for (split, other), group in groups.items()
    )


def _sized(findings: Iterable[Finding], side: str, sign: float = 1.0) -> list[str]:
    """Return the names on one side of comparisons, each with its differences by measure in brackets."""
    sizes: dict[str, list[str]] = {}
    for finding in findings:
        name = finding.arm if side == "arm" else finding.other
        sizes.setdefault(name, []).append(f"{finding.measure} {_difference(finding, sign)}")
    return [f"{name} ({'; '.join(parts)})" for name, parts in sizes.items()]


def _difference(finding: Finding, sign: float) -> str:
    found = finding.judgement.difference
    turned = found if sign > 0 else found.negative()
    return f"{signed(turned.value)} {interval(turned)}".rstrip()


def _protocols(
    main: Sequence[TargetView], views: Sequence[TargetView], findings: Sequence[Finding], settings: ReportSettings
) -> tuple[str, ...]:
    """Say which verdicts change with the tuning protocol, over the target episodes that both cover."""
    lines = []
    for view in views:
        twin = next((each for each in main if each.split == view.split and each is not view), None)
        if twin is None or view.span is None or twin.span is None:
            continue
        theirs = [finding for finding in findings if (finding.split, finding.tuning) == (view.split, view.tuning)]
        base = {_pair(each): each.verdict for each in _findings(replace(twin, until=view.span[1]), settings)}
        both = [finding for finding in theirs if _pair(finding) in base]
        changed = [finding for finding in both if finding.verdict != base[_pair(finding)]]
        lines.append(
            f"On {view.split} targets up to {episodes(view.span[1])} {len(both) - len(changed)} of "
            f"{plural(len(both), 'comparison')} have the same verdict with {SHORT_TUNING[twin.tuning]} and with "
            f"{SHORT_TUNING[view.tuning]}" + (f"; changed: {_changes(changed, base)}." if changed else ".")
        )
    return tuple(lines)


def _changes(changed: Sequence[Finding], base: Mapping[tuple[str, str, str], Verdict]) -> str:
    return ", ".join(
        f"{each.arm} against {each.other} by {each.measure} ({base[_pair(each)]}, then {each.verdict})"
        for each in changed
    )


def _pair(finding: Finding) -> tuple[str, str, str]:
    return finding.measure, finding.arm, finding.other
