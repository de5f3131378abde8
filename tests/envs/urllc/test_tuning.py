"""Tuning the channel threshold: exactly, on episodes, and within a budget of episodes."""

from __future__ import annotations

import numpy as np
import pytest

from roamrl.envs.urllc import URLLC
from roamrl.envs.urllc.arrival_law import batches, poisson
from roamrl.envs.urllc.config import read_config
from roamrl.envs.urllc.references import TUNED, ChannelThreshold
from roamrl.envs.urllc.splits import gaps
from roamrl.envs.urllc.threshold import Threshold, neighbours, thresholds
from roamrl.envs.urllc.tuning import tune_threshold, tune_threshold_exactly

SPLITS = URLLC.splits(URLLC.config())


def test_the_published_threshold_is_the_best_of_its_class_on_val():
    tasks = SPLITS["val"].tasks
    assert tune_threshold_exactly(tasks, 1.0 / gaps(tasks)) == TUNED


def test_thresholds_are_all_that_act_differently():
    gains = np.asarray(URLLC.config()["gains"])
    offered = thresholds(read_config({}))
    acts = {tuple(entry.rates(gains)) for entry in offered}
    assert len(acts) == len(offered) == 9 + 36 * 7
    assert (0, 0, 3, 3, 3, 3, 3, 3) in acts and tuple(Threshold(1, 2, 0.9).rates(gains)) in acts


def test_tuning_on_episodes_finds_what_the_chain_knows():
    """On a target of its own, with enough episodes; and it repeats itself."""
    task = URLLC.task({"arrivals": poisson(2.0)}, {"max_rate": 4})
    tuned = [tune_threshold(URLLC, [task], episodes=20, seed=3) for _ in range(2)]
    exact = tune_threshold_exactly([task])
    assert tuned[0] == tuned[1] == exact
    assert exact != tune_threshold_exactly([URLLC.task({"arrivals": poisson(0.5)}, {"max_rate": 4})])


def test_tuning_weighs_tasks_by_their_worth():
    tasks = [URLLC.task({"arrivals": poisson(mean)}, {"max_rate": 4}) for mean in (0.5, 2.0)]
    alone = [tune_threshold_exactly([task]) for task in tasks]
    assert [tune_threshold_exactly(tasks, np.array(worth)) for worth in ([1.0, 0.0], [0.0, 1.0])] == alone
    assert alone[0] != alone[1]


def test_neighbours_are_near_and_of_the_class():
    config = read_config({})
    offered = set(thresholds(config))
    for threshold in (TUNED, Threshold(8, 0, 0.0), Threshold(0, 1, TUNED.gain), Threshold(3, 5, 0.4)):
        near = neighbours(threshold, config)
        assert set(near) <= offered - {threshold} and len(set(near)) == len(near) >= 2
        assert all(abs(entry.base - threshold.base) + abs(entry.extra - threshold.extra) <= 2 for entry in near)


@pytest.mark.parametrize("law", [poisson(2.0), batches(0.8)])
def test_few_episodes_of_a_target_mend_what_was_tuned_elsewhere(law):
    task = URLLC.task({"arrivals": law})
    reward = [ChannelThreshold(TUNED).long_run(task).reward]
    for episodes in (10, 100):
        tuned = URLLC.tuned_classical(task, episodes, 3)
        assert isinstance(tuned.reference, ChannelThreshold)
        assert 0 < tuned.episodes <= episodes and tuned.searched.measures["power"].shape == (1, tuned.episodes)
        reward.append(tuned.reference.long_run(task).reward)
        assert tuned.numbers == {name: getattr(tuned.reference.threshold, name) for name in ("base", "extra", "gain")}
    best = ChannelThreshold(tune_threshold_exactly([task])).long_run(task).reward
    assert reward[0] < reward[1] <= reward[2] + 0.05 <= best + 0.051
    assert reward[2] == pytest.approx(best, rel=0.05)


@pytest.mark.parametrize("episodes", [0, 1])
def test_with_nothing_to_compare_the_numbers_are_those_of_val(episodes):
    tuned = URLLC.tuned_classical(URLLC.task({"arrivals": poisson(2.0)}), episodes, 3)
    assert tuned.reference.threshold == TUNED and tuned.episodes == 0


def test_a_search_plays_the_episodes_it_is_given_and_no_others():
    task = URLLC.task({"arrivals": poisson(2.0)})
    tuned = URLLC.tuned_classical(task, 3, 5)
    first = ChannelThreshold(TUNED).play(URLLC, [task], episodes=1, seed=5).returns[0, 0]
    assert tuned.episodes == 3 and tuned.searched.returns[0, 0] == first
