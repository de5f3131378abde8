"""Learners and studies that are quick to train, and commands that run in processes of their own."""

from __future__ import annotations

import copy
import os
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from gymnasium import spaces

from roamrl.algorithms.bundle import ModuleSpec
from roamrl.algorithms.learner_spec import LearnerSpec, MemberSpec, Phase, PPOSettings
from roamrl.algorithms.rllib.algorithm import PopulationAlgorithm
from roamrl.algorithms.rllib.learner_folder import write_learner
from roamrl.algorithms.rllib.outcome import read_curve

HERE = Path(__file__).parent
ITERATIONS = 6
START_ATTEMPTS = 4
LAST = f"snapshot-{ITERATIONS:07d}.safetensors"

STUDY: dict[str, Any] = {
    "name": "faults",
    "family": "gymnasium-v1",
    "config": {
        "make": "faulty_environments:make",
        "max_episode_steps": 10,
        "context": {
            "fault": {"set": "kwarg", "default": 0, "integer": True},
            "push": {"set": "kwarg", "default": 0.2},
        },
    },
    "splits": {
        "cells": {"tasks": [{"name": "fine"}]},
        "val": {"tasks": [{"name": "calm", "context": {"push": 0.3}}]},
    },
    "targets": ["cells"],
    "val": "val",
    "arms": {"scratch": {"strategy": "scratch"}},
    "module": {"model": {"hidden": [8]}},
    "pretrain": {"steps": 64, "seeds": 1, "envs_per_member": 4, "length": 8},
    "adapt": {"episodes": [0, 2], "per_iteration": 2, "seeds": 1, "tune": {"lr": [0.01], "up_to": 2}},
    "evaluation": {"episodes": 2, "final_episodes": 2},
    "execution": {"checkpoint_every": 1, "iterations_per_report": 1, "members_per_trial": 1},
}


@pytest.fixture
def cartpole_learner() -> Callable[..., LearnerSpec]:
    """Makes learners of six iterations on CartPole-v1."""
    return _cartpole_learner


def _cartpole_learner(*seeds: int) -> LearnerSpec:
    return LearnerSpec(
        ModuleSpec("mlp", spaces.Box(-np.inf, np.inf, (4,), np.float32), spaces.Discrete(2), {"hidden": [8]}),
        tuple(MemberSpec(seed, lr=1e-3, entropy_coeff=0.0) for seed in seeds),
        (Phase(ITERATIONS, 4, 16),),
        PPOSettings(epochs=2, minibatches=2),
        (ITERATIONS,),
    )


@pytest.fixture
def undisturbed(tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[LearnerSpec], Path]:
    """Trains a learner in this process and returns its folder."""

    def train(spec: LearnerSpec) -> Path:
        request.getfixturevalue("local_ray")  # not before: a cluster of the test's own may be running until then
        folder = tmp_path / "undisturbed" / "-".join(str(member.seed) for member in spec.members)
        write_learner(folder, spec)
        algorithm = PopulationAlgorithm({"folder": str(folder), "env": "CartPole-v1"})
        while not algorithm.train()["done"]:
            pass
        algorithm.stop()
        return folder

    return train


@pytest.fixture
def assert_same_outcome() -> Callable[[Path, Path], None]:
    """Checks that two learners' folders hold the same curve and the same policies, bit for bit."""
    return _assert_same_outcome


def _assert_same_outcome(folder: Path, other: Path) -> None:
    ours, theirs = read_curve(folder), read_curve(other)
    np.testing.assert_array_equal(ours.env_steps, theirs.env_steps)
    np.testing.assert_array_equal(ours.return_mean, theirs.return_mean)
    assert (folder / LAST).read_bytes() == (other / LAST).read_bytes()


class Commands:
    """Starts ``roamrl run`` on studies in a folder: the run lies in ``run``, its words in ``said``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.processes: list[subprocess.Popen[str]] = []

    def start(self, study: dict[str, Any], store: str = "store", **variables: str) -> subprocess.Popen[str]:
        """Start a process of its own session."""
        (self._folder / "study.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")
        command = [sys.executable, "-m", "roamrl.platform", "run", "study.yaml", "--out", "run", "--store", store]
        environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
        environment |= {"PYTHONPATH": str(HERE), "ROAMRL_CACHE": str(self._folder / "cache"), **variables}
        with (self._folder / "said").open("w", encoding="utf-8") as said:
            process = subprocess.Popen(
                command, cwd=self._folder, env=environment, stdout=said, stderr=said, text=True, start_new_session=True
            )
        self.processes.append(process)
        return process

    def run(self, study: dict[str, Any], store: str = "store", **variables: str) -> int:
        """Return a command's exit status; one whose Ray did not start in time on a busy machine is given again."""
        for _ in range(START_ATTEMPTS):
            status = self.start(study, store, **variables).wait()
            if not self.no_ray():
                break
        return status

    def no_ray(self) -> bool:
        """Return whether the last command could not start Ray."""
        return "timed out during startup" in self.said()

    def said(self) -> str:
        """Return what the last command said."""
        return (self._folder / "said").read_text(encoding="utf-8")


@pytest.fixture
def commands(tmp_path: Path) -> Iterator[Commands]:
    """Starts commands in the test's folder, and ends those that are left."""
    made = Commands(tmp_path)
    yield made
    for process in made.processes:
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def faults() -> dict[str, int]:
    """What can be wrong with the environment in ``faulty_environments``, and the context that makes it so."""
    return runpy.run_path(str(HERE / "faulty_environments.py"))["FAULTS"]


@pytest.fixture
def study() -> dict[str, Any]:
    """A study of the environment in ``faulty_environments``, to be changed."""
    return copy.deepcopy(STUDY)
