"""Study files: checked, overridden, and refused with the nearest known key."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from roamrl.envs.errors import InputError
from roamrl.platform.study.load import check_study, load_study, study_names
from roamrl.platform.study.template import write_template

MINIMAL = {
    "name": "mine",
    "family": "slicing-v1",
    "splits": {
        "cells": {"tasks": [{"name": "a", "context": {"load": 1.0}}]},
        "val": {"tasks": [{"name": "b", "context": {"load": 1.1}}]},
    },
    "targets": ["cells"],
    "val": "val",
    "arms": {"scratch": {"strategy": "scratch"}},
}


def changed(**parts: object) -> dict[str, object]:
    return {**MINIMAL, **parts}


def test_built_in_studies_and_the_template_load(tmp_path: Path) -> None:
    assert {"quick", "reuse-traces"} <= set(study_names())
    for name in study_names():
        assert load_study(name).name == name
    written = write_template(tmp_path / "new")
    assert load_study(str(written)).name == "my-study"
    with pytest.raises(InputError, match="exists already"):
        write_template(tmp_path / "new")


def test_unknown_study_names_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'quick'"):
        load_study("quik")


def test_missing_file_says_how_to_get_one() -> None:
    with pytest.raises(InputError, match="roamrl init"):
        load_study("no/such/study.yaml")


def test_unknown_key_names_the_nearest_at_its_place() -> None:
    with pytest.raises(InputError, match=r"did you mean 'adapt\.episodes'"):
        check_study(changed(adapt={"episode": [0, 1]}), "x")
    with pytest.raises(InputError, match=r"did you mean 'pretrain'"):
        check_study(changed(pretraining={}), "x")


def test_every_fault_is_told_at_once() -> None:
    with pytest.raises(InputError) as caught:
        check_study(changed(val="nowhere", adapt={"episodes": [1, 2]}, evaluation={"episodes": 0}), "x")
    assert "start at 0" in str(caught.value)
    assert "evaluation.episodes" in str(caught.value)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"targets": ["nowhere"]}, "not defined"),
        ({"targets": ["val"]}, "may not be a target"),
        ({"arms": {"oracle": {"strategy": "scratch"}}}, "belongs to a reference"),
        ({"splits": {**MINIMAL["splits"], "cells": {"sample": 2, "published": "iid"}}}, "exactly one of"),
        ({"evaluation": {"episodes": 50, "final_episodes": 10}}, "must not be below"),
        ({"adapt": {"episodes": [0, 10], "tune": {"up_to": 5}}}, "must reach the first point"),
    ],
)
def test_contradictions_are_refused(parts: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_study(changed(**parts), "x")


def test_overrides_reach_any_depth_and_change_the_hash(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(MINIMAL))
    plain = load_study(str(path))
    deep = load_study(str(path), ["adapt.tune.lr=[0.01]", "pretrain.steps=5000"])
    assert deep.adapt.tune.lr == (0.01,)
    assert deep.pretrain.steps == 5000
    assert deep.hash != plain.hash
    assert load_study(str(path), ["traces=/somewhere"]).hash == plain.hash


@pytest.mark.parametrize("override", ["nonsense", "=3", "name.x=1"])
def test_malformed_overrides_are_refused(tmp_path: Path, override: str) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(MINIMAL))
    with pytest.raises(InputError, match="override"):
        load_study(str(path), [override])


def test_a_study_takes_from_the_one_it_extends_what_it_does_not_say(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("extends: quick\nname: mine\narms: {alone: {strategy: scratch}}\n")
    mine, quick = load_study(str(file)), load_study("quick")
    assert (mine.name, list(mine.arms)) == ("mine", ["alone"])
    assert (mine.splits, mine.adapt) == (quick.splits, quick.adapt)
    file.write_text(f"extends: {file}\n")
    with pytest.raises(InputError, match="in a circle"):
        load_study(str(file))
    file.write_text("extends: quik\n")
    with pytest.raises(InputError, match="did you mean 'quick'"):
        load_study(str(file))
