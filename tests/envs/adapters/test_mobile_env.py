"""mobile-env (Schneider et al., NOMS 2022), a cellular environment of others, as it is on PyPI."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from gymnasium import spaces

from roamrl.envs.adapters import GYMNASIUM

CELLS = {
    "make": "mobile_env:mobile-small-central-v0",
    "max_episode_steps": 20,
    "seed_kwarg": "config.seed",
    "kwargs": {"config": {"EP_MAX_TIME": 20}},
    "context": {
        "velocity": {"set": "kwarg", "at": "config.ue.velocity", "default": 1.5, "train": [1, 3], "ood": [6, 10]},
        "tx_dbm": {"set": "kwarg", "at": "config.bs.tx", "default": 30, "train": [25, 35], "ood": [15, 20]},
    },
}


def test_its_five_users_and_three_stations_are_one_choice_of_1024():
    observation, action = GYMNASIUM.spaces(GYMNASIUM.config(CELLS))
    assert (observation.shape, action) == ((35,), spaces.Discrete(1024))


def test_users_and_stations_are_those_of_the_context():
    env = GYMNASIUM.make_vec([GYMNASIUM.task({"velocity": 2.5, "tx_dbm": 17}, CELLS)])
    env.reset()
    cell = env._vector.envs[0]._env.unwrapped
    assert {user.velocity for user in cell.users.values()} == {2.5}
    assert {station.tx_power for station in cell.stations.values()} == {17.0}


def test_episodes_follow_from_their_seed_and_a_batch_equals_its_rows():
    tasks = [GYMNASIUM.task({"velocity": velocity}, CELLS) for velocity in (1, 3)]
    actions = np.random.default_rng(0).integers(1024, size=(45, 2))
    env = GYMNASIUM.make_vec(tasks, seed=7)
    env.reset()
    together = [env.step(pair) for pair in actions]
    assert [step for step in range(45) if together[step][3].all()] == [19, 39]
    for row, task in enumerate(tasks):
        alone = GYMNASIUM.make(task, seed=7, index=row)
        alone.reset()
        for step in range(20):
            obs, reward, *_ = alone.step(actions[step, row])
            assert reward == together[step][1][row]
        np.testing.assert_array_equal(obs, together[19][4]["final_obs"][row])


@pytest.fixture
def documented(monkeypatch: pytest.MonkeyPatch) -> dict:
    """The family config of the study in the documentation."""
    folder = Path(__file__).resolve().parents[3] / "docs" / "mobile-env"
    monkeypatch.syspath_prepend(str(folder))
    return GYMNASIUM.config(yaml.safe_load((folder / "study.yaml").read_text(encoding="utf-8"))["config"])


def test_absent_users_never_come_and_silent_stations_take_nobody(documented):
    env = GYMNASIUM.make_vec([GYMNASIUM.task({"users": 2, "stations": 1}, documented)])
    env.reset()
    cell = env._vector.envs[0]._env.unwrapped
    connected = set()
    for step in range(24):
        env.step(np.array([(341, 682, 1023)[step % 3]]))  # all users ask for station 1, then 2, then 3
        assert [user.ue_id for user in cell.active] == [0, 1]
        connected |= {station.bs_id for station, users in cell.connections.items() if users}
    assert connected == {0}


def test_the_engineers_policy_is_better_than_chance_and_fewer_stations_are_worth_less(documented):
    returns = {}
    for stations in (1, 3):
        task = GYMNASIUM.task({"stations": stations}, documented)
        for role in ("trivial", "classical"):
            played = GYMNASIUM.reference(documented, role).play(GYMNASIUM, [task], episodes=12, seed=1)
            returns[role, stations] = played.returns.mean()
    assert returns["classical", 3] > returns["classical", 1] > returns["trivial", 1]
    assert returns["classical", 3] > returns["trivial", 3] > returns["trivial", 1]
