"""The channel threshold tuned on a target's own episodes: what it counts, what it plays, and that it helps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from roamrl.envs.live_search import LEAST_EPISODES
from roamrl.envs.urllc import URLLC, tuning_on_target
from roamrl.envs.urllc.arrival_law import batches, poisson
from roamrl.envs.urllc.config import read_config
from roamrl.envs.urllc.references import TUNED, ChannelThreshold
from roamrl.envs.urllc.threshold import Threshold, neighbours
from roamrl.envs.urllc.tuning import tune_threshold_exactly
from roamrl.envs.urllc.tuning_on_target import most_surely_best

HEAVY = URLLC.task({"arrivals": poisson(2.0)}, {"episode_slots": 200})


@pytest.mark.parametrize("episodes", [0, 1, LEAST_EPISODES - 1])
def test_with_too_few_episodes_nothing_is_played_and_the_numbers_are_those_of_val(episodes: int) -> None:
    tuned = URLLC.tuned_classical(HEAVY, episodes, 3)
    assert isinstance(tuned.reference, ChannelThreshold)
    assert tuned.reference.threshold == TUNED
    assert (tuned.episodes, tuned.searched) == (0, None)


@pytest.mark.parametrize("episodes", [10, 37, 120])
def test_every_episode_is_counted_and_played_once(monkeypatch: pytest.MonkeyPatch, episodes: int) -> None:
    placed: list[tuple[int, int]] = []
    place = tuning_on_target.place_episodes

    def watched(family: Any, tasks: Any, block: range, seed: int) -> Any:
        assert tasks == [HEAVY]
        placed.extend((seed, number) for number in block)
        return place(family, tasks, block, seed)

    monkeypatch.setattr(tuning_on_target, "place_episodes", watched)
    tuned = URLLC.tuned_classical(HEAVY, episodes, 3)
    assert placed == [(3, number) for number in range(episodes)]
    assert tuned.episodes == episodes
    assert tuned.searched is not None and tuned.searched.measures["power"].shape == (1, episodes)


def test_the_first_round_is_that_of_val_and_its_neighbours_each_on_a_stream_of_its_own() -> None:
    tuned = URLLC.tuned_classical(HEAVY, 10, 5)
    assert tuned.searched is not None
    near = neighbours(TUNED, read_config(HEAVY.config))
    order = [TUNED, *(near[place] for place in np.random.default_rng(5).permutation(len(near)))]
    for number, threshold in enumerate(order):
        alone = ChannelThreshold(threshold).play(URLLC, [HEAVY], episodes=10, seed=5)
        assert tuned.searched.returns[0, number] == pytest.approx(alone.returns[0, number])


def test_a_threshold_that_was_lucky_once_does_not_displace_one_that_is_known() -> None:
    known, lucky, better = Threshold(0, 3, 0.3), Threshold(1, 2, 0.3), Threshold(2, 2, 0.3)
    returns = {known: [10.0, 14.0, 8.0, 12.0], lucky: [12.0]}
    assert most_surely_best(returns) == known  # 11 - 2.6 / 2 against 12 - 2.6
    assert most_surely_best({**returns, better: [16.0, 18.0]}) == better
    assert most_surely_best({known: [1.0], lucky: [2.0]}) == lucky


def test_the_same_seed_finds_the_same_numbers() -> None:
    few, again = (URLLC.tuned_classical(HEAVY, 20, 8) for _ in range(2))
    assert few.numbers == again.numbers
    np.testing.assert_array_equal(few.searched.returns, again.searched.returns)
    assert few.numbers == {name: getattr(few.reference.threshold, name) for name in ("base", "extra", "gain")}


@pytest.mark.parametrize("law", [poisson(2.0), batches(0.8)])
def test_few_episodes_of_a_target_mend_what_was_tuned_elsewhere(law: Any) -> None:
    task = URLLC.task({"arrivals": law})
    found = [URLLC.tuned_classical(task, episodes, 3).reference for episodes in (0, 10, 100)]
    reward = [reference.long_run(task).reward for reference in found]
    assert reward[0] < reward[1]
    best = ChannelThreshold(tune_threshold_exactly([task])).long_run(task).reward
    assert reward[2] <= best
    assert best - reward[2] < 0.5 * (best - reward[0])
