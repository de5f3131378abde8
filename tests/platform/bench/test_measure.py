import pytest

from roamrl.platform.bench.measure import Row, Sample, alone, compare, interleave


class Counter:
    def __init__(self, name, log, units=10):
        self.name, self.log, self.units = name, log, units

    def run(self):
        self.log.append(self.name)
        return self.units

    def close(self):
        self.log.append(f"{self.name} closed")


def test_turns_are_interleaved_after_a_warm_up():
    log = []
    samples = interleave([Counter("a", log), Counter("b", log)], rounds=3)
    assert log == ["a", "b", *["a", "b"] * 3]
    assert [len(samples[name]) for name in "ab"] == [3, 3]
    assert all(sample.units == 10 and sample.wall_s >= 0 for sample in samples["a"])


def test_a_short_piece_of_work_is_repeated_until_its_time_is_spent():
    log = []
    (sample,) = interleave([Counter("a", log)], rounds=1, seconds=0.01)["a"]
    assert sample.cpu_s >= 0.01 and sample.units == 10 * (len(log) - 1) > 10


def test_ratios_are_taken_round_by_round():
    ours = [Sample(100, 2.0, 1.0), Sample(100, 2.0, 2.0), Sample(100, 2.0, 4.0)]  # rates 100, 50, 25
    theirs = [Sample(10, 1.0, 1.0), Sample(10, 1.0, 2.0), Sample(10, 1.0, 1.0)]  # rates 10, 5, 10
    row = compare({"a": ours, "b": theirs}, "a", "b", work="w", metric="m", variant="v", target=9.0)
    assert (row.value, row.peer_value, row.cpu_s, row.wall_s) == (50.0, 10.0, 2.0, 2.0)
    assert (row.ratio_median, row.ratio_min, row.ratio_max) == pytest.approx((10.0, 2.5, 10.0))
    assert row.met is True


def test_without_a_peer_the_value_meets_the_target():
    row = alone([Sample(6, 1.0, 2.0), Sample(6, 1.0, 3.0)], work="w", metric="m", variant="v", target=3.0)
    assert row.value == 2.5 and row.met is False
    assert row.notes == {"least": 2.0, "most": 3.0}


def test_a_bound_from_above_and_no_target():
    assert Row("w", "s", "v", 0.4, target=0.5, at_most=True).met is True
    assert Row("w", "s", "v", 0.6, target=0.5, at_most=True).met is False
    assert Row("w", "s", "v", 0.6).met is None


def test_a_rows_json_has_what_machines_ask_for():
    data = Row("toy", "steps", "population", 2.0, "sb3", 1.0, 2.0, 1.5, 2.5).to_json()
    names = ("work", "metric", "variant", "peer", "value", "peer_value", "ratio_median", "ratio_min", "ratio_max")
    assert [data[name] for name in names] == ["toy", "steps", "population", "sb3", 2.0, 1.0, 2.0, 1.5, 2.5]
