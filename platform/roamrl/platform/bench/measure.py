"""Timing contenders against each other: A B A B .., and what comes of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import numpy as np


class Contender(Protocol):
    """Somebody who does a piece of work again and again.

    Attributes:
        name: What it is called in rows.
    """

    name: str

    def run(self) -> int:
        """Do one piece of work; return how many units it was (environment steps, rows, ..)."""

    def close(self) -> None:
        """Give back what it holds."""


@dataclass(frozen=True)
class Sample:
    """One piece of work, timed.

    Attributes:
        units: Units of work done.
        wall_s: Seconds by the clock.
        cpu_s: Processor seconds of this process, all threads.
    """

    units: int
    wall_s: float
    cpu_s: float

    @property
    def rate(self) -> float:
        """Units a second and core."""
        return self.units / max(self.cpu_s, 1e-9)

    @property
    def wall_rate(self) -> float:
        """Units a second by the clock."""
        return self.units / max(self.wall_s, 1e-9)


@dataclass(frozen=True)
class Row:
    """A line of the result.

    Attributes:
        work: What was done: ``toy``, ``slicing``, ``experts-64``, ..
        metric: What was measured, with its unit.
        variant: Which form of ours.
        peer: Whom it is compared with; empty where there is none.
        value: Ours, the median over the rounds.
        peer_value: The peer's.
        ratio_median: Ours over the peer's where more is better, the peer's over ours where less is (so that more than
            1 is always in our favour): median over the rounds.
        ratio_min: Least over the rounds.
        ratio_max: Largest over the rounds.
        rounds: Rounds measured.
        wall_s: Our wall seconds for a round, median.
        cpu_s: Our processor seconds for a round, median.
        target: What ``ratio_median``, or ``value`` where there is no peer, should reach; None where nothing is asked.
        at_most: Whether the target is an upper bound.
        notes: What else is worth knowing, by name.
    """

    work: str
    metric: str
    variant: str
    value: float
    peer: str = ""
    peer_value: float | None = None
    ratio_median: float | None = None
    ratio_min: float | None = None
    ratio_max: float | None = None
    rounds: int = 1
    wall_s: float | None = None
    cpu_s: float | None = None
    target: float | None = None
    at_most: bool = False
    notes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def met(self) -> bool | None:
        """Whether the target is reached; None without one."""
        if self.target is None:
            return None
        reached = self.value if self.ratio_median is None else self.ratio_median
        return reached <= self.target if self.at_most else reached >= self.target

    def to_json(self) -> dict[str, Any]:
        """Return the row as plain data, with ``met``."""
        return {**asdict(self), "notes": dict(self.notes), "met": self.met}


def timed(run: Callable[[], int]) -> Sample:
    """Do one piece of work and time it."""
    wall, cpu = time.perf_counter(), time.process_time()
    units = run()
    return Sample(units, time.perf_counter() - wall, time.process_time() - cpu)


def interleave(
    contenders: Sequence[Contender], rounds: int, seconds: float = 0.0, warmups: int = 1
) -> dict[str, list[Sample]]:
    """Time contenders in turn: all of them once, ``rounds`` times, after runs that are not counted.

    Args:
        contenders: Who competes.
        rounds: How often everybody's turn comes.
        seconds: Least processor time of a turn; runs are repeated until it is spent, so that a short piece of work
            meets the same weather as a long one.
        warmups: Runs before the first round.
    """
    for contender in contenders:
        for _ in range(warmups):
            contender.run()
    samples: dict[str, list[Sample]] = {contender.name: [] for contender in contenders}
    for _ in range(rounds):
        for contender in contenders:
            samples[contender.name].append(_turn(contender, seconds))
    return samples


def _turn(contender: Contender, seconds: float) -> Sample:
    units, wall, cpu = 0, 0.0, 0.0
    while True:
        sample = timed(contender.run)
        units, wall, cpu = units + sample.units, wall + sample.wall_s, cpu + sample.cpu_s
        if cpu >= seconds:
            return Sample(units, wall, cpu)


def compare(
    samples: Mapping[str, Sequence[Sample]],
    ours: str,
    peer: str,
    *,
    work: str,
    metric: str,
    variant: str,
    target: float | None = None,
    notes: Mapping[str, Any] | None = None,
) -> Row:
    """Make the row of one pair from interleaved samples: rates and their ratio, round by round."""
    own, other = samples[ours], samples[peer]
    ratios = np.array([a.rate / b.rate for a, b in zip(own, other, strict=True)])
    return Row(
        work=work,
        metric=metric,
        variant=variant,
        value=float(np.median([sample.rate for sample in own])),
        peer=peer,
        peer_value=float(np.median([sample.rate for sample in other])),
        ratio_median=float(np.median(ratios)),
        ratio_min=float(ratios.min()),
        ratio_max=float(ratios.max()),
        rounds=len(own),
        wall_s=float(np.median([sample.wall_s for sample in own])),
        cpu_s=float(np.median([sample.cpu_s for sample in own])),
        target=target,
        notes=notes or {},
    )


def alone(
    samples: Sequence[Sample],
    *,
    wall: bool = False,
    work: str,
    metric: str,
    variant: str,
    target: float | None = None,
    notes: Mapping[str, Any] | None = None,
) -> Row:
    """Make the row of one contender without a peer; with ``wall`` its rate is by the clock, whatever the processors."""
    rates = [sample.wall_rate if wall else sample.rate for sample in samples]
    spread = {"least": float(min(rates)), "most": float(max(rates))}
    return Row(
        work=work,
        metric=metric,
        variant=variant,
        value=float(np.median(rates)),
        rounds=len(samples),
        wall_s=float(np.median([sample.wall_s for sample in samples])),
        cpu_s=float(np.median([sample.cpu_s for sample in samples])),
        target=target,
        notes={**spread, **(notes or {})},
    )


def share(
    values: Sequence[float],
    *,
    work: str,
    metric: str,
    variant: str,
    whole_s: float,
    notes: Mapping[str, Any] | None = None,
) -> Row:
    """Make the row of a part's share of a whole, 0..1, from its share in each round; the whole takes ``whole_s``."""
    spread = {"least": float(min(values)), "most": float(max(values))}
    return Row(
        work=work,
        metric=metric,
        variant=variant,
        value=float(np.median(values)),
        rounds=len(values),
        notes={**spread, "whole_s": whole_s, **(notes or {})},
    )
