"""What is drawn: within the spaces, by their laws, the same again with the same seed."""

from __future__ import annotations

import numpy as np
import pytest

from roamrl.algorithms.population.exploit import Range
from roamrl.envs.errors import InputError
from roamrl.platform.study.search_entries import SearchEntry, SpaceEntry
from roamrl.platform.sweep.spaces import draw, draw_settings, range_of


def search(space: dict, trials: int | None = None, seed: int = 0) -> SearchEntry:
    return SearchEntry.model_validate({"arm": "joint", "space": space, "seed": seed, "budget": {"trials": trials}})


def drawn(space: dict, count: int = 2000) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.array([draw(SpaceEntry.model_validate(space), rng) for _ in range(count)])


def test_a_logarithmic_range_is_even_in_the_logarithm():
    values = np.log10(drawn({"loguniform": [1e-5, 1e-1]}))
    assert -5 <= values.min() < -4.9 and -1.1 < values.max() <= -1
    assert np.histogram(values, bins=4)[0] == pytest.approx([500] * 4, abs=80)


def test_a_range_is_even():
    values = drawn({"uniform": [2, 6]})
    assert np.histogram(values, bins=4, range=(2, 6))[0] == pytest.approx([500] * 4, abs=80)


@pytest.mark.parametrize("space", [{"randint": [3, 6]}, {"choice": [3, 4, 5, 6]}])
def test_whole_numbers_include_both_ends(space):
    values, counts = np.unique(drawn(space), return_counts=True)
    assert values.tolist() == [3, 4, 5, 6]
    assert counts == pytest.approx([500] * 4, abs=80)


def test_the_study_comes_first_and_more_trials_keep_the_others():
    space = {"a": {"uniform": [0, 1]}, "b": {"choice": [1, 2]}}
    few, many = draw_settings(search(space, 4)), draw_settings(search(space, 9))
    assert few[0] == {} and many[:4] == few
    assert draw_settings(search(space, 9)) == many
    assert draw_settings(search(space, 9, seed=1))[1:] != many[1:]
    assert len(draw_settings(search(space))) == 16


def test_a_grid_is_tried_in_full_with_every_combination():
    settings = draw_settings(search({"a": {"grid": [1, 2]}, "b": {"grid": ["x", "y", "z"]}}))
    assert settings[1:] == [{"a": a, "b": b} for a in (1, 2) for b in ("x", "y", "z")]


def test_a_grid_goes_round_beside_what_is_drawn():
    settings = draw_settings(search({"a": {"grid": [1, 2]}, "c": {"uniform": [0, 1]}}, 7))
    assert [own["a"] for own in settings[1:]] == [1, 2, 1, 2, 1, 2]
    assert len({own["c"] for own in settings[1:]}) == 6


@pytest.mark.parametrize(
    ("space", "trials", "words"),
    [
        ({"a": {"grid": [1, 2, 3]}}, 3, "no room for the 3 points"),
        ({"a": {"grid": [1, 2, 3]}}, 9, "there are 3 points"),
        ({"a": {"choice": [1, 2, 3]}}, 9, "not so many different"),
    ],
)
def test_budgets_that_do_not_fit_are_refused(space, trials, words):
    with pytest.raises(InputError, match=words):
        draw_settings(search(space, trials))


def test_trials_are_all_different():
    settings = draw_settings(search({"a": {"choice": [1, 2]}, "b": {"choice": [1, 2]}}, 5))
    assert len({tuple(own.items()) for own in settings}) == 5


def test_members_move_in_their_space():
    assert range_of(SpaceEntry(loguniform=(1e-4, 1e-2))) == Range(1e-4, 1e-2, log=True)
    assert range_of(SpaceEntry(choice=(0.9, 0.5))) == Range(0.5, 0.9, choices=(0.9, 0.5))
