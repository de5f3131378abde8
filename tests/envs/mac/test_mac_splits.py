"""Published splits of mac-v1: what they hold, that they can be drawn again, and under which configs they serve."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from roamrl.envs.mac import MAC
from roamrl.envs.mac.splits import LEAST_GAP, SATURATED, draw_splits, gaps

SIZES = {"train": 64, "val": 16, "iid": 16, "ood-stations": 16, "ood-load": 8, "ood-burst": 16, "ood-length": 16}
SIZES |= {"ood-all": 5, "ood-dynamic": 16}
TRAINED, BETWEEN, BEYOND = {2, 4, 6, 8}, {3, 5, 7}, {12, 16, 24, 32, 40}


def splits(config: dict[str, Any] | None = None) -> dict[str, Any]:
    return dict(MAC.splits(MAC.config(config)))


def test_every_split_is_there_with_its_size_and_no_task_twice() -> None:
    found = splits()
    assert {name: len(split) for name, split in found.items()} == SIZES
    ids = [task.id for split in found.values() for task in split]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("name", SIZES)
def test_only_the_named_variables_leave_their_training_range(name: str) -> None:
    contexts = [task.context for task in splits()[name]]
    allowed = {"ood-stations": BEYOND, "ood-all": BEYOND, "iid": BETWEEN}.get(name, TRAINED)
    found = {context["stations"] for context in contexts}
    assert found <= allowed and (found == allowed or name == "val")
    drawn = [context for context in contexts if context["arrival"] != "saturated"]
    loads = np.array([context["load"] for context in drawn])
    assert (loads == 1.5).all() if name in ("ood-load", "ood-all") else ((loads >= 0.4) & (loads <= 1.2)).all()
    laws = {"bursts"} if name in ("ood-burst", "ood-all") else {"poisson", "periodic"}
    assert {context["arrival"] for context in drawn} == laws
    assert {context["packet_slots"] for context in contexts} == ({40} if name in ("ood-length", "ood-all") else {10})
    assert {context["dynamic"] is not None for context in contexts} == {name == "ood-dynamic"}


@pytest.mark.parametrize("name", SIZES)
def test_saturated_tasks_are_one_for_each_number_of_stations_where_they_mean_something(name: str) -> None:
    saturated = [task.context["stations"] for task in splits()[name] if task.context["arrival"] == "saturated"]
    assert tuple(saturated) == SATURATED.get(name, ())


def test_splits_are_drawn_again_identically_and_have_their_gaps() -> None:
    again = draw_splits(MAC, {"val": 3, "ood-stations": 6, "ood-dynamic": 5})
    for name, drawn in again.items():
        assert drawn.split.tasks == splits()[name].tasks[: len(drawn.split)]
        assert (gaps(MAC, drawn.split.tasks) >= LEAST_GAP).all()


def test_what_everybody_carries_is_left_out() -> None:
    light = [MAC.task({"load": 0.4, "stations": 4}), MAC.task({"load": 1.2, "stations": 8})]
    assert (gaps(MAC, light) >= LEAST_GAP).tolist() == [False, True]


@pytest.mark.parametrize(
    ("config", "missing"),
    [
        ({"history": 4, "fairness": 0.5, "others_d2lt": "longest"}, set()),
        ({"n_max": 16}, {"ood-stations", "ood-all"}),
        ({"n_max": 7}, {"train", "ood-load", "ood-burst", "ood-length", "ood-dynamic", "ood-stations", "ood-all"}),
        ({"episode_slots": 4000}, {"ood-dynamic"}),
        ({"queue_packets": 5}, set(SIZES)),
    ],
)
def test_a_split_serves_where_all_its_tasks_can_be_played(config: dict[str, Any], missing: set[str]) -> None:
    found = splits(config)
    assert set(SIZES) - set(found) in (missing, missing | {"val"})
    full = MAC.config(config)
    for name, split in found.items():
        assert [task.context for task in split] == [task.context for task in splits()[name]]
        assert dict(split.tasks[0].config) == full and split.hash != splits()[name].hash


def test_the_file_is_what_its_code_writes(tmp_path: Path) -> None:
    """Its header and counts; the tasks are drawn again in part above (all of them take a minute)."""
    import json
    from importlib import resources

    document = json.loads(resources.files("roamrl.envs.mac").joinpath("splits.json").read_text())
    assert document["family"] == "mac-v1" and document["config"] == MAC.config()
    assert {name: len(entry["contexts"]) for name, entry in document["splits"].items()} == SIZES
    assert document["splits"]["train"]["omitted"] > 10  # at low load everybody carries everything
