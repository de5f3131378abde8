"""The classical policy tuned on a target's own episodes: what it counts, what it plays, and that it helps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from roamrl.envs.adapters import GYMNASIUM
from roamrl.envs.live_search import LEAST_EPISODES, Surface
from roamrl.envs.slicing import SLICING, tuning_on_target
from roamrl.envs.slicing.references import Demand, DemandGains
from roamrl.envs.slicing.tuning import gains_at
from roamrl.envs.slicing.tuning_on_target import tune_demand_on_target

CONFIG = {"episode_windows": 20}
TASK = SLICING.task({"load": 1.3}, CONFIG)


@pytest.mark.parametrize("episodes", [0, 1, LEAST_EPISODES - 1])
def test_with_too_few_episodes_nothing_is_played_and_the_numbers_are_those_of_val(episodes: int) -> None:
    tuned = SLICING.tuned_classical(TASK, episodes, 3)
    published = SLICING.reference(TASK.config, "classical")
    assert (tuned.episodes, tuned.searched) == (0, None)
    assert np.isnan(tuned.measured("violation_rate"))
    assert isinstance(published, Demand)
    assert list(tuned.numbers.values()) == [*published.gains.scale, published.gains.floor]
    assert list(tuned.numbers) == ["scale_control", "scale_video", "scale_xr", "floor"]
    played = [one.play(SLICING, [TASK], episodes=3, seed=1).returns for one in (tuned.reference, published)]
    np.testing.assert_array_equal(*played)


@pytest.mark.parametrize("episodes", [10, 37, 120])
def test_every_episode_is_counted_and_played_once(monkeypatch: pytest.MonkeyPatch, episodes: int) -> None:
    placed: list[tuple[int, int]] = []
    place = tuning_on_target.place_episodes

    def watched(family: Any, tasks: Any, block: range, seed: int) -> Any:
        assert tasks == [TASK]
        placed.extend((seed, number) for number in block)
        return place(family, tasks, block, seed)

    monkeypatch.setattr(tuning_on_target, "place_episodes", watched)
    tuned = SLICING.tuned_classical(TASK, episodes, 3)
    assert len(placed) == len(set(placed)) == tuned.episodes == episodes - episodes % 2
    assert {seed for seed, _ in placed} == {3}


def test_each_episode_is_played_with_gains_of_its_own() -> None:
    start = DemandGains((1.2, 0.9, 0.9), 0.2)
    tuned = tune_demand_on_target(SLICING, TASK, start, 10, 5)
    step = Surface(1, 1).spread * np.random.default_rng(5).standard_normal((5, 4))
    origin = np.append(np.log(start.scale), np.log(start.floor))
    assert tuned.searched is not None
    for number, point in enumerate([*step, *-step]):
        alone = Demand(gains_at(origin + point)).play(SLICING, [TASK], episodes=10, seed=5)
        assert tuned.searched.returns[0, number] == pytest.approx(alone.returns[0, number])
        assert tuned.searched.measures["violation_rate"][0, number] == pytest.approx(
            alone.measures["violation_rate"][0, number]
        )


def test_the_same_seed_finds_the_same_numbers_and_more_episodes_begin_with_the_same_ones() -> None:
    few, again, more = (SLICING.tuned_classical(TASK, n, 8) for n in (12, 12, 14))
    assert few.numbers == again.numbers
    assert few.numbers != more.numbers


def test_it_mends_gains_that_do_not_suit_the_target() -> None:
    wrong = DemandGains((0.6, 2.2, 0.2), 0.05)
    tuned = tune_demand_on_target(SLICING, TASK, wrong, 200, 2)

    def worth(policy: Any) -> float:
        return float(policy.play(SLICING, [TASK], episodes=60, seed=77).returns.mean())

    assert worth(tuned.reference) > worth(Demand(wrong)) + 0.5


def test_a_family_without_numbers_to_tune_has_none() -> None:
    assert GYMNASIUM.tuned_classical(TASK, 10, 0) is None
