"""A session that runs, scraped by Prometheus itself: what it learns of a study, and that every panel can be drawn."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml

from roamrl.cluster.addresses import usable_port
from roamrl.cluster.monitoring.files import PROMETHEUS_URL, dashboard
from roamrl.platform.study.run import read_results

pytestmark = [
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.timeout(1500),
    pytest.mark.skipif(shutil.which("prometheus") is None, reason="needs Prometheus (Debian's package prometheus)"),
]

DRIVER = Path(__file__).with_name("watched_driver.py")
SCRIPT = Path(sys.executable).with_name("roamrl")
WAIT_S = 240
QUERIES = [
    (row, panel["title"], target["expr"])
    for row, panel in (
        (max((r for r in dashboard()["panels"] if r["type"] == "row" and r["id"] < p["id"]), key=lambda r: r["id"]), p)
        for p in dashboard()["panels"]
        if p["type"] != "row"
    )
    for target in panel["targets"]
]


@dataclass(frozen=True)
class Watched:
    """A driver that waits, and a Prometheus that scrapes its session."""

    folder: Path
    said: dict[str, Any]
    written: dict[str, Any]
    prometheus: str

    def shown(self, expression: str) -> dict[tuple[str, ...], float]:
        """Ask until there is an answer: on a busy machine Ray may report a gauge later than it forgets it."""
        until = time.monotonic() + 60
        while not (found := self.query(expression)) and time.monotonic() < until:
            time.sleep(1)
        return found

    def query(self, expression: str) -> dict[tuple[str, ...], float]:
        """Ask Prometheus; return values by the values of their labels, in the order of the labels' names."""
        concrete = expression.replace("$study", ".*").replace("$__rate_interval", "10m")
        with urllib.request.urlopen(f"{self.prometheus}/api/v1/query?query={quote(concrete)}", timeout=30) as answer:
            found = json.loads(answer.read())
        assert found["status"] == "success", found
        return {
            tuple(series["metric"][name] for name in sorted(series["metric"])): float(series["value"][1])
            for series in found["data"]["result"]
        }


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("watched")
    kept = {name: value for name, value in os.environ.items() if name not in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS")}
    env = {**kept, "RAY_metrics_report_interval_ms": "5000", "OMP_NUM_THREADS": "1"}
    with (folder / "driver.log").open("wb") as log:
        driver = subprocess.Popen(
            [sys.executable, str(DRIVER), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=env,
            text=True,
        )
    prometheus = None
    try:
        assert driver.stdout is not None and driver.stdin is not None
        line = driver.stdout.readline()
        assert line, (folder / "driver.log").read_text()
        said = json.loads(line)
        command = [str(SCRIPT), "cluster", "monitoring", "--address", said["address"], "--json"]
        command += ["--out", str(folder / "monitoring"), "--scrape-s", "2"]
        written = json.loads(subprocess.run(command, env=env, check=True, capture_output=True, timeout=300).stdout)
        host = f"127.0.0.1:{usable_port(0, 'Prometheus')}"
        start = shlex.split(written["prometheus"].replace(PROMETHEUS_URL.removeprefix("http://"), host))
        with (folder / "prometheus.log").open("wb") as log:
            prometheus = subprocess.Popen(start, stdout=log, stderr=log)
        found = Watched(folder, said, written, f"http://{host}")
        wait_for(found, prometheus)
        yield found
    finally:
        if prometheus is not None:
            prometheus.terminate()
            prometheus.wait(30)
        if driver.stdin is not None:
            driver.stdin.close()
        driver.wait(120)


def wait_for(watched: Watched, prometheus: subprocess.Popen[bytes]) -> None:
    """Wait until the last that the driver did has been scraped twice."""
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until and prometheus.poll() is None:
        try:
            if watched.query("count_over_time(ray_roamrl_cache_reads_total{outcome='hit'}[10m]) > 1"):
                return
        except OSError:
            pass  # it does not listen yet
        time.sleep(1)
    raise AssertionError((watched.folder / "prometheus.log").read_text()[-3000:])


def test_the_configuration_names_the_file_that_ray_keeps(watched: Watched) -> None:
    """Not the one beside it that the latest session of this machine has taken over."""
    file = Path(watched.written["discovery_file"])
    assert file.parent.name.startswith("session_") and file.is_file()
    (group,) = json.loads(file.read_text())
    assert set(watched.written["targets"]) <= set(group["targets"])
    config = yaml.safe_load((watched.folder / "monitoring" / "prometheus.yml").read_text())
    assert config["scrape_configs"][0]["file_sd_configs"][0]["files"] == [str(file)]
    assert set(watched.shown("up").values()) == {1.0}


@pytest.mark.parametrize(("row", "panel", "expression"), QUERIES, ids=[f"{title}" for _, title, _ in QUERIES])
def test_every_panel_can_be_drawn(watched: Watched, row: dict[str, Any], panel: str, expression: str) -> None:
    if row["title"] == "Serving":  # nothing is served here
        assert watched.query(expression) == {}
    else:
        assert watched.shown(expression), panel


def test_the_numbers_are_those_of_the_run(watched: Watched) -> None:
    assert watched.said["failed"] == 0
    manifest = [json.loads(line) for line in (watched.folder / "run" / "manifest.jsonl").read_text().splitlines()]
    steps: dict[str, int] = {}
    for entry in manifest:
        if "windows" in entry:
            steps[entry["stage"]] = steps.get(entry["stage"], 0) + entry["windows"]
    assert set(steps) == {"pretrain", "tune", "adapt"}
    counted = watched.shown('sum by (stage) (ray_roamrl_env_steps_total{study="watched"})')
    assert counted == {(stage,): number for stage, number in steps.items()}
    states = watched.shown('sum by (state) (ray_roamrl_units{study="watched"})')
    assert states == {("done",): len(manifest), ("failed",): 0, ("open",): 0}
    rows = read_results(watched.folder / "run").to_pandas()
    last = rows[(rows.stage == "adapt") & (rows.tuning == "fixed") & (rows.episodes == 2)]
    for name, column in (("score", "score"), ("return", "return_mean")):
        (value,) = watched.shown(f'ray_roamrl_{name}{{stage="adapt", split="similar", strategy="reuse"}}').values()
        assert value == pytest.approx(last[column].mean())


def test_trials_that_fail_and_members_that_are_not_finite_are_counted(watched: Watched) -> None:
    assert set(watched.shown('ray_roamrl_trial_restarts{study="fragile"}').values()) == {1.0}
    assert set(watched.shown('ray_roamrl_nonfinite_members{study="fragile"}').values()) == {2.0}
    assert set(watched.shown('ray_roamrl_nonfinite_members{study="watched"}').values()) == {0.0}
    assert set(watched.shown('ray_roamrl_env_steps_total{study="fragile"}').values()) == {200.0}


def test_the_store_is_counted(watched: Watched) -> None:
    published = len(list((watched.folder / "store").glob("entries/**/*.json")))
    assert published
    assert sum(watched.shown("sum(ray_roamrl_store_publishes_total)").values()) == published
    assert watched.shown("sum by (outcome) (ray_roamrl_cache_reads_total)") == {("hit",): 2.0, ("miss",): 1.0}
    assert sum(watched.shown("sum(ray_roamrl_store_loads_total)").values()) >= 4  # three of them through the cache
    assert set(watched.shown("ray_roamrl_spooled_entries").values()) == {0.0}


def test_the_dashboard_says_what_its_processes_and_tasks_are(watched: Watched) -> None:
    tasks, actors = watched.said["tasks"], watched.said["actors"]
    for stage in ("pretrain", "tune", "adapt"):
        assert f"evaluate {stage} reuse" in tasks
        assert any(re.fullmatch(rf"PopulationAlgorithm\({stage}-[0-9a-f]+\)", name) for name in actors), actors
    assert watched.said["jobs"] == [{"roamrl_study": "watched"}]
    assert {"references similar", "references val"} <= set(tasks)


def test_tensorboard_finds_the_trials(watched: Watched) -> None:
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    folders = {file.parent for file in (watched.folder / "run" / "tune").rglob("events.out.tfevents.*")}
    assert {folder.parent.name.partition("-")[0] for folder in folders} == {"pretrain", "tune", "adapt"}
    for folder in folders:
        events = accumulators.EventAccumulator(str(folder)).Reload()
        scalars = set(events.Tags()["scalars"])
        assert {"ray/tune/num_members_nonfinite", "ray/tune/num_env_steps_sampled_lifetime"} <= scalars
    assert "ray/tune/env_runners/episode_return_mean" in scalars
