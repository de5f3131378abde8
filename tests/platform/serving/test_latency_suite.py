from __future__ import annotations

import numpy as np
import pytest

from roamrl.platform.bench.suites import serving
from roamrl.platform.bench.suites.serving import Calls, _interleaved, _observations, _rows
from roamrl.platform.bench.works import toy_work


def test_rows_tell_the_median_and_the_tail_of_all_calls() -> None:
    calls = Calls([[0.001] * 98 + [0.020] * 2, [0.003] * 100], [0.1, 0.3])
    median, tail = _rows(toy_work(), {"someone": calls})
    assert median.value == pytest.approx(np.median([1.0] * 98 + [20.0] * 2 + [3.0] * 100)) and median.met is None
    assert tail.value == pytest.approx(3.17) and tail.met and tail.at_most
    assert (tail.notes["least"], tail.notes["most"]) == pytest.approx((3.0, 20.0))
    assert (tail.cpu_s, tail.wall_s) == pytest.approx((0.2, np.median([0.138, 0.3])))


def test_contenders_take_turns_and_warm_up_uncounted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "WARM_UP", 2)
    asked = []
    contenders = {name: (lambda name=name: lambda obs: asked.append(name), [np.zeros(1)] * 3) for name in "ab"}
    found = _interleaved(contenders, 2)
    assert "".join(asked) == ("aa" + "aaa" + "bb" + "bbb") * 2
    assert {name: [len(times) for times in calls.wall_s] for name, calls in found.items()} == {"a": [3, 3], "b": [3, 3]}


def test_what_is_asked_about_are_steps_of_episodes() -> None:
    work = toy_work()
    obs = _observations(work, 5, rows=3)
    assert [one.shape for one in obs] == [(3, *work.observation_space.shape)] * 5
    assert all(row in work.observation_space for one in obs for row in one)
    assert not np.array_equal(obs[1], obs[2])
