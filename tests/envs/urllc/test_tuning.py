"""Tuning the channel threshold: exactly, and on episodes common to all."""

from __future__ import annotations

import numpy as np

from roamrl.envs.urllc import URLLC
from roamrl.envs.urllc.arrival_law import poisson
from roamrl.envs.urllc.config import read_config
from roamrl.envs.urllc.references import TUNED
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
