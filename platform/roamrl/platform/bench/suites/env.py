"""Environments alone: a native batch against the same cells stepped one at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from roamrl.platform.bench.measure import Contender, Row, alone, compare, interleave
from roamrl.platform.bench.suites import Effort
from roamrl.platform.bench.works import Work, family_work

CELLS = 256
STEPS = 20
METRIC = "env steps/s/core"
BUSY = {"users": [12.0, 12.0, 12.0]}
"""Context of ``slicing-v1`` with twelve users a slice."""


class BatchSteps:
    """Steps a native batch at random actions."""

    def __init__(self, name: str, work: Work, cells: int = CELLS) -> None:
        self.name = name
        self._env: Any = work.cells(cells)
        self._env.reset()
        rng = np.random.default_rng(0)
        self._actions: list[NDArray[Any]] = [random_actions(work, cells, rng) for _ in range(STEPS)]

    def run(self) -> int:
        """Make twenty steps."""
        for actions in self._actions:
            self._env.step(actions)
        return STEPS * int(self._env.num_envs)

    def close(self) -> None:
        """Close the batch."""
        self._env.close()


class CellSteps:
    """Steps one cell at random actions."""

    def __init__(self, name: str, work: Work) -> None:
        self.name = name
        self._env: Any = work.family.make(work.task)
        self._env.reset()
        self._actions = random_actions(work, CELLS, np.random.default_rng(0))

    def run(self) -> int:
        """Make 256 steps."""
        for action in self._actions:
            _, _, terminated, truncated, _ = self._env.step(action)
            if terminated or truncated:
                self._env.reset()
        return len(self._actions)

    def close(self) -> None:
        """Close the cell."""
        self._env.close()


def random_actions(work: Work, count: int, rng: np.random.Generator) -> NDArray[Any]:
    """Draw one action for each of some cells."""
    space = work.action_space
    if isinstance(space, spaces.MultiBinary):
        return rng.integers(2, size=(count, *space.shape), dtype=np.int8)
    if hasattr(space, "n"):
        return rng.integers(int(space.n), size=count)
    return rng.uniform(-1.0, 1.0, (count, *(space.shape or ())))


def env_suite(effort: Effort) -> Sequence[Row]:
    """Measure the family's default cell, and for ``slicing-v1`` one with twelve users a slice, and where time goes."""
    from roamrl.platform.bench.suites.parts import parts_rows

    works = [(family_work(effort.family), 100_000.0)]
    if effort.family == "slicing-v1":
        works.append((family_work(effort.family, BUSY, "slicing-12"), 70_000.0))
    rows: list[Row] = []
    for work, least in works:
        effort.say(f"environment: {work.name}, {CELLS} cells against one")
        contenders: list[Contender] = [BatchSteps("batch-256", work), CellSteps("one-cell", work)]
        samples = interleave(contenders, effort.rounds, effort.seconds)
        target = least if effort.family == "slicing-v1" else None
        rows.append(alone(samples["batch-256"], work=work.name, metric=METRIC, variant="batch-256", target=target))
        rows.append(
            compare(samples, "batch-256", "one-cell", work=work.name, metric=METRIC, variant="batch-256", target=50.0)
        )
        for contender in contenders:
            contender.close()
        if effort.family == "slicing-v1":
            rows += parts_rows(effort, work)
    return rows
