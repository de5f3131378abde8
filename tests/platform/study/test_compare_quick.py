"""The suite compare-quick as a user runs it: every way of generalising on three families, nothing missing or failed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from roamrl.platform.study.run import read_results
from roamrl.platform.study.suite import builtin_suite

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(2400)]

STUDIES = [study.name for study in builtin_suite("compare-quick").studies]
IN_CONTEXT = ("rl2", "pearl")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("compare-quick")
    command = [sys.executable, "-m", "roamrl.platform", "run", "compare-quick", "--out", "run", "--store", "store"]
    done = subprocess.run(command, cwd=place, env=dict(os.environ), capture_output=True, text=True, timeout=2400)
    assert done.returncode == 0, done.stdout + done.stderr
    return place / "run"


def test_one_page_stands_over_all_studies(folder: Path) -> None:
    page = (folder / "report" / "index.html").read_text(encoding="utf-8")
    for name in STUDIES:
        assert name in page


@pytest.mark.parametrize("name", STUDIES)
def test_every_arm_meets_every_target_and_nothing_failed(folder: Path, name: str) -> None:
    run = folder / name
    assert json.loads((run / "failures.json").read_text()) == []
    study: dict[str, Any] = yaml.safe_load((run / "study.yaml").read_text())
    rows = [row for row in read_results(run).to_pylist() if row["stage"] == "adapt"]
    arms = {arm for arm, entry in study["arms"].items() if entry["strategy"] != "specialist"} | {"classical-tuned"}
    assert {row["arm"] for row in rows} == arms
    for arm in arms:
        found = {(row["split"], row["seed"], row["episodes"]) for row in rows if row["arm"] == arm}
        assert {split for split, _, _ in found} == set(study["targets"])
        assert {seed for _, seed, _ in found} == set(range(study["adapt"]["seeds"]))
        if arm not in IN_CONTEXT:
            assert {n for _, _, n in found} == set(study["adapt"]["episodes"])
    assert json.loads((run / "gap.json").read_text())["policies"]
    assert not list((run / "tune").glob("gap-*"))  # what the gap alone needs was trained beside pretraining
    assert (run / "report" / "index.html").stat().st_size > 100_000
