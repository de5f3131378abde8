"""Profiles name the parts, and the parts make up the whole."""

import numpy as np
import pytest

from roamrl.envs.errors import InputError
from roamrl.envs.slicing import kernel
from roamrl.platform.bench.population import learner
from roamrl.platform.bench.profiles.cell import cell_rows
from roamrl.platform.bench.profiles.clocks import Clocks
from roamrl.platform.bench.profiles.iteration import iteration_parts, parts_of
from roamrl.platform.bench.profiles.update import OUTSIDE, operator_shares, profile_update
from roamrl.platform.bench.profiles.window import EVENTS, KERNEL, METRIC, PARENTS, PARTS, PYTHON, TOGETHER, window_rows
from roamrl.platform.bench.suites import Effort
from roamrl.platform.bench.suites.update import Update, noise_rollout
from roamrl.platform.bench.works import family_work, toy_work


@pytest.fixture(scope="module")
def clocks():
    """The kernel with all clocks at once: not for publishing, but compiled once."""
    return Clocks(kernel.step_cells, PARENTS)


@pytest.mark.slow  # its kernel takes most of a minute to compile
def test_a_clocked_kernel_plays_the_same_windows(clocks, monkeypatch):
    work = family_work("slicing-v1")
    bare, clocked = work.cells(8), work.cells(8)
    bare.reset(), clocked.reset()
    for action in range(5):
        actions = np.full(8, action)
        expected = bare.step(actions)
        with monkeypatch.context() as patch:
            patch.setattr(kernel, KERNEL, clocks.run)
            got = clocked.step(actions)
        np.testing.assert_array_equal(got[0], expected[0])
        np.testing.assert_array_equal(got[1], expected[1])


@pytest.mark.slow  # its kernel takes most of a minute to compile
def test_the_parts_of_a_window_make_up_a_step(clocks):
    try:
        rows = window_rows(Effort(rounds=1), family_work("slicing-v1"), [clocks])
    except InputError as busy:
        pytest.skip(str(busy))
    parts = [row for row in rows if row.metric == METRIC]
    assert [row.variant for row in parts] == [*PARTS, PYTHON]
    assert sum(row.value for row in parts) == pytest.approx(1.0)
    assert all(row.notes["calls"] > 0 and row.notes["whole_s"] > 0 for row in parts)
    calls = {row.variant: row.notes["calls"] for row in parts}
    assert calls["service: open the queues"] == 3
    assert calls["service: turns"] > calls["service: packets end or come"] > 3
    events = {row.variant: row.value for row in rows if row.metric == EVENTS}
    assert events["slots or longer turns served"] == calls["service: turns"]
    assert events["packets delivered"] > events["packets dropped"] > 0


def test_the_layers_of_one_cell_make_up_its_step():
    rows = cell_rows(Effort(rounds=1), family_work("slicing-v1"))
    assert [row.variant.split()[-1] for row in rows] == ["window", "NumPy", "face"]
    assert sum(row.value for row in rows) == pytest.approx(1.0)
    assert all(0.0 < row.value < 1.0 for row in rows)


def test_every_function_of_the_kernel_is_in_one_program_and_one_part():
    assert sorted(name for group in TOGETHER for name in group) == sorted(set(PARENTS) - {KERNEL})
    assert sorted(name for names in PARTS.values() for name in names) == sorted(PARENTS)


def test_the_table_of_an_update_names_its_operators():
    work = toy_work()
    update = Update("x", learner(work, 2, 2, 8), noise_rollout(work, 2, 2, 8))
    update.run()
    operators = profile_update(update)
    assert operators["aten::bmm"][1] >= 16 and operators["aten::_fused_adam_"][1] == 16
    assert 0.0 < operators[OUTSIDE][0] < sum(seconds for seconds, _ in operators.values())


def test_operators_beyond_twelve_are_one_entry_and_all_make_one():
    one = {f"op{number}": (float(number), number) for number in range(1, 20)} | {OUTSIDE: (10.0, 1)}
    shares = operator_shares([one, {"op19": (3.0, 1), OUTSIDE: (1.0, 1)}])
    assert list(shares) == [*(f"op{number}" for number in range(19, 7, -1)), "7 others", OUTSIDE]
    assert [sum(values) for values in zip(*shares.values(), strict=True)] == pytest.approx([1.0, 1.0])
    assert shares["op19"] == pytest.approx([19 / 200, 0.75])


def test_the_parts_of_an_iteration_add_up():
    seconds = {"step": 3.0, "sample": 4.0, "build_batch": 0.5, "fit": 2.0, "optimise": 0.25}
    parts = parts_of(seconds, 7.0)
    assert list(parts.values()) == [3.0, 1.0, 0.5, 1.75, 0.25, 0.5]
    assert sum(parts.values()) == 7.0


@pytest.mark.ray
@pytest.mark.timeout(240)
def test_an_iteration_is_profiled_part_by_part(local_ray):
    rounds = iteration_parts(learner(toy_work(), 2, 4, 16), 2)
    assert len(rounds) == 2
    for parts in rounds:
        assert [name.split(":")[0] for name in parts] == [
            "environment",
            "acting",
            "batch",
            "gradient",
            "optimiser",
            "RLlib",
        ]
        assert min(parts.values()) > 0.0
