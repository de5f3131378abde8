"""Environments that raise, give no numbers or hang: the unit fails with its task's name, and the run goes on."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from roamrl.algorithms.learner_spec import MemberSpec
from roamrl.algorithms.population.rollout import Rollout
from roamrl.algorithms.rllib.environment_guard import EnvironmentFaultError, EnvironmentGuard
from roamrl.algorithms.rllib.watchdog import PATIENCE, EnvironmentHungError, Watchdog, default_patience_s, hang_reason
from roamrl.envs.errors import InputError
from roamrl.envs.task import Task
from roamrl.platform.study.run import read_results

TASKS = tuple(Task("toy-v1", {}, {"load": load}) for load in (0.5, 1.5))
MEMBERS = (MemberSpec(1, TASKS[:1]), MemberSpec(2, TASKS))
GUARD = EnvironmentGuard(MEMBERS)


def rollout(**changed: Any) -> Rollout:
    """Three steps of two rows of two members."""
    shape = (3, 2, 2)
    zeros = {name: np.zeros(shape, np.float32) for name in ("logp", "rewards", "discounts")}
    flags = {name: np.zeros(shape, np.bool_) for name in ("terminated", "truncated")}
    tasks = np.zeros(shape, np.int64)
    tasks[:, 1, 1] = 1
    whole = Rollout(
        obs=np.zeros((*shape, 4), np.float32),
        actions=np.zeros(shape, np.int64),
        last_obs=np.zeros((*shape[1:], 4), np.float32),
        final_at=np.array([[2, 1, 0]]),
        final_obs=np.zeros((1, 4), np.float32),
        tasks=tasks,
        **zeros,
        **flags,
    )
    return replace(whole, **changed)


def spoiled(shape: tuple[int, ...], at: tuple[int, ...], value: float) -> np.ndarray:
    array = np.zeros(shape, np.float32)
    array[at] = value
    return array


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    ("name", "shape", "at", "words", "task"),
    [
        ("rewards", (3, 2, 2), (1, 1, 1), r"a reward .* at step 1 .*member 1", TASKS[1]),
        ("obs", (3, 2, 2, 4), (2, 0, 1, 3), r"an? observation .* at step 2 .*member 0", TASKS[0]),
        ("last_obs", (2, 2, 4), (0, 1, 3), r"observation .* at step 3 .*member 0", TASKS[0]),
        ("final_obs", (1, 4), (0, 2), r"final observation .* at step 2 .*member 1", TASKS[1]),
    ],
)
def test_what_is_no_number_is_refused_with_its_place_and_task(name, shape, at, words, task, value):
    with pytest.raises(EnvironmentFaultError, match=words) as told:
        GUARD.check(rollout(**{name: spoiled(shape, at, value)}))
    assert task.id[:12] in str(told.value)


def test_numbers_pass_even_where_their_sum_is_none():
    GUARD.check(rollout())
    GUARD.check(rollout(rewards=np.full((3, 2, 2), 3e38, np.float32)))


def test_an_error_of_the_environment_names_its_tasks_in_one_line():
    def step() -> None:
        raise ZeroDivisionError("a cell is gone\nat length")

    with pytest.raises(EnvironmentFaultError) as told:
        GUARD.call("step", step)
    assert "failed in step with ZeroDivisionError: a cell is gone" in str(told.value)
    assert all(task.id[:12] in str(told.value) for task in TASKS) and "\n" not in str(told.value)
    assert isinstance(told.value.__cause__, ZeroDivisionError)


def test_bad_input_stays_what_it_is():
    def step() -> None:
        raise InputError("context variable 'lode'")

    with pytest.raises(InputError, match="lode"):
        GUARD.call("step", step)


def sleeps() -> None:
    time.sleep(60)


def is_busy() -> None:
    while True:
        sum(range(1000))


@pytest.mark.parametrize("hangs", [sleeps, is_busy])
def test_a_call_that_does_not_come_back_is_given_up(hangs):
    began = time.monotonic()
    with pytest.raises(EnvironmentHungError, match=r"of one of 2 tasks .* did not come back from step within \d+ s"):
        EnvironmentGuard(MEMBERS, patience_s=0.5).call("step", hangs)
    assert time.monotonic() - began < 50, "it was not waited for to the end"
    assert EnvironmentGuard(MEMBERS, patience_s=60).call("step", lambda: 7) == 7


def test_calls_that_come_back_are_never_interrupted():
    watchdog = Watchdog(0.3, "nobody")
    until = time.monotonic() + 1.5
    while time.monotonic() < until:
        assert watchdog.call("step", time.sleep, 0.05) is None


def test_a_process_that_is_no_actor_is_left_alone(monkeypatch, tmp_path):
    """Threads other than the main one cannot be interrupted; a person's own process is not ended for that."""
    monkeypatch.setattr("roamrl.algorithms.rllib.watchdog.GRACE_S", 0.2)
    done = []
    watchdog = Watchdog(0.2, "nobody", tmp_path)
    thread = threading.Thread(target=lambda: done.append(watchdog.call("step", time.sleep, 1.5)))
    thread.start()
    thread.join()
    assert done == [None] and hang_reason(tmp_path) is None


@pytest.mark.parametrize("given", ["soon", "0", "-5", "nan"])
def test_a_patience_that_is_none_is_refused(monkeypatch, given):
    monkeypatch.setenv(PATIENCE, given)
    with pytest.raises(InputError, match=PATIENCE):
        default_patience_s()


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_faulty_tasks_fail_with_their_reason_and_the_others_finish(
    commands: Any, study: dict[str, Any], faults: dict[str, int], tmp_path: Path
) -> None:
    tasks = [{"name": "fine", "context": {"fault": 0}}]
    tasks += [{"name": name, "context": {"fault": fault}} for name, fault in faults.items()]
    study["splits"]["cells"] = {"tasks": tasks}
    study["execution"] |= {"max_failures": 1, "trials_at_once": 2}
    assert commands.run(study, **{PATIENCE: "5"}) == 1, commands.said()
    failures = json.loads((tmp_path / "run" / "failures.json").read_text())
    assert len(failures) == len(faults) and {failure["stage"] for failure in failures} == {"adapt"}
    reasons = {
        name: failure["error"]
        for failure in failures
        for name, fault in faults.items()
        if f'gymnasium-v1 with {{"fault": {fault},' in failure["error"]
    }
    assert set(reasons) == set(faults)
    assert "failed in step with ZeroDivisionError: the simulator lost a cell" in reasons["raises"]
    assert "gave a reward that is not finite" in reasons["nan-reward"]
    assert "observation that is not finite" in reasons["nan-observation"]
    for name in ("sleeps", "swallows"):
        assert "did not come back from step within" in reasons[name]
    rows = read_results(tmp_path / "run").to_pylist()
    assert {row["task_name"] for row in rows if row["stage"] == "adapt"} == {"fine"}
    assert (tmp_path / "run" / "report" / "index.html").is_file()
