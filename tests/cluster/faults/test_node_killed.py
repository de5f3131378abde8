"""A node of a cluster is lost: its trial goes on, on another node, from its last checkpoint."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from roamrl.algorithms.learner_spec import LearnerSpec
from roamrl.algorithms.rllib.learner_folder import write_learner

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(900)]

DRIVER = Path(__file__).with_name("node_loss.py")


def test_a_trial_goes_on_elsewhere(
    tmp_path: Path,
    cartpole_learner: Callable[..., LearnerSpec],
    undisturbed: Callable[[LearnerSpec], Path],
    assert_same_outcome: Callable[[Path, Path], None],
) -> None:
    learner = cartpole_learner(1, 2)
    write_learner(tmp_path / "learner", learner)
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    environment |= {"RAY_AUTH_MODE": "disabled"}
    command = [sys.executable, str(DRIVER), str(tmp_path / "learner"), str(tmp_path / "tune"), str(tmp_path / "told")]
    for _ in range(3):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=400)
        if "timed out during startup" not in done.stderr:
            break
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads((tmp_path / "told").read_text())
    print(f"{told['recovery_s']:.1f} s from the node's death to the trial's next result")
    assert told["errors"] == 0
    assert told["seen"][:4] == [1, 2, 3, 4] and told["seen"][4] in (3, 5), "one iteration was redone at most"
    assert told["seen"][-1] == 6
    first, later = set(told["raylets"][:4]), set(told["raylets"][4:])
    assert len(first) == len(later) == 1 and first != later
    assert_same_outcome(tmp_path / "learner", undisturbed(learner))
