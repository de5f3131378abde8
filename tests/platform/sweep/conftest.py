"""Studies of CartPole whose own step size is far too small, so that a search has something to find."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from roamrl.platform.study.load import check_study
from roamrl.platform.study.schema import Study

POLES: dict[str, Any] = {
    "name": "poles",
    "family": "gymnasium-v1",
    "config": {
        "make": "CartPole-v1",
        "max_episode_steps": 100,
        "context": {"length": {"train": [0.4, 0.8], "ood": [1.2, 2.0]}},
    },
    "splits": {
        "sources": {"tasks": [{"name": "a", "context": {"length": 0.4}}, {"name": "b", "context": {"length": 0.6}}]},
        "target": {"tasks": [{"name": "t", "context": {"length": 0.7}}]},
        "val": {"tasks": [{"name": "v", "context": {"length": 0.5}}, {"name": "w", "context": {"length": 0.55}}]},
    },
    "targets": ["target"],
    "val": "val",
    "arms": {
        "joint": {"strategy": "joint", "sources": "sources"},
        "specialist": {"strategy": "specialist"},
        "scratch": {"strategy": "scratch"},
        "max-q": {"strategy": "max_q", "sources": "sources"},
    },
    "ppo": {"gamma": 0.98},
    "module": {"model": {"hidden": [32]}},
    "pretrain": {"steps": 256, "seeds": 2, "envs_per_member": 4, "length": 16, "lr": 1e-5},
    "evaluation": {"episodes": 4, "final_episodes": 4, "greedy": False},  # untrained nets may balance by luck if greedy
    "execution": {"checkpoint_every": 1, "iterations_per_report": 1},
}
SPACE = {"pretrain.lr": {"loguniform": [1e-5, 1e-1]}}


@pytest.fixture(scope="session")
def poles() -> Callable[..., Study]:
    """Make the study with a search, for arm ``joint`` unless it says otherwise; ``pretrain`` and others replaced."""

    def make(search: dict[str, Any] | None = None, **other: Any) -> Study:
        own = {**POLES, **other, "pretrain": {**POLES["pretrain"], **other.get("pretrain", {})}}
        if search is not None:
            budget = {"reports": 2, "trials": 3, **search.get("budget", {})}
            own["search"] = {"arm": "joint", **search, "budget": budget}
        return check_study(own, "poles")

    return make
