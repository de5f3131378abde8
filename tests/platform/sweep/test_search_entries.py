"""What a search may say, and what is refused with a word on how to mend it."""

from __future__ import annotations

import pytest

from roamrl.envs.errors import InputError
from roamrl.platform.study.schema import Study
from roamrl.platform.study.search_entries import SpaceEntry

LR = {"pretrain.lr": {"loguniform": [1e-4, 1e-2]}}


@pytest.mark.parametrize(
    ("space", "words"),
    [
        ({"loguniform": [0, 1]}, "no values at or below 0"),
        ({"loguniform": [-1, 1]}, "no values at or below 0"),
        ({"uniform": [2, 1]}, "from a number to a greater one"),
        ({"uniform": [1, 1]}, "from a number to a greater one"),
        ({"uniform": [0, float("inf")]}, "from a number to a greater one"),
        ({"randint": [5, 5]}, "from a number to a greater one"),
        ({"randint": [1.5, 3]}, "integer"),
        ({"choice": [1]}, "at least two different"),
        ({"choice": [[16], [16]]}, "at least two different"),
        ({"grid": []}, "at least two different"),
        ({}, "exactly one of"),
        ({"choice": [1, 2], "uniform": [0, 1]}, "exactly one of"),
        ({"loguniforn": [1, 2]}, "did you mean 'search.space.pretrain.lr.loguniform'"),
    ],
)
def test_bad_spaces_are_refused(poles, space, words):
    with pytest.raises(InputError, match=words):
        poles({"space": {"pretrain.lr": space}})


@pytest.mark.parametrize(
    ("search", "words"),
    [
        ({"space": LR, "members": {"lr": {"choice": [1, 2]}}}, "and not both"),
        ({}, "and not both"),
        ({"space": LR, "scheduler": "pbt"}, "search 'members'"),
        ({"members": {"lr": {"choice": [1, 2]}}, "scheduler": "asha"}, "train together"),
        ({"members": {"lr": {"choice": [1, 2]}}, "scheduler": "median"}, "train together"),
        ({"members": {"lr": {"choice": [1, 2]}}, "algorithm": "optuna"}, "before any of them has a score"),
        ({"members": {"lr": {"randint": [1, 2]}}}, "takes numbers"),
        ({"members": {"lr": {"choice": ["1e-3", "1e-4"]}}}, "1.0e-3 a number"),
        ({"members": {"gae_lambda": {"choice": [0.9, 1]}}}, "gamma"),
        ({"space": {"pretrain.lr": {"grid": [1e-3, 1e-4]}}, "algorithm": "optuna"}, "walks no grid"),
        ({"space": {"module.model.hidden": {"choice": [[8], [16]]}}, "algorithm": "optuna"}, "numbers and words"),
        ({"space": LR, "schedular": "asha"}, "did you mean 'search.scheduler'"),
        ({"space": LR, "scheduler": "asha", "asha": {"grace": 9}}, "more than budget.reports"),
        ({"space": LR, "asha": {"reduction": 1}}, "asha.reduction"),
        ({"space": LR, "pbt": {"factors": [1.1, 1.2]}}, "one below 1 and one above"),
        ({"space": LR, "pbt": {"fraction": 0.7}}, "pbt.fraction"),
        ({"space": LR, "arm": "joined"}, "no arm of the study"),
        ({"space": LR, "budget": {"trials": 1}}, "budget.trials"),
    ],
)
def test_bad_searches_are_refused(poles, search, words):
    with pytest.raises(InputError, match=words):
        poles(search)


@pytest.mark.parametrize(
    ("metric", "words"), [("target", "too good to be true"), ("sources", "choices are made on val")]
)
def test_scores_are_compared_on_val_alone(poles, metric, words):
    with pytest.raises(InputError, match=words):
        poles({"space": LR, "metric": metric})
    assert poles({"space": LR, "metric": "val"}).search.metric == "val"


def test_a_search_changes_no_run(poles):
    assert poles({"space": LR}).hash == poles().hash
    assert poles({"space": LR}, seed=1).hash != poles().hash


def test_a_study_with_a_search_is_what_its_file_says(poles):
    study = poles(
        {"members": {"lr": {"loguniform": [1e-4, 1e-2]}, "gamma": {"choice": [0.9, 0.99]}}, "scheduler": "pbt"}
    )
    assert Study.model_validate(study.model_dump(mode="json")) == study


@pytest.mark.parametrize(
    ("space", "inside", "outside"),
    [
        ({"choice": [[8], "a"]}, [[8], "a"], [[16], "b", None]),
        ({"uniform": [0, 1]}, [0, 0.5, 1], [1.1, "0.5", None, True]),
        ({"randint": [2, 4]}, [2, 3, 4], [1, 2.5, 5]),
    ],
)
def test_spaces_know_their_values(space, inside, outside):
    entry = SpaceEntry.model_validate(space)
    assert [value for value in inside + outside if entry.contains(value)] == inside
