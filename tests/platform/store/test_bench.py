"""The store's benchmark measures what it says, in small."""

from __future__ import annotations

from roamrl.platform.bench.store_policies import WIDTHS, policy
from roamrl.platform.bench.store_process import Crew
from roamrl.platform.bench.suites.store import load_rows, lookup_rows, publish_rows
from roamrl.platform.store import ExpertStore


def test_policies_have_the_size_they_are_named_for():
    sizes = {name: sum(array.nbytes for array in policy(name).arrays.values()) / 1e6 for name in WIDTHS if name < 50}
    assert 0.25 <= sizes[0] <= 0.28 and 0.95 <= sizes[1] <= 1.05


def test_lookups_ask_a_whole_store_of_that_many_entries(tmp_path):
    rows = lookup_rows(str(tmp_path / "store"), 300, rounds=1)
    assert [row.variant for row in rows][1:] == [
        "by id",
        "by the beginning of an id",
        "by conditions",
        "by a range of the context",
        "the 5 nearest",
    ]
    assert all(row.value > 0 for row in rows) and all(row.at_most for row in rows[1:])
    store = ExpertStore.open(tmp_path / "store")
    assert len(store.ls()) == 300 and not store.problems and store._catalogue._loose == {}


def test_publishing_and_loading_are_timed_in_processes_of_their_own(tmp_path):
    with Crew(1) as crew:
        (published,) = publish_rows(crew, "folder", str(tmp_path / "publish"), 1, 2)
        loaded = load_rows(crew, "folder", str(tmp_path / "load"), (1,), (1,), tmp_path)
    assert published.wall_s is not None and abs(published.value * published.wall_s - 2) < 1e-9
    assert [row.variant for row in loaded] == ["folder, 1 MB, 1 trials, cold", "folder, 1 MB, 1 trials, warm"]
    assert ExpertStore.open(tmp_path / "publish").verify().ok
