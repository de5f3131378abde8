import numpy as np
import pytest

from roamrl.platform.bench.suites import Effort
from roamrl.platform.bench.suites.parts import Windows, parts_rows
from roamrl.platform.bench.works import family_work


def test_the_same_windows_are_played_again():
    windows = Windows("served", family_work("slicing-v1"), serve=True)
    outcomes = []
    for _ in range(2):
        assert windows.run() == 20 * 256
        waiting = windows._queues.lines["count"].sum()
        outcomes.append((waiting, windows._out.copy(), windows._users.lanes["window"].copy()))
    assert outcomes[0][0] == outcomes[1][0] > 0
    np.testing.assert_array_equal(outcomes[0][1], outcomes[1][1])
    assert (outcomes[0][2] == windows._first + 20).all()


def test_parts_make_up_a_step():
    rows = parts_rows(Effort(rounds=1, seconds=0.1), family_work("slicing-v1"))
    assert sum(row.value for row in rows) == pytest.approx(1.0)
    assert [row.variant.split()[0] for row in rows] == ["users,", "service", "reward,"]
