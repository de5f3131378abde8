"""A learner's folder keeps every field: a field that is not written would silently become its default in a trial."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import numpy as np
from gymnasium import spaces

from roamrl.algorithms.bundle import ModuleSpec
from roamrl.algorithms.learner_spec import LearnerSpec, MemberSpec, Phase
from roamrl.algorithms.population.modules.build import build_module, to_bundle
from roamrl.algorithms.rllib.learner_folder import LEARNER_FILE, read_learner, write_learner
from roamrl.algorithms.teaching import Fade, Teaching
from roamrl.envs.task import Task

SPEC = ModuleSpec("mlp", spaces.Box(-1, 1, (3,), np.float32), spaces.Discrete(2), {"hidden": [4]})
TASKS = (Task("f-v1", {}, {"load": 1.0}), Task("f-v1", {}, {"load": 2.0}))


def written(tmp_path: Path) -> tuple[LearnerSpec, dict[str, object]]:
    expert = to_bundle(build_module(SPEC, [1]), 0)
    teaching = Teaching((expert, expert), imitate=Fade(1.0, 1.0), reinforce_from=7, by_task=True)
    member = MemberSpec(3, TASKS, teaching=teaching, learned="code")
    write_learner(tmp_path, LearnerSpec(SPEC, (member,), (Phase(1, 2, 3),), task_gradients="project"))
    return read_learner(tmp_path), json.loads((tmp_path / LEARNER_FILE).read_text())


def test_every_field_is_written(tmp_path: Path) -> None:
    _, value = written(tmp_path)
    assert {field.name for field in fields(LearnerSpec)} <= set(value)
    (member,) = value["members"]
    assert {field.name for field in fields(MemberSpec)} == set(member)
    assert {field.name for field in fields(Teaching)} == set(member["teaching"])


def test_what_is_not_the_default_comes_back(tmp_path: Path) -> None:
    spec, _ = written(tmp_path)
    (member,) = spec.members
    assert (spec.task_gradients, member.learned) == ("project", "code")
    assert member.teaching is not None
    assert (member.teaching.by_task, member.teaching.reinforce_from) == (True, 7)
