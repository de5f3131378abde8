"""What the policies nobody trained are worth, exactly: under the wrong traffic, and on the published splits.

``python -m roamrl.envs.urllc.table`` prints both. All numbers are from the chains' stationary distributions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from roamrl.envs.canonical import JSON
from roamrl.envs.family import get_family
from roamrl.envs.urllc.arrival_law import batches, poisson
from roamrl.envs.urllc.chain import LongRun
from roamrl.envs.urllc.context import HIGH_LOAD, NOMINAL_LOAD
from roamrl.envs.urllc.references import StationaryPolicy

TRAFFIC: Final[Mapping[str, Mapping[str, JSON]]] = {
    f"Poisson {NOMINAL_LOAD:g} (nominal)": poisson(NOMINAL_LOAD),
    f"Poisson {HIGH_LOAD:g} (2.5 x load)": poisson(HIGH_LOAD),
    f"batches {NOMINAL_LOAD:g} (bursts)": batches(NOMINAL_LOAD),
}


@dataclass(frozen=True)
class TrafficRow:
    """A policy under some traffic.

    Attributes:
        traffic: The traffic.
        policy: ``oracle`` (optimal for this traffic), ``nominal`` or ``mixture`` (optimal for those).
        result: What it gives in the long run.
        power_ratio: Its power over the oracle's.
        violation_ratio: Its violation rate over the oracle's.
    """

    traffic: str
    policy: str
    result: LongRun
    power_ratio: float
    violation_ratio: float


@dataclass(frozen=True)
class SplitRow:
    """A reference on a published split.

    Attributes:
        split: The split.
        policy: Name of the reference.
        score: Mean over tasks of (J - J_trivial) / (J_oracle - J_trivial).
        power: Mean power.
        violation_rate: Mean violation rate.
    """

    split: str
    policy: str
    score: float
    power: float
    violation_rate: float


def traffic_table(context: Mapping[str, JSON] | None = None) -> list[TrafficRow]:
    """Return the policies that are optimal for some traffic under every traffic.

    Args:
        context: Context besides the arrivals.
    """
    family, policies = get_family("urllc-v1"), _policies()
    rows = []
    for name, arrivals in TRAFFIC.items():
        task = family.task({**(context or {}), "arrivals": arrivals})
        best = policies["oracle"].long_run(task)
        for policy in ("oracle", "nominal", "mixture"):
            got = policies[policy].long_run(task)
            power_ratio, violation_ratio = got.power / best.power, got.violation_rate / best.violation_rate
            rows.append(TrafficRow(name, policy, got, power_ratio, violation_ratio))
    return rows


def split_table() -> list[SplitRow]:
    """Return every reference on every published split."""
    family, policies = get_family("urllc-v1"), _policies()
    rows = []
    for name, split in family.splits(family.config()).items():
        results = {policy: [reference.long_run(task) for task in split] for policy, reference in policies.items()}
        rewards = {policy: np.array([result.reward for result in got]) for policy, got in results.items()}
        trivial, gap = rewards["constant"], rewards["oracle"] - rewards["constant"]
        rows += [
            SplitRow(
                name,
                policy,
                float(((rewards[policy] - trivial) / gap).mean()),
                float(np.mean([result.power for result in got])),
                float(np.mean([result.violation_rate for result in got])),
            )
            for policy, got in results.items()
        ]
    return rows


def _policies() -> dict[str, StationaryPolicy]:
    family = get_family("urllc-v1")
    offered = family.references(family.config()).items()
    return {name: reference for name, reference in offered if isinstance(reference, StationaryPolicy)}


def main() -> None:
    """Print both tables."""
    print(f"{'traffic':<25}{'policy':<9}{'reward':>9}{'power':>8}{'violations':>12}{'power x':>8}{'viol. x':>8}")
    for row in traffic_table():
        got = row.result
        print(
            f"{row.traffic:<25}{row.policy:<9}{got.reward:>9.4f}{got.power:>8.4f}{got.violation_rate:>12.2e}"
            f"{row.power_ratio:>8.2f}{row.violation_ratio:>8.2f}"
        )
    print(f"\n{'split':<25}{'policy':<9}{'score':>9}{'power':>8}{'violations':>12}")
    for entry in split_table():
        print(f"{entry.split:<25}{entry.policy:<9}{entry.score:>9.3f}{entry.power:>8.4f}{entry.violation_rate:>12.2e}")


if __name__ == "__main__":
    main()
