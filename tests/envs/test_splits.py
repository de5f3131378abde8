"""Published splits of slicing-v1: what they hold, that they are hashed, and that they can be drawn again."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from roamrl.envs.errors import InputError
from roamrl.envs.slicing import SLICING
from roamrl.envs.slicing.splits import FILES, LEAST_GAP, SIZES, draw_splits, gaps, trace_splits
from roamrl.envs.split import read_splits

VARIANTS = tuple(FILES)
NAMES = {"train", "val", "iid", "ood-load", "ood-prb", "ood-snr", "ood-sla_target", "ood-burst", "ood-all"}


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_split_is_there_with_its_size_and_no_task_twice(variant: str) -> None:
    splits = SLICING.splits(SLICING.config({"variant": variant}))
    assert set(splits) == NAMES
    sizes = {name: SIZES.get(name, 16) for name in NAMES} | ({"ood-snr": 3} if variant == "hidden-sla" else {})
    assert {name: len(split) for name, split in splits.items()} == sizes
    ids = [task.id for split in splits.values() for task in split]
    assert len(set(ids)) == len(ids)
    assert {task.config_hash for split in splits.values() for task in split} == {splits["val"].tasks[0].config_hash}


def values(split: Any, name: str) -> Any:
    return np.array([task.context[name] for task in split])


@pytest.mark.parametrize("variant", VARIANTS)
def test_only_the_named_variables_leave_their_training_range(variant: str) -> None:
    splits = SLICING.splits(SLICING.config({"variant": variant}))
    space = SLICING.context_space(SLICING.config({"variant": variant}))
    shifted = {
        "ood-load": {"load"},
        "ood-prb": {"prb"},
        "ood-snr": {"snr_mean_db"},
        "ood-sla_target": {"sla_target"},
        "ood-burst": {"burst", "load"},
        "ood-all": {"load", "prb", "snr_mean_db", "sla_target", "burst"},
    }
    for name, split in splits.items():
        outside = shifted.get(name, set())
        load, snr = values(split, "load"), values(split, "snr_mean_db")
        assert (load >= 1.3).all() if "load" in outside else (load <= 1.25).all()
        assert (snr == 15).all() if "snr_mean_db" in outside else (snr >= 16).all()
        for variable in ("prb", "sla_target", "burst"):
            differs = [task.context[variable] != space[variable].default for task in split]
            assert all(differs) if variable in outside else not any(differs)
    assert (values(splits["ood-prb"], "prb") == 36).all()
    assert splits["ood-sla_target"].tasks[0].context["sla_target"]["c2"] == [3, 40, 10]


@pytest.mark.parametrize("variant", VARIANTS)
def test_splits_are_drawn_again_identically(variant: str) -> None:
    config = SLICING.config({"variant": variant})
    again = draw_splits(SLICING, config, {"val": 3, "ood-burst": 2})
    for name, drawn in again.items():
        assert drawn.split.tasks == SLICING.splits(config)[name].tasks[: len(drawn.split)]
    assert (gaps(SLICING, again["val"].split.tasks) >= LEAST_GAP).all()


def test_a_task_without_a_gap_is_left_out_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    from roamrl.envs.slicing import splits

    def some_without(_: Any, tasks: Any) -> Any:
        return np.array([0.0 if index % 2 == 0 else 1.0 for index in range(len(tasks))])

    monkeypatch.setattr(splits, "gaps", some_without)
    config = SLICING.config()
    drawn = draw_splits(SLICING, config, {"val": 4})["val"]
    assert drawn.omitted == 4
    seen = SLICING.sample(8, splits.seed_of({"split": "val", "version": 1, "variant": "default"}), config=config)
    assert drawn.split.tasks == (seen[1], seen[3], seen[5], seen[7])


def test_a_changed_split_file_is_refused(tmp_path: Path) -> None:
    document = json.loads(resources.files("roamrl.envs.slicing").joinpath("splits.json").read_text())
    document["splits"]["val"]["contexts"][0]["load"] += 1e-9
    path = tmp_path / "splits.json"
    path.write_text(json.dumps(document))
    with pytest.raises(InputError, match="its tasks were changed"):
        read_splits(path)


def test_the_same_contexts_serve_whatever_the_policy_sees_and_only_in_the_same_cells() -> None:
    plain = SLICING.splits(SLICING.config())["iid"]
    longer = SLICING.splits(SLICING.config({"history": 4, "action": "continuous"}))["iid"]
    assert [task.context for task in longer] == [task.context for task in plain]
    assert longer.hash != plain.hash and longer.tasks[0].config["history"] == 4
    assert SLICING.splits(SLICING.config({"slices": ["control", "xr"]})) == {}


def test_trace_splits_keep_the_other_traces_for_the_last() -> None:
    known, other = ["sha256:" + "a" * 64, "sha256:" + "b" * 64], ["sha256:" + "c" * 64]
    splits = trace_splits(SLICING, SLICING.config(), known, other)
    for name, split in splits.items():
        assert set(values(split, "xr_trace")) == set(other if name == "ood-trace" else known)
    ids = [task.id for split in splits.values() for task in split]
    assert len(set(ids)) == len(ids)
    with pytest.raises(InputError, match="at least one"):
        trace_splits(SLICING, SLICING.config(), known, [])
