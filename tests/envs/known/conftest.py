import pytest

from roamrl.envs import family as families
from roamrl.envs.known import BANDIT, NAVIGATION


@pytest.fixture(autouse=True)
def known_families(monkeypatch):
    for family in (BANDIT, NAVIGATION):
        monkeypatch.setitem(families._loaded, family.id, family)
