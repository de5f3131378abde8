"""What members learn to adapt by comes back from a learner's folder."""

from dataclasses import replace

import pytest

from roamrl.algorithms.meta_learning import InnerRule, MAMLSettings, ReptileSettings
from roamrl.algorithms.rllib.learner_folder import read_learner, write_learner


@pytest.mark.parametrize("meta", [MAMLSettings(tasks=2, order=1), ReptileSettings(tasks=2), InnerRule(0.3), None])
def test_a_folder_keeps_how_members_learn(specification, tmp_path, meta):
    spec = specification(meta)
    write_learner(tmp_path, spec)
    read = read_learner(tmp_path)
    assert read.members == spec.members
    assert (read.meta, read.policies_per_member) == (meta, spec.policies_per_member)


@pytest.mark.parametrize("use", ["none", "measure", "project"])
def test_a_folder_keeps_what_is_done_with_task_gradients(specification, tmp_path, use):
    spec = replace(specification(None), task_gradients=use)
    write_learner(tmp_path, spec)
    assert read_learner(tmp_path).task_gradients == use
