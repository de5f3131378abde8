"""What strategies need: refused by module, actions and observations, before anything is built."""

from __future__ import annotations

import numpy as np
import pytest
from gymnasium import spaces

from roamrl.algorithms.bundle import ModuleSpec
from roamrl.algorithms.strategy import Setting, get_strategy, make_strategy
from roamrl.envs.errors import InputError

FLAT = spaces.Box(-1, 1, (3,), np.float32)
STATIONS = spaces.Box(-1, 1, (4, 3), np.float32)
ONE_OF = spaces.Discrete(2)


@pytest.mark.parametrize("name", ["guided", "distill", "hybrid", "distill-multi", "pcgrad", "maml", "fomaml"])
def test_a_module_with_memory_is_refused_where_single_observations_are_asked_about(name: str) -> None:
    gru = ModuleSpec("gru", FLAT, ONE_OF)
    with pytest.raises(InputError, match=rf"'{name}' cannot .* of kind 'gru': .*'mlp' or 'entity'.*kind: mlp"):
        make_strategy(name, {}).module(gru, Setting())
    entity = ModuleSpec("gru", STATIONS, spaces.MultiBinary(4))
    with pytest.raises(InputError, match="kind: entity"):
        make_strategy(name, {}).module(entity, Setting())


@pytest.mark.parametrize("name", ["scratch", "specialist", "joint", "reuse", "reptile"])
@pytest.mark.parametrize("kind", ["mlp", "gru", "entity"])
@pytest.mark.parametrize("action", [ONE_OF, spaces.MultiBinary(4), spaces.Box(-1, 1, (2,))], ids=repr)
def test_who_needs_nothing_takes_everything(name: str, kind: str, action: spaces.Space) -> None:
    base = ModuleSpec(kind, STATIONS, action)
    assert make_strategy(name, {}).module(base, Setting()) is base


@pytest.mark.parametrize("name", ["multihead", "popart", "rl2", "pearl"])
def test_sets_of_entities_are_refused_whatever_the_module(name: str) -> None:
    for kind in ("mlp", "entity"):
        with pytest.raises(InputError, match=r"observations of shape \[4, 3\]: .* on flat observations; take another"):
            make_strategy(name, {}).module(ModuleSpec(kind, STATIONS, spaces.MultiBinary(4)), Setting())


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("scratch", "any family"),
        ("dqn", "discrete actions"),
        ("gpi", "discrete actions, observed weights of the reward's parts"),
        ("rl2", "flat observations, module mlp or gru"),
    ],
)
def test_needs_in_words(name: str, words: str) -> None:
    assert get_strategy(name).needs.describe() == words
