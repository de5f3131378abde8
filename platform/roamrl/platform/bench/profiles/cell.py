"""Where a step of the scalar face goes: one window of the kernel, the batch of one around it, the face."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from roamrl.envs.slicing import kernel
from roamrl.platform.bench.measure import Row, share
from roamrl.platform.bench.profiles.stopwatch import Stopwatch
from roamrl.platform.bench.profiles.window import KERNEL
from roamrl.platform.bench.suites import Effort
from roamrl.platform.bench.suites.env import random_actions
from roamrl.platform.bench.works import Work

METRIC = "share of a step of one cell"
EPISODES = 20


def cell_rows(effort: Effort, work: Work) -> list[Row]:
    """Measure each layer's share of a step, resets apart."""
    rounds = [cell_parts(work) for _ in range(effort.rounds + 1)][1:]
    whole = [sum(one.values()) for one in rounds]
    step_s = float(np.median(whole))
    rows = []
    for name in rounds[0]:
        values = [one[name] / total for one, total in zip(rounds, whole, strict=True)]
        notes = {"calls": 1, "nanoseconds": 1e9 * step_s * float(np.median(values))}
        rows.append(share(values, work=work.name, metric=METRIC, variant=name, whole_s=step_s, notes=notes))
    return rows


def cell_parts(work: Work) -> dict[str, float]:
    """Return wall seconds a step in each layer, over some episodes."""
    cell: Any = work.family.make(work.task)
    watch, steps = Stopwatch(time.perf_counter), 0
    rng = np.random.default_rng(0)
    try:
        for _ in range(EPISODES):
            cell.reset()
            actions = random_actions(work, work.family.episode_steps(work.task.config), rng)
            with (
                watch.on(cell, "step", "face"),
                watch.on(cell.batched, "step", "batch"),
                watch.on(kernel, KERNEL, "kernel"),
            ):
                for action in actions:
                    cell.step(action)
            steps += len(actions)
    finally:
        cell.close()
    seconds = watch.seconds
    return {
        "the kernel's call, one window": seconds["kernel"] / steps,
        "a batch of one: Python, NumPy": (seconds["batch"] - seconds["kernel"]) / steps,
        "the scalar face": (seconds["face"] - seconds["batch"]) / steps,
    }
