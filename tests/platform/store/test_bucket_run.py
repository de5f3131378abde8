"""A whole study whose experts go to a bucket and come from it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from roamrl.platform.store import ExpertStore

STUDY = """
name: tiny
about: one source, one target
family: slicing-v1
splits:
  near: {tasks: [{name: source, context: {load: 0.9}}]}
  similar: {tasks: [{name: usual, context: {load: 1.0}}]}
  val: {tasks: [{name: chosen on, context: {load: 1.05}}]}
targets: [similar]
val: val
arms:
  specialist: {strategy: specialist}
  reuse: {strategy: reuse, sources: near}
pretrain: {steps: 1024, seeds: 1}
adapt: {episodes: [0, 1], seeds: 1, tune: {lr: [0.001], up_to: 1}}
evaluation: {episodes: 2, final_episodes: 2}
"""


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("place", ["moto_server"], indirect=True)
def test_a_study_publishes_to_a_bucket_and_adapts_from_it(place, tmp_path: Path):
    (tmp_path / "tiny.yaml").write_text(STUDY)
    command = [Path(sys.executable).with_name("roamrl"), "run", "tiny.yaml", "--store", place]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ, capture_output=True, text=True, timeout=1100)
    assert done.returncode == 0, done.stderr[-3000:]
    entries = ExpertStore.open(place).ls()
    stages = {entry.manifest.notes["stage"] for entry in entries}
    assert stages == {"pretrain", "adapt"} and ExpertStore.open(place).verify().ok
    (source,) = [entry for entry in entries if entry.manifest.strategy == "reuse" and not entry.manifest.parents]
    assert any(source.id in entry.manifest.parents for entry in entries)
    assert not (tmp_path / "store").exists()
    assert json.loads((tmp_path / "runs" / "tiny" / "failures.json").read_text()) == []
