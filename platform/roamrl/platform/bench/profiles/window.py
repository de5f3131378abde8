"""Where a window of ``slicing-v1`` goes, by function of the kernel."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from roamrl.envs.errors import InputError
from roamrl.envs.slicing import kernel, lanes
from roamrl.envs.slicing.env import SlicingEnv
from roamrl.platform.bench.measure import Row, share
from roamrl.platform.bench.profiles.clocks import Clocks, Reading
from roamrl.platform.bench.profiles.stopwatch import Stopwatch, replaced
from roamrl.platform.bench.suites import Effort
from roamrl.platform.bench.works import Work

CELLS = 256
STEPS = 20
TRIES = 10
"""How often a round plays its windows, where others have the processor too, to have twenty undisturbed steps."""

METRIC = "share of a window"
EVENTS = "events a window"
KERNEL = "step_cells"

PARENTS: Mapping[str, str | None] = {
    "step_cells": None,
    "draw_window": "step_cells",
    "_come_and_go": "draw_window",
    "_move_radio": "draw_window",
    "_draw_packets": "draw_window",
    "serve_window": "step_cells",
    "_open": "serve_window",
    "_round_robin": "serve_window",
    "_begin_period": "_round_robin",
    "_who_is_busy": "_round_robin",
    "_take_turn": "_round_robin",
    "_serve_user": "_take_turn",
    "_close": "serve_window",
    "_look": "step_cells",
    "_reward": "step_cells",
    "_measure": "step_cells",
}
"""The kernel's functions and who calls them."""

PARTS: Mapping[str, tuple[str, ...]] = {
    "draws: users come and go": ("_come_and_go",),
    "draws: radio of a user": ("_move_radio",),
    "draws: packets of a user": ("_draw_packets",),
    "draws: bursts, sums": ("draw_window",),
    "service: open the queues": ("_open",),
    "service: speeds, each 5 ms": ("_begin_period",),
    "service: who is busy": ("_who_is_busy",),
    "service: turns": ("_take_turn",),
    "service: packets end or come": ("_serve_user",),
    "service: loop over turns": ("_round_robin", "serve_window"),
    "service: close the queues": ("_close",),
    "observation, reward, measures": ("_look", "_reward", "_measure"),
    "loop over cells": ("step_cells",),
}
"""What rows call them. The first one named is the one whose calls are told."""

PYTHON = "Python, NumPy"

TOGETHER = (
    ("draw_window", "_come_and_go", "serve_window", "_open", "_round_robin", "_close", "_look", "_reward", "_measure"),
    ("_move_radio", "_draw_packets"),
    ("_begin_period", "_who_is_busy"),
    ("_take_turn",),
    ("_serve_user",),
)
"""Functions that are clocked in one and the same program. Those that are called most have one to themselves, so that
what their clocks cost stands in nobody else's time."""


@dataclass(frozen=True)
class Round:
    """What one round measured.

    Attributes:
        step_s: Processor seconds of a step of the environment, by window.
        kernel_s: Of these in the kernel.
        shares: Share of the kernel's time in each function and what it calls, by name.
        calls: Calls a window.
    """

    step_s: float
    kernel_s: float
    shares: Mapping[str, float]
    calls: Mapping[str, float]

    def own(self) -> dict[str, float]:
        """Return the share of a step's time in each part of :data:`PARTS` itself, and in Python."""
        alone = dict(self.shares)
        for name, parent in PARENTS.items():
            if parent is not None:
                alone[parent] -= self.shares[name]
        compiled = min(self.kernel_s / self.step_s, 1.0)
        parts = {part: compiled * sum(alone[name] for name in names) for part, names in PARTS.items()}
        return {**parts, PYTHON: 1.0 - compiled}


class Stage:
    """Cells in the midst of their episodes, whose next twenty windows are played again and again."""

    def __init__(self, work: Work) -> None:
        env = work.cells(CELLS)
        assert isinstance(env, SlicingEnv)
        rng = np.random.default_rng(0)
        env.reset()
        for _ in range(STEPS):
            env.step(rng.integers(len(env.allocations), size=CELLS))
        self._env, self._begun = env, env.get_state()
        self._actions = rng.integers(len(env.allocations), size=(STEPS, CELLS))
        self.windows = STEPS * CELLS

    def play(self, program: Any = kernel.step_cells) -> tuple[float, float]:
        """Play the windows with a form of the kernel; return processor seconds of the steps, and in the kernel."""
        self._env.set_state(self._begun)
        watch = Stopwatch()
        with replaced(kernel, KERNEL, watch.around(KERNEL, program)):
            begun = time.process_time()
            for actions in self._actions:
                self._env.step(actions)
            return time.process_time() - begun, watch.seconds[KERNEL]

    def read(self, clocks: Clocks) -> tuple[Reading, int]:
        """Play the windows with clocks; return what they show in a number of undisturbed windows, and that number."""
        clocks.clear()
        kept: list[bool] = []
        with replaced(kernel, KERNEL, lambda *arguments: kept.append(clocks.run_undisturbed(*arguments))):
            for _ in range(TRIES):
                self._env.set_state(self._begun)
                for actions in self._actions:
                    self._env.step(actions)
                if sum(kept) >= STEPS:
                    return clocks.read(), sum(kept) * CELLS
        if not any(kept):
            raise InputError("others have the processor all the time; measure again when the machine is less busy")
        return clocks.read(), sum(kept) * CELLS

    def packets(self) -> dict[str, float]:
        """Return the packets delivered and dropped in a window, and those waiting at its end."""
        self._env.set_state(self._begun)
        total = np.zeros(lanes.MEASURED)
        for actions in self._actions:
            self._env.step(actions)
            total += self._env.outcome.sum(axis=(0, 1))
        columns = {"delivered": lanes.DELIVERED, "dropped": lanes.DROPPED, "waiting at its end": lanes.WAITING}
        return {f"packets {name}": float(total[column]) / self.windows for name, column in columns.items()}


def clock_programs() -> list[Clocks]:
    """Compile the kernel once for each group of :data:`TOGETHER`; with nothing else to do it takes half a minute."""
    return [Clocks(kernel.step_cells, _chain(group)) for group in TOGETHER]


def _chain(group: Sequence[str]) -> dict[str, str | None]:
    """Return the functions of a group and the kernel, each with the one of them that is nearest above it."""
    chain: dict[str, str | None] = {KERNEL: None}
    for name in group:
        above = PARENTS[name]
        while above is not None and above != KERNEL and above not in group:
            above = PARENTS[above]
        chain[name] = above
    return chain


def measure_round(stage: Stage, programs: Sequence[Clocks]) -> Round:
    """Let everybody play once."""
    step_s, kernel_s = stage.play()
    shares: dict[str, float] = {}
    calls: dict[str, float] = {}
    for clocks in programs:
        reading, windows = stage.read(clocks)
        for name, ticks in reading.ticks.items():
            shares[name] = ticks / reading.ticks[KERNEL]
            calls[name] = reading.calls[name] / windows
    return Round(step_s / stage.windows, kernel_s / stage.windows, shares, calls)


def window_rows(effort: Effort, work: Work, programs: Sequence[Clocks]) -> list[Row]:
    """Measure each part's share of a step of the environment, by window, and what happens in a window."""
    stage = Stage(work)
    for clocks in programs:
        stage.play(clocks.run)
    rounds = [measure_round(stage, programs) for _ in range(effort.rounds)]
    step_s = float(np.median([one.step_s for one in rounds]))
    rows = []
    for part in (*PARTS, PYTHON):
        shares = [one.own()[part] for one in rounds]
        calls = rounds[0].calls[PARTS[part][0]] if part in PARTS else 1.0 / CELLS
        notes = {"calls": calls, "nanoseconds": 1e9 * step_s * float(np.median(shares)) / calls}
        rows.append(share(shares, work=work.name, metric=METRIC, variant=part, whole_s=step_s, notes=notes))
    events = {"slots or longer turns served": rounds[0].calls["_take_turn"], **stage.packets()}
    return rows + [Row(work=work.name, metric=EVENTS, variant=name, value=value) for name, value in events.items()]
