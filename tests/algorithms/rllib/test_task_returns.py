from dataclasses import replace

import numpy as np
import pytest

from roamrl.algorithms.learner_spec import LearnerSpec, Phase
from roamrl.algorithms.meta_learning import MAMLSettings
from roamrl.algorithms.population.acting import noise_generators
from roamrl.algorithms.population.modules.build import build_module
from roamrl.algorithms.population.task_members import drawn_tasks
from roamrl.algorithms.rllib.config import PopulationConfig
from roamrl.algorithms.rllib.environments import make_rows
from roamrl.algorithms.rllib.learner_folder import write_learner
from roamrl.algorithms.rllib.outcome import read_curve
from roamrl.algorithms.rllib.play import Player
from roamrl.algorithms.rllib.recorder import PlayStats, Recorder
from roamrl.algorithms.rllib.runner import TASK_RETURNS
from roamrl.algorithms.rllib.task_returns import (
    MOST_TASKS,
    STRETCHES,
    TaskRecorder,
    TaskReturns,
    tasks_told_apart,
)
from roamrl.envs.task import Task


def with_tasks(spec: LearnerSpec, *counts: int) -> LearnerSpec:
    """Return a learner with one member for each number of tasks; a shorter pool is the beginning of a longer one."""
    members = tuple(
        replace(spec.members[0], seed=seed, tasks=tuple(Task("toy-v1", {}, {"target": 0.1 * n}) for n in range(count)))
        for seed, count in enumerate(counts)
    )
    return replace(spec, members=members)


def play_all(spec, envs=8, length=40):
    seeds = [member.seed for member in spec.members]
    player = Player(make_rows(spec, envs), noise_generators(seeds), envs, tasks=tasks_told_apart(spec))
    player.start(0)
    return player.play(build_module(spec.module, seeds), length, 0.9)


@pytest.mark.parametrize(
    ("counts", "told"), [((1, 1), 0), ((2, 1), 2), ((5, 3), 5), ((MOST_TASKS,), MOST_TASKS), ((MOST_TASKS + 1,), 0)]
)
def test_pools_of_several_and_not_too_many_tasks_are_told_apart(toy_learner, counts, told):
    spec = with_tasks(toy_learner(), *counts)
    assert tasks_told_apart(spec) == told
    assert (TaskRecorder.of(spec) is not None) == bool(told)


def test_returns_are_counted_for_the_task_that_the_episode_was_played_on(toy_learner):
    rollout, stats = play_all(with_tasks(toy_learner(), 3, 2))
    ended, total = np.zeros((2, 3), np.int64), np.zeros((2, 3))
    for member, row in np.ndindex(rollout.rewards.shape[1:]):
        got = 0.0
        for step in range(len(rollout)):
            got += float(rollout.rewards[step, member, row])
            if rollout.terminated[step, member, row] or rollout.truncated[step, member, row]:
                ended[member, rollout.tasks[step, member, row]] += 1
                total[member, rollout.tasks[step, member, row]] += got
                got = 0.0
    np.testing.assert_array_equal(stats.tasks.ended, ended)
    np.testing.assert_allclose(stats.tasks.return_sum, total, rtol=1e-5)
    np.testing.assert_array_equal(stats.tasks.ended.sum(axis=1), stats.ended)
    assert (ended > 0).sum() == 5, "every task of both pools was played"


def test_members_of_one_task_are_not_told_apart(toy_learner):
    assert play_all(with_tasks(toy_learner(), 1, 1))[1].tasks is None


def returns(ended, total):
    return TaskReturns(np.array(ended), np.array(total, float))


def recorded(stretch, ended, total):
    recorder = TaskRecorder(stretch, tasks=2)
    for number, pair in enumerate(zip(ended, total, strict=True)):
        recorder.add(10 * (number + 1), returns([pair[0]], [pair[1]]))
    return recorder


def test_a_stretch_is_the_mean_over_its_episodes_not_over_its_iterations():
    curve = recorded(2, [[1, 0], [3, 0], [0, 2]], [[-4.0, 0], [-4.0, 0], [0, -6.0]]).curve()
    np.testing.assert_array_equal(curve.iteration, [2, 3])
    np.testing.assert_array_equal(curve.env_steps, [20, 30])
    np.testing.assert_array_equal(curve.ended, [[[4, 0]], [[0, 2]]])
    np.testing.assert_array_equal(curve.return_mean, [[[-2.0, np.nan]], [[np.nan, -3.0]]])


@pytest.mark.parametrize("iterations", [1, STRETCHES, STRETCHES + 1, 7 * STRETCHES - 3])
def test_a_curve_stays_small_however_long_training_is(toy_learner, iterations):
    spec = with_tasks(toy_learner(iterations=iterations), 2)
    recorder = TaskRecorder.of(spec)
    for number in range(iterations):
        recorder.add(number + 1, returns([[1, 1]], [[0.0, float(number)]]))
    curve = recorder.curve()
    assert min(iterations, STRETCHES) / 2 <= len(curve.iteration) <= STRETCHES
    assert (curve.iteration[-1], curve.env_steps[-1], curve.ended.sum()) == (iterations, iterations, 2 * iterations)
    np.testing.assert_array_equal(curve.iteration, curve.env_steps)


def test_a_recorder_goes_on_in_the_middle_of_a_stretch():
    ended, total = [[1, 0], [3, 1], [0, 2], [1, 1]], [[-4.0, 0], [-4.0, 1], [0, -6.0], [1, 2]]
    whole = recorded(3, ended, total)
    first = Recorder(tasks=recorded(3, ended[:2], total[:2]))
    second = Recorder.from_state(first.state()).tasks
    for number in (2, 3):
        second.add(10 * (number + 1), returns([ended[number]], [total[number]]))
    for name, values in vars(whole.curve()).items():
        np.testing.assert_array_equal(getattr(second.curve(), name), values, err_msg=name)
    assert first.tasks.iterations == 2, "the first goes its own way"


def test_records_of_several_runners_join_in_the_order_of_their_members():
    parts = [PlayStats(np.array([n]), np.array([1.0 * n]), {}, returns([[n, 0]], [[1.0 * n, 0]])) for n in range(3)]
    np.testing.assert_array_equal(PlayStats.join(parts).tasks.ended, [[0, 0], [1, 0], [2, 0]])


def train(spec, folder):
    write_learner(folder, spec)
    algorithm = PopulationConfig().population(folder=folder).build_algo()
    while not (result := algorithm.train())["done"]:
        pass
    algorithm.stop()
    return read_curve(folder), result


@pytest.mark.ray
@pytest.mark.timeout(120)
def test_curve_and_results_tell_tasks_apart(local_ray, toy_learner, tmp_path):
    curve, result = train(replace(with_tasks(toy_learner(), 3, 2), phases=(Phase(4, 8, 16),)), tmp_path)
    tasks = curve.tasks
    np.testing.assert_array_equal(tasks.ended[:, 1, 2], 0)
    np.testing.assert_array_equal(tasks.ended.sum(axis=(1, 2)).cumsum() // 2, curve.episodes)
    total = np.nansum(tasks.ended * tasks.return_mean, axis=2)
    np.testing.assert_allclose(total / tasks.ended.sum(axis=2), curve.return_mean)
    told = result["env_runners"][TASK_RETURNS]
    assert set(told) == {"0", "1", "2"}
    for number, mean in told.items():
        ended, means = tasks.ended[-1, :, int(number)], np.nan_to_num(tasks.return_mean[-1, :, int(number)])
        assert mean == pytest.approx((ended * means).sum() / ended.sum())


@pytest.mark.ray
@pytest.mark.timeout(120)
def test_members_that_learn_to_adapt_are_told_apart_by_the_tasks_drawn(local_ray, toy_learner, tmp_path):
    settings = MAMLSettings(tasks=2, steps=1)
    spec = with_tasks(toy_learner(), 5)
    member = replace(spec.members[0], meta=settings)
    spec = replace(spec, members=(member,), phases=(Phase(6, 4, 8),))
    curve, _ = train(spec, tmp_path)
    np.testing.assert_array_equal(curve.tasks.iteration, [2, 4, 6])
    for meta_iteration in range(3):
        played = set(np.flatnonzero(curve.tasks.ended[meta_iteration, 0]))
        assert played == {member.tasks.index(task) for task in drawn_tasks(member, 2, meta_iteration)}
    assert curve.tasks.ended.sum() == curve.episodes[-1]
