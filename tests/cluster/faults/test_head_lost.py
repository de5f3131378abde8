"""The head of a cluster is lost with all its processes: the command ends and says so, and goes on elsewhere."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from roamrl.algorithms.rllib.outcome import read_done
from roamrl.cluster.launcher import HeadOptions, start_head, stop_node
from roamrl.cluster.node_state import Node
from roamrl.platform.study.run import read_results

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(900)]

ROWS, LENGTH, EPISODE, ITERATIONS, EVERY = 4, 8, 10, 400, 10
PATIENCE_S = 300


@pytest.fixture
def head(own_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
    """A head whose workers count the steps they make into ``steps``."""
    (tmp_path / "steps").touch()
    monkeypatch.setenv("FAULTY_STEPS", str(tmp_path / "steps"))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    node = start_head(HeadOptions(port=0, dashboard_port=0, num_cpus=2))
    yield node
    stop_node(node)


def test_the_command_ends_and_goes_on_elsewhere(
    commands: Any, study: dict[str, Any], head: Node, tmp_path: Path
) -> None:
    steps = ROWS * LENGTH * ITERATIONS
    study["arms"] = {"specialist": {"strategy": "specialist"}}
    study["pretrain"] = {"steps": steps, "seeds": 1, "envs_per_member": ROWS, "length": LENGTH}
    study["execution"] |= {"checkpoint_every": EVERY}
    counted = tmp_path / "steps"
    first = commands.start(study, RAY_ADDRESS=head.address)
    while counted.stat().st_size < steps // 2:
        assert first.poll() is None, commands.said()
        time.sleep(0.05)
    for process in head.processes:
        os.kill(process.pid, signal.SIGKILL)
    lost = time.monotonic()
    at_kill = counted.stat().st_size
    assert at_kill < steps
    status = first.wait(PATIENCE_S)
    print(f"the command ended {time.monotonic() - lost:.0f} s after its cluster, with status {status}:")
    print(commands.said())
    assert status == 1
    assert f"the head of the cluster at {head.address} has not answered for" in commands.said()
    assert "the same command goes on with it" in commands.said()
    assert commands.run(study) == 0, commands.said()
    (unit,) = [place for place in (tmp_path / "run" / "units").iterdir() if read_done(place).env_steps == steps]
    assert read_done(unit).iterations == ITERATIONS
    redone = counted.stat().st_size - steps
    print(f"killed after {at_kill} of {steps} steps; {redone} made again")
    assert redone <= ROWS * LENGTH * (EVERY + 2) + ROWS * EPISODE
    assert read_results(tmp_path / "run").num_rows
