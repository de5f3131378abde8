import numpy as np
import pytest

from roamrl.envs import family as families
from roamrl.envs.known import BANDIT, NAVIGATION


@pytest.fixture(autouse=True)
def known_families(monkeypatch):
    for family in (BANDIT, NAVIGATION):
        monkeypatch.setitem(families._loaded, family.id, family)


@pytest.fixture
def regrets():
    """Plays an episode in each of so many rows that go round some bandits, each row with luck of its own: [rows]."""

    def play(reference, tasks, rows=None, seed=5):
        env = BANDIT.make_vec(tasks, rows, seed, "Disabled")
        env.reset()
        total = np.zeros(env.num_envs)
        for _ in range(env.config.pulls):
            total += env.step(BANDIT.references({})[reference].act(env))[4]["regret"]
        return total

    return play
