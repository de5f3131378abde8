"""p-persistent access tuned on a target's own episodes: what it counts, what it plays, and that it helps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from roamrl.envs.live_search import LEAST_EPISODES
from roamrl.envs.mac import MAC, tuning_on_target
from roamrl.envs.mac.persistence import best_persistence
from roamrl.envs.mac.references import TUNED_PERSISTENCE, persistent
from roamrl.envs.task import Task
from roamrl.envs.tuned_reference import TunedReference


def saturated(stations: int) -> Task:
    return MAC.task({"stations": stations, "arrival": "saturated"}, {"n_max": stations, "episode_slots": 2000})


def tune(task: Task, episodes: int, seed: int = 3) -> TunedReference:
    return MAC.tuned_classical(task, episodes, seed)


@pytest.mark.parametrize("episodes", [0, 1, LEAST_EPISODES - 1])
def test_with_too_few_episodes_nothing_is_played(episodes: int) -> None:
    tuned = tune(saturated(8), episodes)
    assert (tuned.episodes, tuned.searched) == (0, None)
    assert tuned.numbers == {"probability": TUNED_PERSISTENCE}
    trivial = MAC.reference(saturated(8).config, "trivial")
    played = [one.play(MAC, [saturated(8)], episodes=3, seed=1).returns for one in (tuned.reference, trivial)]
    np.testing.assert_array_equal(*played)


@pytest.mark.parametrize("episodes", [10, 37, 120])
def test_every_episode_is_counted_and_played_once(monkeypatch: pytest.MonkeyPatch, episodes: int) -> None:
    streams: list[tuple[int, int]] = []
    play = tuning_on_target.play_rows

    def watched(code: int, tasks: Any, chances: Any, entries: Any, indices: Any, seed: int) -> Any:
        streams.extend((seed, int(index)) for index in indices)
        return play(code, tasks, chances, entries, indices, seed)

    monkeypatch.setattr(tuning_on_target, "play_rows", watched)
    tuned = tune(saturated(4), episodes, 5)
    assert len(streams) == len(set(streams)) == tuned.episodes == episodes - episodes % 2
    assert {seed for seed, _ in streams} == {5}


def test_each_episode_is_played_with_a_probability_of_its_own() -> None:
    task, tuned = saturated(4), tune(saturated(4), 10, 5)
    step = tuning_on_target.SPREAD * np.random.default_rng(5).standard_normal(5)
    assert tuned.searched is not None
    for number, shift in enumerate([*step, *-step]):
        alone = persistent(TUNED_PERSISTENCE * np.exp(shift)).play(MAC, [task], episodes=10, seed=5)
        assert tuned.searched.returns[0, number] == alone.returns[0, number]
        assert tuned.measured("jain") == pytest.approx(tuned.searched.measures["jain"].mean())


@pytest.mark.parametrize(("stations", "left"), [(2, 0.5), (8, 0.6), (20, 0.6)])
def test_it_comes_nearer_to_the_best_probability_with_more_episodes(stations: int, left: float) -> None:
    best = np.log(best_persistence(stations, 10))
    off = [abs(np.log(tune(saturated(stations), n).numbers["probability"]) - best) for n in (0, 10, 100)]
    assert off[1] < off[0] and off[2] < left * off[0]


def test_the_same_seed_finds_the_same_probability() -> None:
    found = [tune(saturated(4), 12, seed).numbers for seed in (1, 1, 2)]
    assert found[0] == found[1] != found[2]
