from dataclasses import replace

import numpy as np
import pytest

from roamrl.algorithms.population.modules.build import build_module
from roamrl.algorithms.rllib.learner_folder import write_learner
from roamrl.algorithms.rllib.outcome import (
    LearnerDone,
    read_curve,
    read_done,
    read_snapshot,
    write_curve,
    write_done,
    write_snapshot,
)
from roamrl.algorithms.rllib.recorder import PlayStats, Recorder
from roamrl.algorithms.rllib.task_returns import TaskRecorder, TaskReturns
from roamrl.envs.errors import InputError


def stats(ended, return_sum, distance):
    return PlayStats(np.array(ended), np.array(return_sum, float), {"distance": np.array(distance, float)})


def test_a_snapshot_gives_the_members_back(tmp_path, toy_learner):
    spec = toy_learner(seeds=(1, 2))
    write_learner(tmp_path, spec)
    module = build_module(spec.module, [1, 2])
    write_snapshot(tmp_path, 3, [module.member_state(0), module.member_state(1)])
    bundles = read_snapshot(tmp_path, 3)
    for member, bundle in enumerate(bundles):
        state = module.member_state(member)
        assert bundle.arrays.keys() == state.keys()
        for name, array in state.items():
            np.testing.assert_array_equal(bundle.arrays[name], array, strict=True)
    with pytest.raises(InputError, match=r"no snapshot of iteration 4 .* there are \[3\]"):
        read_snapshot(tmp_path, 4)


def test_the_curve_counts_episodes_and_leaves_nan_where_none_ended():
    recorder = Recorder()
    recorder.add(10, stats([2, 0], [-6.0, 0.0], [1.0, 2.0]), {"kl": np.array([0.1, 0.2])})
    recorder.add(20, stats([1, 3], [-1.0, -9.0], [3.0, 4.0]), {"kl": np.array([0.3, 0.4])})
    curve = recorder.curve()
    np.testing.assert_array_equal(curve.iteration, [1, 2])
    np.testing.assert_array_equal(curve.env_steps, [10, 20])
    np.testing.assert_array_equal(curve.episodes, [1, 3])
    np.testing.assert_array_equal(curve.return_mean, [[-3.0, np.nan], [-1.0, -3.0]])
    np.testing.assert_array_equal(curve.measures["distance"], [[1.0, 2.0], [3.0, 4.0]])
    np.testing.assert_array_equal(curve.losses["kl"], [[0.1, 0.2], [0.3, 0.4]])


def test_curve_and_mark_come_back_from_the_folder(tmp_path):
    assert read_done(tmp_path) is None
    with pytest.raises(InputError, match="has not finished"):
        read_curve(tmp_path)
    recorder = Recorder(tasks=TaskRecorder(1, tasks=2))
    by_task = TaskReturns(np.array([[1, 0], [0, 2]]), np.array([[-6.0, 0.0], [0.0, -4.0]]))
    played = replace(stats([1, 2], [-6.0, -4.0], [1.0, 2.0]), tasks=by_task)
    recorder.add(10, played, {"kl": np.array([0.1, 0.2])})
    curve = Recorder.from_state(recorder.state()).curve()
    write_curve(tmp_path, curve)
    back = read_curve(tmp_path)
    for name in ("iteration", "env_steps", "episodes", "return_mean"):
        np.testing.assert_array_equal(getattr(back, name), getattr(curve, name), strict=True)
    np.testing.assert_array_equal(back.measures["distance"], curve.measures["distance"])
    np.testing.assert_array_equal(back.losses["kl"], curve.losses["kl"])
    for name, values in vars(curve.tasks).items():
        np.testing.assert_array_equal(getattr(back.tasks, name), values, strict=True, err_msg=name)
    np.testing.assert_array_equal(back.tasks.return_mean, [[[-6.0, np.nan], [np.nan, -2.0]]])
    for peak in (None, 512.5):
        done = LearnerDone(1, 10, 2.5, 2.0, (0, 1), peak)
        write_done(tmp_path, done)
        assert read_done(tmp_path) == done
    assert not list(tmp_path.glob(".*")), "no partial file is left behind"
