import numpy as np
import pytest

from roamrl.algorithms.rllib import peak_memory
from roamrl.algorithms.rllib.peak_memory import PeakMemory

BIG = 60_000_000
can_forget = pytest.mark.skipif(not peak_memory.CLEAR_REFS.exists(), reason="this system cannot forget a peak")


def use_memory(octets):
    assert np.ones(octets, np.uint8)[:: octets - 1].sum() == 2


@pytest.fixture(params=["proc", "no proc"])
def told_by(request, monkeypatch, tmp_path):
    """Whether the system has /proc; without it the peak of the process's whole life is all there is."""
    if request.param == "no proc":
        monkeypatch.setattr(peak_memory, "STATUS", tmp_path / "absent")
        monkeypatch.setattr(peak_memory, "CLEAR_REFS", tmp_path / "absent")
    return request.param


@can_forget
def test_a_peak_from_before_is_forgotten_and_one_from_after_is_told():
    use_memory(4 * BIG)
    memory = PeakMemory(forget=True)
    start = memory.mb()
    use_memory(2 * BIG)
    assert memory.mb() - start == pytest.approx(2 * BIG / 1e6, rel=0.2)
    use_memory(BIG)
    assert memory.mb() - start == pytest.approx(2 * BIG / 1e6, rel=0.2)


def test_a_peak_that_cannot_be_told_from_an_older_one_is_not_known(told_by):
    use_memory(3 * BIG)
    memory = PeakMemory(forget=told_by == "no proc")
    use_memory(BIG)
    assert memory.mb() is None
    most = peak_memory._peak_mb()
    use_memory(int(1e6 * most) + BIG)
    assert most < memory.mb() < 2.5 * most + BIG / 1e6


def test_of_two_processes_that_did_the_work_the_larger_peak_counts(told_by):
    memory = PeakMemory(forget=True)
    use_memory(int(1e6 * peak_memory._peak_mb()) + BIG)
    own = memory.mb()
    memory.carry(own / 2)
    assert memory.mb() == own
    memory.carry(own + 100)
    assert memory.mb() == own + 100
    memory.carry(None)
    assert memory.mb() is None
