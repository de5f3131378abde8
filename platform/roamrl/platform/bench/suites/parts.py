"""Where the time of a window of ``slicing-v1`` goes: what a window brings, its service, and the rest of a step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from roamrl.envs.compiled import compiled
from roamrl.envs.radio.fading import FADING_SLOTS
from roamrl.envs.slicing import kernel, lanes
from roamrl.envs.slicing.env import SlicingEnv
from roamrl.platform.bench.measure import Contender, Row, interleave, share
from roamrl.platform.bench.suites import Effort
from roamrl.platform.bench.suites.env import CELLS, STEPS, BatchSteps
from roamrl.platform.bench.works import Work

METRIC = "share of a step's time"


@compiled
def _draw(number, window_ms, table, traces, users, window):  # type: ignore[no-untyped-def]
    """Draw window ``number`` of every lane; parameters are [N, K, PARAMETERS]."""
    slices = table.shape[1]
    start = number * window_ms
    for row in range(len(table)):
        for k in range(slices):
            kernel.draw_window(users, row * slices + k, table[row, k], traces, start, start + window_ms, window)


@compiled
def _draw_and_serve(number, window_ms, table, traces, users, window, queues, shares, out):  # type: ignore[no-untyped-def]
    """Draw window ``number`` of every lane and serve it at the shares [N, K]."""
    slices = table.shape[1]
    start = number * window_ms
    for row in range(len(table)):
        for k in range(slices):
            lane, p = row * slices + k, table[row, k]
            kernel.draw_window(users, lane, p, traces, start, start + window_ms, window)
            kernel.serve_window(queues, lane, p, shares[row, k], start, start + window_ms, window, out)


@compiled
def _copy(source, target):  # type: ignore[no-untyped-def]
    for lane in range(len(source.turn)):
        kernel.copy_queue(source, lane, target, lane)


class Windows:
    """Plays twenty windows of the same episodes again and again, without an environment around them."""

    def __init__(self, name: str, work: Work, *, serve: bool) -> None:
        env = work.cells(CELLS)
        assert isinstance(env, SlicingEnv)
        choices = np.random.default_rng(0).integers(len(env.allocations), size=(STEPS, CELLS))
        env.reset()
        for choice in choices:  # into the midst of an episode
            env.step(choice)
        self.name = name
        self._serve = serve
        self._begun = lanes.Users(*(array.copy() for array in env.users))
        self._queued = lanes.Queues(*(array.copy() for array in env.queues))
        self._first = int(env.users.lanes["window"][0])
        self._users, self._queues, self._window_ms = env.users, env.queues, env.window_ms
        self._table, self._traces = env.parameters, env.traces
        periods = env.config.window_slots // FADING_SLOTS
        self._window = lanes.make_window(env.config.user_slots, env.packets, periods)
        self._shares = env.allocations[choices]
        self._out = np.zeros(lanes.MEASURED)

    def run(self) -> int:
        """Play twenty windows."""
        for array, begun in zip(self._users, self._begun, strict=True):
            array[...] = begun
        _copy(self._queued, self._queues)
        common = (self._window_ms, self._table, self._traces, self._users, self._window)
        for step in range(STEPS):
            if self._serve:
                _draw_and_serve(self._first + step, *common, self._queues, self._shares[step], self._out)
            else:
                _draw(self._first + step, *common)
        return STEPS * CELLS

    def close(self) -> None:
        """Hold nothing."""


def parts_rows(effort: Effort, work: Work) -> Sequence[Row]:
    """Measure draws alone, draws with service, and whole steps, in turns."""
    contenders: list[Contender] = [
        BatchSteps("step", work),
        Windows("served", work, serve=True),
        Windows("drawn", work, serve=False),
    ]
    samples = interleave(contenders, effort.rounds, effort.seconds)

    def part_of(of: str, less: str | None) -> list[float]:
        def seconds(name: str | None) -> list[float]:
            return [1.0 / sample.rate for sample in samples[name]] if name else [0.0] * effort.rounds

        return [(a - b) / c for a, b, c in zip(seconds(of), seconds(less), seconds("step"), strict=True)]

    parts = {
        "users, traffic and radio": part_of("drawn", None),
        "service of the queues": part_of("served", "drawn"),
        "reward, observation, Python": part_of("step", "served"),
    }
    whole_s = float(np.median([1.0 / sample.rate for sample in samples["step"]]))
    return [
        share(values, work=work.name, metric=METRIC, variant=part, whole_s=whole_s) for part, values in parts.items()
    ]
