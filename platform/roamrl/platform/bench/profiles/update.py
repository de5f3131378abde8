"""Where an update goes, by operator of torch: the table of ``torch.profiler``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch.profiler import ProfilerActivity, profile, record_function

from roamrl.platform.bench.measure import Row, share, timed
from roamrl.platform.bench.population import PLAIN, learner
from roamrl.platform.bench.suites import Effort
from roamrl.platform.bench.suites.update import ENVS, LENGTH, MEMBERS, Update, noise_rollout
from roamrl.platform.bench.works import toy_work

METRIC = "share of an update"
LISTED = 12
"""Operators in the table; the rest is one row."""

OUTSIDE = "Python, between operators"
COMPILED = "the compiled program itself"
_WHOLE = "update"

Operators = Mapping[str, tuple[float, int]]
"""Processor seconds in an operator itself, and its calls, by name."""


def profile_update(update: Update) -> Operators:
    """Profile one update; :data:`OUTSIDE` is what belongs to no operator."""
    with profile(activities=[ProfilerActivity.CPU]) as table, record_function(_WHOLE):
        update.run()
    events: Any = table.key_averages()
    operators: dict[str, tuple[float, int]] = {}
    for event in events:
        name = _named(event.key)
        seconds, calls = operators.get(name, (0.0, 0))
        operators[name] = (seconds + 1e-6 * event.self_cpu_time_total, calls + event.count)
    return operators


def _named(key: str) -> str:
    if key == _WHOLE:
        return OUTSIDE
    return COMPILED if "CompiledFxGraph" in key else key  # that one has a hash in its name


def operator_shares(rounds: Sequence[Operators]) -> dict[str, list[float]]:
    """Return each operator's share in every round, the largest median first; those beyond twelve are one entry."""
    names = list(dict.fromkeys(name for one in rounds for name in one))
    whole = [sum(seconds for seconds, _ in one.values()) for one in rounds]
    shares = {
        name: [one.get(name, (0.0, 0))[0] / total for one, total in zip(rounds, whole, strict=True)] for name in names
    }
    order = sorted((name for name in names if name != OUTSIDE), key=lambda name: -float(np.median(shares[name])))
    listed = {name: shares[name] for name in order[:LISTED]}
    rest = [sum(shares[name][number] for name in order[LISTED:]) for number in range(len(rounds))]
    return {**listed, f"{len(order) - len(listed)} others": rest, OUTSIDE: shares[OUTSIDE]}


def update_profile_rows(effort: Effort) -> list[Row]:
    """Profile updates of 16 members on the toy, plain and (unless quick) compiled."""
    work = toy_work()
    rollout = noise_rollout(work, MEMBERS, ENVS, LENGTH)
    rows = []
    for variant, compiled in (("plain", False), ("compiled", True)):
        if compiled and effort.quick:
            continue
        effort.say(f"profile: an update, {variant}")
        spec = learner(work, MEMBERS, ENVS, LENGTH, model=PLAIN, compiled=compiled)
        update = Update(variant, spec, rollout)
        update.run()
        profile_update(update)
        rounds, bare = [], []
        for _ in range(effort.rounds):
            bare.append(timed(update.run).cpu_s)
            rounds.append(profile_update(update))
        rows += _rows(f"{work.name}, {variant}", rounds, float(np.median(bare)))
    return rows


def _rows(work: str, rounds: Sequence[Operators], bare_s: float) -> list[Row]:
    """Make the rows of one table; an update takes ``bare_s`` without the profiler."""
    profiled_s = float(np.median([sum(seconds for seconds, _ in one.values()) for one in rounds]))
    rows = []
    for name, values in operator_shares(rounds).items():
        notes: dict[str, Any] = {"profiled_over_bare": profiled_s / bare_s}
        if name in rounds[0] and name != OUTSIDE:
            calls = rounds[0][name][1]
            notes |= {"calls": calls, "nanoseconds": 1e9 * bare_s * float(np.median(values)) / calls}
        rows.append(share(values, work=work, metric=METRIC, variant=name, whole_s=bare_s, notes=notes))
    return rows
