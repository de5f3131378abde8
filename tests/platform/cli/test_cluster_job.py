"""A cluster with a token, from its start to its end: strangers kept out, a study as a job, the same table as here."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from roamrl.cluster.dashboard import stranger_status
from roamrl.platform.study.run import read_results

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(1500)]

SCRIPT = Path(sys.executable).with_name("roamrl")
OF_THE_RUN = ["wall_s", "cpu_s", "peak_memory_mb", "expert_id", "source_ids", "commit"]
"""Columns that measure time or memory, name experts (whose manifests hold their time), or the state of the code."""

STUDY = """
name: tiny-pole
about: one arm, one target
family: gymnasium-v1
config:
  make: CartPole-v1
  max_episode_steps: 20
  context:
    length: {train: [0.4, 0.8], ood: [1.2, 2.0], unit: m, about: half the pole's length}
splits:
  similar: {tasks: [{name: usual, context: {}}]}
  val: {tasks: [{name: chosen on, context: {length: 0.6}}]}
targets: [similar]
val: val
arms:
  scratch: {strategy: scratch}
  specialist: {strategy: specialist}
module: {model: {hidden: [8]}}
pretrain: {steps: 256, seeds: 1, envs_per_member: 4, length: 16}
adapt: {episodes: [0, 1], per_iteration: 1, seeds: 1, tune: {lr: [0.001], up_to: 1}}
evaluation: {episodes: 2, final_episodes: 2}
"""


class Place:
    """A home of its own with a folder of records, and the command line in it."""

    def __init__(self, home: Path, state: str) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "ROAMRL_"))}
        self.home = home
        self.env = {**kept, "HOME": str(home), "ROAMRL_STATE_DIR": str(home / state), "OMP_NUM_THREADS": "1"}

    def call(self, *arguments: str, code: int = 0) -> list[str]:
        """Run a command; return what it printed."""
        command = [str(SCRIPT), *arguments]
        done = subprocess.run(command, env=self.env, cwd=self.home, capture_output=True, text=True, timeout=600)
        assert done.returncode == code, done.stderr + done.stdout
        return done.stdout.splitlines()

    def popen(self, *arguments: str) -> subprocess.Popen[str]:
        command = [str(SCRIPT), *arguments]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return subprocess.Popen(command, env=self.env, cwd=self.home, **pipes)

    def jobs(self) -> dict[str, dict[str, Any]]:
        return {job["id"]: job for job in json.loads("\n".join(self.call("jobs", "ls", "--json")))}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    home = tmp_path_factory.mktemp("home")
    (home / "tiny.yaml").write_text(STUDY, encoding="utf-8")
    place = Place(home, "state")
    try:
        place.call("cluster", "start", "--port", "0", "--dashboard-port", "0", "--num-cpus", "1")
        yield place
    finally:
        place.call("cluster", "stop")


def test_strangers_are_kept_out(place: Place) -> None:
    (node,) = json.loads("\n".join(place.call("cluster", "status", "--json")))
    assert node["running"]
    assert stranger_status(node["dashboard"]) == 401
    assert node["dashboard"].startswith("http://127.0.0.1:")
    assert stat.S_IMODE(Path(node["temp_dir"]).stat().st_mode) == 0o700
    stranger = Place(place.home / "elsewhere", "state")
    stranger.home.mkdir()
    stranger.call("jobs", "ls", "--address", node["dashboard"], code=1)


def test_a_study_sent_gives_the_table_of_the_local_run(place: Place) -> None:
    printed = place.call("submit", "tiny.yaml")
    assert [line for line in printed if line.startswith("stage ")]
    folder = Path(printed[-1].replace("~", str(place.home), 1))
    (job,) = place.jobs().values()
    assert (job["status"], job["facts"]["out"]) == ("SUCCEEDED", printed[-1])
    assert json.loads((folder / "run.json").read_text())["versions"]["roamrl"] == job["facts"]["roamrl"]
    place.call("run", "tiny.yaml", "--out", "local", "--store", "local-store")
    there, here = (read_results(run).drop_columns(OF_THE_RUN).to_pandas() for run in (folder, place.home / "local"))
    assert len(here)
    pd.testing.assert_frame_equal(there, here)
    assert (folder / "report" / "index.html").is_file()


def test_leaving_a_job_lets_it_go_on_and_a_second_interrupt_stops_it(place: Place) -> None:
    before = set(place.jobs())
    first = place.popen("submit", "tiny.yaml", "--set", "seed=7", "--set", "pretrain.steps=400000")
    assert first.stdout is not None
    for line in first.stdout:
        if line.startswith("stage pretrain"):
            break
    first.send_signal(signal.SIGINT)
    left = first.communicate(timeout=120)[0]
    assert first.returncode == 130
    (job,) = set(place.jobs()) - before
    assert f"roamrl jobs logs {job} --follow" in left
    assert place.jobs()[job]["status"] == "RUNNING"

    again = place.popen("jobs", "logs", job, "--follow")
    assert again.stdout is not None
    for line in again.stdout:
        if line.startswith("stage pretrain"):
            break
    again.send_signal(signal.SIGINT)
    for line in again.stdout:
        if "stops it" in line:
            break
    again.send_signal(signal.SIGINT)
    assert "stopped" in again.communicate(timeout=120)[0]
    until = time.monotonic() + 60
    while place.jobs()[job]["status"] == "RUNNING" and time.monotonic() < until:
        time.sleep(1.0)
    assert place.jobs()[job]["status"] == "STOPPED"
    assert "goes on where this one stopped" in "\n".join(place.call("jobs", "logs", job))


def test_the_doctor_sees_a_sound_cluster(place: Place) -> None:
    (node,) = json.loads("\n".join(place.call("cluster", "status", "--json")))
    printed = place.call("doctor", "--json", "--address", node["address"], "--shared", str(place.home / "shared"))
    found = {check["name"]: check["verdict"] for check in json.loads("\n".join(printed))}
    assert {name: found[name] for name in ("token file", "strangers", "versions", "shared storage")} == {
        "token file": "ok",
        "strangers": "ok",
        "versions": "ok",
        "shared storage": "ok",
    }
    assert list((place.home / "shared").iterdir()) == []


def test_stopping_one_cluster_leaves_another_alone(place: Place) -> None:
    """Last: it is the first cluster that ends here."""
    other = Place(place.home, "another-state")
    try:
        other.call("cluster", "start", "--port", "0", "--dashboard-port", "0", "--num-cpus", "1")
        (mine,) = json.loads("\n".join(place.call("cluster", "status", "--json")))
        assert place.call("cluster", "stop") == [f"stopped {mine['name']}"]
        assert not Path(mine["temp_dir"]).exists()
        (still,) = json.loads("\n".join(other.call("cluster", "status", "--json")))
        assert still["running"]
        assert len(still["nodes"]) == 1
    finally:
        other.call("cluster", "stop")
