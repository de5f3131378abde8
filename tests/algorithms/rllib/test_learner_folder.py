from dataclasses import replace

import numpy as np
import pytest

from roamrl.algorithms.population.modules.build import build_module, to_bundle
from roamrl.algorithms.rllib.learner_folder import LEARNER_FILE, POLICIES_FILE, read_learner, write_learner
from roamrl.algorithms.rllib.source import LearnerSource
from roamrl.algorithms.teaching import Fade, Teaching
from roamrl.envs.errors import InputError


def test_a_learner_comes_back_as_it_was_written(tmp_path, toy_learner):
    fresh = toy_learner(seeds=(1, 2, 3), snapshots=(0, 4))
    expert = to_bundle(build_module(fresh.module, [9]), 0)
    members = (fresh.members[0], *(replace(m, initial=expert, layers="trunk", lr=0.1) for m in fresh.members[1:]))
    spec = replace(fresh, members=members)
    write_learner(tmp_path, spec)
    back = read_learner(tmp_path)
    assert back.module.to_json() == spec.module.to_json()
    assert (back.ppo, back.phases, back.snapshots) == (spec.ppo, spec.phases, spec.snapshots)
    assert [replace(member, initial=None) for member in back.members] == [
        replace(member, initial=None) for member in spec.members
    ]
    assert back.members[0].initial is None
    assert back.members[1].initial is back.members[2].initial, "members that share an expert share its arrays"
    for name, array in expert.arrays.items():
        np.testing.assert_array_equal(back.members[1].initial.arrays[name], array, strict=True)


def test_teachers_come_back_with_their_schedules(tmp_path, toy_learner):
    fresh = toy_learner(seeds=(1, 2))
    small = replace(fresh.module, model={"hidden": [4]})
    experts = [to_bundle(build_module(small, [seed]), 0) for seed in (7, 8)]
    shared = Teaching(tuple(experts), Fade(0.5, 0.1, 3, 4, 5), Fade(2.0, held=9), 11)
    members = (
        replace(fresh.members[0], teaching=shared, initial=experts[1]),
        replace(fresh.members[1], teaching=replace(shared, teachers=(experts[1], experts[0]))),
    )
    write_learner(tmp_path, replace(fresh, members=members))
    back = [member.teaching for member in read_learner(tmp_path).members]
    assert [(own.guide, own.imitate, own.reinforce_from) for own in back] == [(shared.guide, shared.imitate, 11)] * 2
    assert back[0].teachers[0] is back[1].teachers[1], "members that share a teacher share its arrays"
    assert read_learner(tmp_path).members[0].initial is back[0].teachers[1]
    for bundle, expert in zip(back[0].teachers, experts, strict=True):
        assert bundle.spec.to_json() == expert.spec.to_json()
        for name, array in expert.arrays.items():
            np.testing.assert_array_equal(bundle.arrays[name], array, strict=True)


def test_a_learner_written_anew_is_read_anew(tmp_path, toy_learner):
    write_learner(tmp_path, toy_learner(seeds=(1,)))
    assert len(read_learner(tmp_path).members) == 1
    write_learner(tmp_path, toy_learner(seeds=(1, 2)))
    assert len(read_learner(tmp_path).members) == 2


def test_a_folder_without_a_learner_is_an_error(tmp_path):
    with pytest.raises(InputError, match=LEARNER_FILE):
        read_learner(tmp_path)


@pytest.mark.parametrize("name", [LEARNER_FILE, POLICIES_FILE])
@pytest.mark.parametrize("size", [0, 20])
def test_a_truncated_file_is_an_error(tmp_path, toy_learner, name, size):
    write_learner(tmp_path, toy_learner())
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: min(size, len(content) - 1)])
    with pytest.raises(InputError, match="is no learner"):
        read_learner(tmp_path)


def test_a_source_is_one_learner_by_an_absolute_folder_or_itself(tmp_path, toy_learner):
    spec = toy_learner()
    assert LearnerSource(spec=spec).load() is spec
    for bad in ({}, {"folder": tmp_path, "spec": spec}):
        with pytest.raises(InputError, match="once"):
            LearnerSource(**bad)
    with pytest.raises(InputError, match="absolute"):
        LearnerSource(folder=tmp_path.relative_to("/"))
