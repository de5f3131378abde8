"""Clocks in compiled code: how often chosen functions are called, and how many ticks of the processor they take.

Compiled functions call each other directly, so nothing outside sees them, and a sampling profiler sees one function
where small ones were inlined. Here a function is compiled once more from the same source, with a pair of readings of
the processor's counter around the calls that are asked for. What is measured is therefore always the code that runs.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import FunctionType
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, types
from numba.core import cgutils
from numba.core.dispatcher import Dispatcher
from numba.extending import intrinsic

UNDISTURBED = 1.01
"""Wall time over processor time up to which a run counts as undisturbed."""

_WORD = ir.IntType(64)
_njit: Any = njit
_code: Any = cgutils


def _read_counter(typing_context: Any) -> Any:

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        read = _code.get_or_insert_function(builder.module, ir.FunctionType(_WORD, []), "llvm.readcyclecounter")
        return builder.call(read, [])

    return types.int64(), generate


_ticks: Any = intrinsic(_read_counter)
"""Compiled: returns the processor's counter."""


def _counter(address: int) -> Any:
    """Return a compiled function that adds ticks, and one call, to the two words at an address."""

    def note(typing_context: Any, ticks: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            for offset, amount in ((0, arguments[0]), (8, ir.Constant(_WORD, 1))):
                place = builder.inttoptr(ir.Constant(_WORD, address + offset), _WORD.as_pointer())
                builder.store(builder.add(builder.load(place), amount), place)
            return context.get_dummy_value()

        return types.void(types.int64), generate

    return intrinsic(note)


@dataclass(frozen=True)
class Reading:
    """What the clocks of some functions showed, each by the function's name.

    Attributes:
        calls: Calls.
        ticks: Ticks of the processor's counter in the function and in what it calls, less what the clocks cost.
    """

    calls: Mapping[str, int]
    ticks: Mapping[str, float]


class Clocks:
    """Clocks for some functions of a compiled program.

    Attributes:
        run: The program, compiled with the clocks.

    Args:
        program: A compiled function.
        parents: Names of the functions to clock, each with the clocked function nearest above it; the outermost has
            none. A clock costs as much as a small function: clock few at once, or those that are seldom called.
    """

    def __init__(self, program: Any, parents: Mapping[str, str | None]) -> None:
        self._parents = dict(parents)
        self._words = np.zeros((len(parents), 2), np.int64)
        first, step = self._words.ctypes.data, self._words.strides[0]
        self._notes = {name: _counter(first + number * step) for number, name in enumerate(parents)}
        self._known: dict[int, Any] = {}
        self._cost = _cost_of_a_clock()
        self.run: Any = self._rebuilt(program)

    def clear(self) -> None:
        """Set all clocks to nought."""
        self._words[:] = 0

    def run_undisturbed(self, *arguments: Any) -> bool:
        """Run the program; if another process had the processor meanwhile, forget what the clocks showed.

        The processor's counter goes on while others run. Returns whether the clocks have counted this run.
        """
        before = self._words.copy()
        wall, own = time.perf_counter(), time.thread_time()
        self.run(*arguments)
        own = time.thread_time() - own
        kept = time.perf_counter() - wall <= UNDISTURBED * own
        if not kept:
            self._words[:] = before
        return kept

    def read(self) -> Reading:
        """Return what the clocks have shown since they were cleared."""
        calls = {name: int(words[1]) for name, words in zip(self._parents, self._words, strict=True)}
        ticks = {name: float(words[0]) for name, words in zip(self._parents, self._words, strict=True)}
        return Reading(calls, without_clocks(calls, ticks, self._parents, *self._cost))

    def _rebuilt(self, function: Any) -> Any:
        """Return a function with clocks in it and in what it calls; as it is where there is nothing to clock."""
        if id(function) not in self._known:
            self._known[id(function)] = self._build(function)
        return self._known[id(function)]

    def _build(self, function: Any) -> Any:
        source = function.py_func
        called = {name: source.__globals__[name] for name in source.__code__.co_names if name in source.__globals__}
        inner = {name: self._rebuilt(one) for name, one in called.items() if isinstance(one, Dispatcher)}
        made = function
        if any(inner[name] is not called[name] for name in inner):
            same = FunctionType(source.__code__, {**source.__globals__, **inner}, source.__name__)
            made = _njit(**_options(function))(same)
        return self._clocked(made, source) if source.__name__ in self._notes else made

    def _clocked(self, function: Any, source: Any) -> Any:
        names = ", ".join(inspect.signature(source).parameters)
        text = (
            f"def {source.__name__}_clocked({names}):\n"
            "    begun = ticks()\n"
            f"    answer = function({names})\n"
            "    note(ticks() - begun)\n"
            "    return answer\n"
        )
        place: dict[str, Any] = {"ticks": _ticks, "function": function, "note": self._notes[source.__name__]}
        exec(text, place)  # as many arguments as the function has: a tuple of them would cost more than the clock
        return _njit(**{**_options(function), "inline": "always"})(place[f"{source.__name__}_clocked"])


def without_clocks(
    calls: Mapping[str, int],
    ticks: Mapping[str, float],
    parents: Mapping[str, str | None],
    inside: float,
    whole: float,
) -> dict[str, float]:
    """Return each function's ticks less those of its own clock and of the clocks in what it calls.

    Args:
        calls: Calls of each function.
        ticks: Ticks between the readings at its begin and end.
        parents: The clocked function that calls it; None for the outermost.
        inside: Ticks that a clock shows around nothing.
        whole: Ticks that a clock costs.
    """
    left = {name: ticks[name] - inside * calls[name] for name in parents}
    for name in parents:
        above = parents[name]
        while above is not None:
            left[above] -= whole * calls[name]
            above = parents[above]
    return left


def _options(function: Any) -> dict[str, Any]:
    """Return how a function was compiled; the copy is not kept on disk, where it would stand in for the original."""
    return {key: value for key, value in function.targetoptions.items() if key not in ("nopython", "cache")}


def _cost_of_a_clock() -> tuple[float, float]:
    """Return the ticks that a clock shows around nothing, and those that it costs; least of several tries."""
    words = np.zeros(2, np.int64)
    note = _counter(words.ctypes.data)

    def clocked(count):  # type: ignore[no-untyped-def]
        begun = _ticks()
        for _ in range(count):
            inner = _ticks()
            note(_ticks() - inner)
        return _ticks() - begun

    beat = _njit(clocked)
    count = 20_000
    beat(1)
    shown, cost = [], []
    for _ in range(9):
        words[:] = 0
        cost.append(beat(count) / count)
        shown.append(float(words[0]) / count)
    return min(shown), min(cost)
