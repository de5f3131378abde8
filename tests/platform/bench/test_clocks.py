import numpy as np
import pytest
from numba import njit

from roamrl.platform.bench.profiles.clocks import Clocks, without_clocks
from roamrl.platform.bench.profiles.stopwatch import Stopwatch, replaced


@njit
def cube(value):
    return value * value * value


@njit
def cubes(count):
    total = 0
    for value in range(count):
        if value % 2 == 0:
            total += cube(value)
    return total


@njit
def program(count, out):
    out[0] = cubes(count) + cubes(2 * count)


def test_a_clocked_program_does_the_same_and_counts_its_calls():
    clocks = Clocks(program, {"program": None, "cubes": "program", "cube": "cubes"})
    bare, clocked = np.zeros(1, np.int64), np.zeros(1, np.int64)
    program(100, bare)
    clocks.run(100, clocked)
    assert bare[0] == clocked[0] > 0
    reading = clocks.read()
    assert reading.calls == {"program": 1, "cubes": 2, "cube": 150}
    clocks.run(100, clocked)
    assert clocks.read().calls["cube"] == 300
    clocks.clear()
    assert set(clocks.read().ticks.values()) == {0.0}


def test_what_nobody_asked_for_stays_as_it_was_compiled():
    clocks = Clocks(program, {"cubes": None})
    assert clocks.run is not program
    assert Clocks(cube, {"cubes": None}).run is cube


def test_a_functions_time_is_without_the_clocks_below_it():
    parents = {"whole": None, "part": "whole", "bit": "part"}
    ticks = {"whole": 1000.0, "part": 600.0, "bit": 100.0}
    left = without_clocks({"whole": 1, "part": 2, "bit": 10}, ticks, parents, inside=2.0, whole=5.0)
    assert left == {"whole": 1000.0 - 2.0 - 5.0 * 12, "part": 600.0 - 4.0 - 5.0 * 10, "bit": 100.0 - 20.0}


class Worker:
    def work(self):
        return sum(range(1000))


def test_a_stopwatch_times_one_object_and_leaves_no_trace():
    worker, watch = Worker(), Stopwatch()
    with watch.on(worker, "work", "working"):
        assert worker.work() == worker.work() == 499_500
        Worker().work()
    worker.work()
    assert watch.calls == {"working": 2} and watch.seconds["working"] >= 0.0
    assert vars(worker) == {}


def test_what_is_replaced_comes_back_after_an_error():
    worker = Worker()
    worker.work = "own"
    with pytest.raises(ValueError), replaced(worker, "work", "other"):
        assert worker.work == "other"
        raise ValueError
    assert worker.work == "own"
