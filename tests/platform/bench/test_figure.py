import pytest

from roamrl.envs.errors import InputError
from roamrl.platform.bench.figure import draw_growth, growth, write_growth
from roamrl.platform.bench.measure import Row

ROWS = [
    Row("toy", "learned steps/s/core", "members-64", 50_000.0),
    Row("toy", "learned steps/s/core", "members-1", 10_000.0),
    Row("slicing", "env steps/s/core", "slices-2", 100_000.0),
    Row("slicing", "env steps/s/core", "batch-256", 60_000.0),
    Row("toy", "learned steps/s/core", "members-16", 40_000.0, peer="sb3", ratio_median=2.0),
]


def test_growth_is_time_a_step_by_size():
    assert growth(ROWS, "members") == [(1, pytest.approx(100.0)), (64, pytest.approx(20.0))]
    assert growth(ROWS, "users") == []


def test_a_panel_for_each_thing_that_grows(tmp_path):
    panels = draw_growth(ROWS).axes
    assert [axes.get_xlabel() for axes in panels] == ["members of a population", "slices a cell"]
    assert list(panels[0].lines[0].get_ydata()) == pytest.approx([100.0, 20.0])
    write_growth(ROWS, tmp_path / "growth.svg")
    assert (tmp_path / "growth.svg").read_text().lstrip().startswith("<?xml")


def test_without_such_rows_it_says_where_they_come_from():
    with pytest.raises(InputError, match="bench scale"):
        draw_growth(ROWS[3:])
