"""The command itself is killed: given again, it redoes the steps since the newest checkpoint and no more."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from roamrl.algorithms.rllib.outcome import read_done
from roamrl.platform.study.run import read_results

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(900)]

ROWS, LENGTH, EPISODE, ITERATIONS, EVERY = 4, 8, 10, 400, 10


def test_few_steps_are_made_again(commands: Any, study: dict[str, Any], tmp_path: Path) -> None:
    steps = ROWS * LENGTH * ITERATIONS
    study["arms"] = {"specialist": {"strategy": "specialist"}}
    study["pretrain"] = {"steps": steps, "seeds": 1, "envs_per_member": ROWS, "length": LENGTH}
    study["execution"] |= {"checkpoint_every": EVERY}
    counted = tmp_path / "steps"
    counted.touch()
    first = commands.start(study, FAULTY_STEPS=str(counted))
    while counted.stat().st_size < steps // 2:
        if first.poll() is not None and commands.no_ray():
            first = commands.start(study, FAULTY_STEPS=str(counted))
        assert first.poll() is None, commands.said()
        time.sleep(0.05)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    began = time.monotonic()
    at_kill = counted.stat().st_size
    assert at_kill < steps
    assert commands.run(study, FAULTY_STEPS=str(counted)) == 0, commands.said()
    print(
        f"killed after {at_kill} of {steps} steps; {counted.stat().st_size - steps} made again; "
        f"{time.monotonic() - began:.0f} s from the kill to the end of the run"
    )
    (unit,) = [place for place in (tmp_path / "run" / "units").iterdir() if read_done(place).env_steps == steps]
    assert read_done(unit).iterations == ITERATIONS
    replayed = ROWS * EPISODE  # a checkpoint keeps the episodes that were open, which are played again up to there
    redone = counted.stat().st_size - steps
    assert redone <= ROWS * LENGTH * (EVERY + 2) + replayed
    assert redone < at_kill // 4, "it did not begin anew"
    assert read_results(tmp_path / "run").num_rows
