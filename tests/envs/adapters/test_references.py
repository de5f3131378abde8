"""References of environments from elsewhere: random actions always, others where a study names them."""

from __future__ import annotations

import numpy as np
import pytest

from roamrl.envs.adapters import GYMNASIUM
from roamrl.envs.errors import InputError

COUNTER = {"make": "pocket_envs:Counter", "max_episode_steps": 8, "context": {"goal": {"integer": True}}}
PRESS = {**COUNTER, "references": {"oracle": "pocket_envs:press_most"}}


def test_random_actions_do_not_depend_on_what_is_played_beside_them():
    tasks = GYMNASIUM.splits(GYMNASIUM.config())["iid"].tasks[:2]
    random = GYMNASIUM.reference(GYMNASIUM.config(), "trivial")
    together = random.play(GYMNASIUM, tasks, episodes=5, seed=3).returns
    alone = np.concatenate([random.play(GYMNASIUM, [task], episodes=5, seed=3).returns for task in tasks])
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_array_equal(together[:, :3], random.play(GYMNASIUM, tasks, episodes=3, seed=3).returns)
    assert len(np.unique(together)) > 3


def test_random_actions_are_uniform():
    returns = GYMNASIUM.reference(GYMNASIUM.config(COUNTER), "trivial").play(
        GYMNASIUM, [GYMNASIUM.task(config=COUNTER)], episodes=400, seed=0
    )
    mean = returns.returns.mean() / 5
    assert mean == pytest.approx(10 * 1.5 + 2.0, abs=0.5)  # 2000 presses, standard error 0.11


def test_a_named_policy_speaks_the_environments_own_language():
    task = GYMNASIUM.task({"goal": 3}, PRESS)
    oracle = GYMNASIUM.reference(dict(task.config), "oracle")
    np.testing.assert_array_equal(oracle.play(GYMNASIUM, [task], episodes=2, seed=0).returns, [[69.0, 69.0]])


def test_without_an_oracle_there_is_none():
    assert [r.role for r in GYMNASIUM.references(GYMNASIUM.config(COUNTER)).values()] == ["trivial"]
    with pytest.raises(InputError, match="unknown reference 'oracle'"):
        GYMNASIUM.reference(GYMNASIUM.config(COUNTER), "oracle")


def test_cached_returns_go_with_the_code_they_came_from(monkeypatch):
    import pocket_envs

    before = GYMNASIUM.sources(GYMNASIUM.config(PRESS))
    assert before == GYMNASIUM.sources(GYMNASIUM.config(PRESS)) != GYMNASIUM.sources(GYMNASIUM.config())
    monkeypatch.setattr("inspect.getsource", lambda module: "changed" if module is pocket_envs else "same")
    assert GYMNASIUM.sources(GYMNASIUM.config(PRESS)) != before
