"""A member whose numbers are lost: the others do not notice, and the learner says which it was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from roamrl.algorithms.learner_spec import LearnerSpec
from roamrl.algorithms.rllib.algorithm import NUM_MEMBERS_NONFINITE, PopulationAlgorithm
from roamrl.algorithms.rllib.learner_folder import write_learner
from roamrl.algorithms.rllib.outcome import read_done, read_snapshot

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]


def trained(folder: Path, learner: LearnerSpec) -> tuple[int, tuple[int, ...]]:
    write_learner(folder, learner)
    algorithm = PopulationAlgorithm({"folder": str(folder), "env": "CartPole-v1"})
    while not (result := algorithm.train())["done"]:
        pass
    algorithm.stop()
    done = read_done(folder)
    assert done is not None
    return result[NUM_MEMBERS_NONFINITE], done.skipped


def test_a_step_size_beyond_all_bounds_loses_one_member_alone(
    local_ray: object, tmp_path: Path, cartpole_learner: Callable[..., LearnerSpec]
) -> None:
    learner = cartpole_learner(1, 2, 3)
    members = list(learner.members)
    members[1] = replace(members[1], lr=1e38, max_grad_norm=1e30)
    assert trained(tmp_path / "clean", learner) == (0, (0, 0, 0))
    count, skipped = trained(tmp_path / "spoiled", replace(learner, members=tuple(members)))
    assert count == 1 and skipped[1] > 0 and skipped[0] == skipped[2] == 0
    last = learner.iterations
    pairs = zip(read_snapshot(tmp_path / "clean", last), read_snapshot(tmp_path / "spoiled", last), strict=True)
    for member, (clean, spoiled) in enumerate(pairs):
        same = all(np.array_equal(array, spoiled.arrays[name]) for name, array in clean.arrays.items())
        assert same == (member != 1)
