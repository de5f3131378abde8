"""Tasks, splits, contexts and placements: identities that must not move, and errors that say how to mend."""

import hashlib
import json
import pickle

import numpy as np
import pytest

from roamrl.envs.canonical import canonical_json, content_hash
from roamrl.envs.errors import InputError
from roamrl.envs.family import family_names, get_family
from roamrl.envs.placement import Placement
from roamrl.envs.slicing import SLICING
from roamrl.envs.split import Split, read_splits, write_splits
from roamrl.envs.task import Task


def test_canonical_json_is_rfc_8785():
    value = {"b": [1.0, 0.1, 1e21, 1e-7, True, None], "a": "é\n", "A": 100}
    assert canonical_json(value) == '{"A":100,"a":"é\\n","b":[1,0.1,1e+21,1e-7,true,null]}'.encode()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"x": object()}])
def test_canonical_json_refuses_what_has_no_form(value):
    with pytest.raises(InputError):
        canonical_json(value)


def test_task_id_is_the_hash_of_its_canonical_json():
    task = Task("f-v1", {"n": 1}, {"load": 1.5})
    text = b'{"config":{"n":1},"context":{"load":1.5},"family":"f-v1"}'
    assert task.id == hashlib.sha256(text).hexdigest()


def test_task_id_ignores_spelling_and_order_but_no_value():
    task = Task("f-v1", {"n": 1, "m": (1, 2)}, {"load": 1})
    assert task == Task("f-v1", {"m": [1, 2], "n": 1.0}, {"load": 1.0})
    assert hash(task) == hash(Task("f-v1", {"m": [1, 2], "n": 1.0}, {"load": 1.0}))
    others = [Task("f-v2", task.config, task.context), Task("f-v1", {"n": 1}, task.context)]
    others.append(Task("f-v1", task.config, {"load": 1.0000001}))
    assert all(task.id != other.id for other in others)


def test_task_survives_json_and_pickle():
    task = SLICING.task({"load": 1.1})
    assert Task.from_json(json.loads(json.dumps(task.to_json()))) == task
    assert pickle.loads(pickle.dumps(task)) == task


def test_split_hash_covers_name_version_tasks_and_order():
    a, b = SLICING.sample(2, seed=3)
    split = Split("val", 1, (a, b))
    others = [Split("val", 2, (a, b)), Split("iid", 1, (a, b)), Split("val", 1, (b, a)), Split("val", 1, (a,))]
    assert len({split.hash, *(other.hash for other in others)}) == 5
    expected = content_hash({"name": "val", "version": 1, "tasks": [a.id, b.id]})
    assert split.hash == expected


def test_split_file_comes_back_and_a_changed_one_is_refused(tmp_path):
    path = tmp_path / "splits.json"
    splits = {"val": Split("val", 1, SLICING.sample(3, seed=1))}
    write_splits(path, splits)
    assert read_splits(path) == splits
    document = json.loads(path.read_text())
    document["splits"]["val"]["contexts"][1]["load"] += 0.01
    path.write_text(json.dumps(document))
    with pytest.raises(InputError, match="raise its version"):
        read_splits(path)


def test_members_are_placed_member_major_and_go_round_their_pool_together():
    a, b, c = SLICING.sample(3, seed=1)
    placement = Placement.members([[a, b, c], [b]], seeds=[7, 9], envs_per_member=2)
    assert placement.seeds.tolist() == [7, 7, 9, 9]
    assert placement.indices.tolist() == [0, 1, 0, 1]
    assert [placement.task(0, episode) for episode in range(3)] == [a, c, b]
    assert [placement.task(1, episode) for episode in range(3)] == [b, a, c]
    assert placement.task(3, 5) == b


def test_placement_plays_what_it_says():
    tasks = SLICING.sample(3, seed=1, config={"episode_windows": 2})
    env = SLICING.make_placed(Placement.members([tasks], seeds=[7], envs_per_member=2))
    env.reset()
    for episode in range(3):
        assert env.current_tasks() == [env.placement.task(row, episode) for row in range(2)]
        for _ in range(2):
            env.step(np.zeros(2, np.int64))


@pytest.mark.parametrize(
    ("context", "hint"),
    [
        ({"laod": 1.0}, "did you mean 'load'"),
        ({"snr_mean": 1.0}, "did you mean 'snr_mean_db'"),
        ({"sla_target": {"c1": [1, 1, 1], "c3": [9, 9, 9]}}, "did you mean 'c[12]'"),
    ],
)
def test_unknown_context_names_the_nearest(context, hint):
    with pytest.raises(InputError, match=hint):
        SLICING.task(context)


@pytest.mark.parametrize(
    ("context", "reason"),
    [
        ({"weights": [0.5, 0.5, 0.5]}, "sum to 1.5"),
        ({"weights": [1.0]}, "3 numbers"),
        ({"load": "high"}, "a number from"),
        ({"prb": 51.5}, "whole number"),
        ({"xr_trace": "mc_30mbps_60fps"}, "sha256"),
        ({"sla_target": {"c1": [0.5, 0.1, 0.3], "c2": [9.0, 80, 20]}}, "below 5"),
        ({"sla_target": {"c1": [0.5, 0.1, 0.3], "c2": [10, 80, 95]}}, "discard timer"),
        ({"users": [6, 6, 40]}, "0 to 16"),
    ],
)
def test_a_context_value_that_cannot_be_is_refused(context, reason):
    with pytest.raises(InputError, match=reason):
        SLICING.task(context)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"schedular": "round-robin"}, "did you mean 'scheduler'"),
        ({"slices": ["control", "vidoe"]}, "did you mean 'video'"),
        ({"variant": "hidden-slo"}, "did you mean 'hidden-sla'"),
        ({"slices": ["control"]}, "2 to 9"),
        ({"window_slots": 55}, "multiple of 10"),
        ({"timer_ms": [10, 300, 100]}, "discard timer"),
    ],
)
def test_a_config_that_cannot_be_is_refused(config, reason):
    with pytest.raises(InputError, match=reason):
        SLICING.task({}, config)


def test_families_are_found_by_entry_point():
    assert "slicing-v1" in family_names()
    assert get_family("slicing-v1") is SLICING
    with pytest.raises(InputError, match="did you mean 'slicing-v1'"):
        get_family("slicing-v2")


def test_contexts_are_drawn_from_their_ranges():
    loads = np.array([task.context["load"] for task in SLICING.sample(200, seed=5)])
    assert 0.8 <= loads.min() < 0.85 and 1.15 < loads.max() <= 1.2
    beyond = SLICING.sample(50, seed=5, outside=["load", "prb"])
    assert all(1.3 <= task.context["load"] <= 1.6 and task.context["prb"] == 36 for task in beyond)
    with pytest.raises(InputError, match="no out-of-distribution"):
        SLICING.sample(1, seed=5, outside=["stay"])
    hidden = SLICING.sample(50, seed=5, config={"variant": "hidden-sla"})
    assert {max(task.context["weights"]) for task in hidden} == {0.7}
    assert {task.context["load"] for task in hidden} == {1.25}
