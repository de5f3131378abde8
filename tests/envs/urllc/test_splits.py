"""Published splits of urllc-v1: what they hold, that they are hashed, and that they can be drawn again."""

from __future__ import annotations

import json
from importlib import resources

import numpy as np
import pytest

from roamrl.envs.errors import InputError
from roamrl.envs.split import read_splits
from roamrl.envs.split_drawing import draw_split
from roamrl.envs.urllc import URLLC
from roamrl.envs.urllc.splits import LEAST_GAP, SIZES, draw_splits, gaps

SPLITS = URLLC.splits(URLLC.config())


def test_every_split_is_there_with_its_size_and_no_task_twice():
    assert {name: len(split) for name, split in SPLITS.items()} == dict(SIZES)
    ids = [task.id for split in SPLITS.values() for task in split]
    assert len(set(ids)) == len(ids)


def test_only_the_named_variables_leave_their_training_range():
    for name, split in SPLITS.items():
        kinds = {task.context["arrivals"]["kind"] for task in split}
        means = np.array([task.context["arrivals"]["mean"] for task in split])
        low, high = (1.75, 2.25) if name == "ood-load" else (0.5, 1.0)
        if name != "ood-all":
            assert kinds == {"batch" if name == "ood-burst" else "poisson"}
            assert (means >= low).all() and (means <= high).all()
        assert {task.context["fading_mean_db"] for task in split} == {-5.0 if name in ("ood-fading", "ood-all") else 0}
        assert {task.context["violation_cost"] for task in split} == {50.0}


def test_the_last_split_holds_heavy_and_bursty_traffic():
    laws = [task.context["arrivals"] for task in SPLITS["ood-all"]]
    assert {law["kind"] for law in laws} == {"batch", "poisson"}
    assert all(law["mean"] >= 1.75 for law in laws if law["kind"] == "poisson")
    assert all(law["mean"] <= 1.0 for law in laws if law["kind"] == "batch")


def test_splits_are_drawn_again_identically():
    for name, drawn in draw_splits(URLLC, {"val": 3, "ood-burst": 2, "ood-all": 3}).items():
        assert drawn.omitted == 0
        assert drawn.split.tasks == SPLITS[name].tasks[: len(drawn.split)]


def test_every_task_tells_policies_apart():
    assert min(gaps(split.tasks).min() for split in SPLITS.values()) > 6 * LEAST_GAP


def test_a_task_without_a_gap_is_left_out_and_counted():
    tasks = URLLC.sample(8, seed=3)
    small = dict(zip(tasks, [0.0, 1.0] * 4, strict=True))
    drawn = draw_split("val", 1, 3, [tasks[0], *tasks], lambda some: np.array([small[task] for task in some]), 0.5)
    assert drawn.split.tasks == (tasks[1], tasks[3], tasks[5]) and drawn.omitted == 3
    with pytest.raises(InputError, match="none of 8 draws"):
        draw_split("val", 1, 3, tasks, lambda some: np.zeros(len(some)), 0.5)


def test_a_changed_split_file_is_refused(tmp_path):
    document = json.loads(resources.files("roamrl.envs.urllc").joinpath("splits.json").read_text())
    document["splits"]["val"]["contexts"][0]["arrivals"]["mean"] += 1e-9
    path = tmp_path / "splits.json"
    path.write_text(json.dumps(document))
    with pytest.raises(InputError, match="its tasks were changed"):
        read_splits(path)


def test_the_same_contexts_serve_whatever_the_policy_sees_and_only_on_the_same_downlink():
    longer = URLLC.splits(URLLC.config({"history": 4, "observed": ["arrivals"]}))["iid"]
    assert [task.context for task in longer] == [task.context for task in SPLITS["iid"]]
    assert longer.hash != SPLITS["iid"].hash and longer.tasks[0].config["history"] == 4
    assert URLLC.splits(URLLC.config({"buffer_packets": 12})) == {}
    assert URLLC.splits(URLLC.config({"users": 2})) == {}
