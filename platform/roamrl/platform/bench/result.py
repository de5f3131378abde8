"""The result of a benchmark: rows, and what they were measured on."""

from __future__ import annotations

import os
import resource
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from roamrl.platform.bench.measure import Row
from roamrl.platform.study.provenance import command, machine, package_versions, source_commit


@dataclass(frozen=True)
class Benchmark:
    """Everything a run of ``roamrl bench`` found.

    Attributes:
        rows: What was measured.
        wall_s: How long it took.
        load: The machine's load average (5 minutes) at the end: above its cores, others were at work.
    """

    rows: Sequence[Row]
    wall_s: float
    load: float

    @classmethod
    def of(cls, rows: Sequence[Row], wall_s: float) -> Benchmark:
        """Note the load beside the rows."""
        return cls(rows, wall_s, os.getloadavg()[1])

    def to_json(self) -> dict[str, Any]:
        """Return plain data: ``rows``, ``machine``, ``versions``, ``commit``, ``command``, ``date``, .."""
        return {
            "rows": [row.to_json() for row in self.rows],
            "machine": machine(),
            "versions": package_versions(),
            "commit": source_commit(),
            "command": command(),
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "wall_s": self.wall_s,
            "load": self.load,
            "peak_memory_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        }
