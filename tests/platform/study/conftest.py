"""A study small enough to run in a test."""

from __future__ import annotations

from typing import Any

import pytest

from roamrl.platform.study.load import check_study
from roamrl.platform.study.schema import Study

TINY: dict[str, Any] = {
    "name": "tiny",
    "family": "slicing-v1",
    "config": {"episode_windows": 10},
    "splits": {
        "sources": {"tasks": [{"name": "a", "context": {"load": 1.1}}, {"name": "b", "context": {"load": 1.2}}]},
        "similar": {"tasks": [{"name": "c", "context": {"load": 1.15}}]},
        "different": {"tasks": [{"name": "d", "context": {"load": 1.5, "weights": [0.6, 0.2, 0.2]}}]},
        "val": {"tasks": [{"name": "e", "context": {"load": 1.25}}]},
    },
    "targets": ["similar", "different"],
    "val": "val",
    "arms": {
        "scratch": {"strategy": "scratch"},
        "specialist": {"strategy": "specialist"},
        "reuse": {"strategy": "reuse", "sources": "sources"},
        "joint": {"strategy": "joint", "sources": "sources"},
    },
    "module": {"model": {"hidden": [8]}},
    "pretrain": {"steps": 640, "seeds": 1, "envs_per_member": 8, "length": 8},
    "adapt": {
        "episodes": [0, 1, 4],
        "per_iteration": 2,
        "seeds": 2,
        "tune": {"lr": [0.001, 0.01], "up_to": 4},
    },
    "evaluation": {"episodes": 4, "final_episodes": 6},
    "execution": {"checkpoint_every": 1, "iterations_per_report": 1},
}


@pytest.fixture(scope="session")
def tiny() -> Study:
    return check_study(TINY, "tiny")
