from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from roamrl.platform.study.run import RunSummary

SCRIPT = Path(sys.executable).with_name("roamrl")

STUDY = """
name: tiny
about: one arm, one target
family: slicing-v1
splits:
  similar: {tasks: [{name: usual, context: {load: 1.0}}]}
  val: {tasks: [{name: chosen on, context: {load: 1.05}}]}
targets: [similar]
val: val
arms:
  scratch: {strategy: scratch}
  specialist: {strategy: specialist}
pretrain: {steps: 1024, seeds: 1}
adapt: {episodes: [0, 1], seeds: 1, tune: {lr: [0.001], up_to: 1}}
evaluation: {episodes: 2, final_episodes: 2}
"""


def test_a_dry_run_prints_the_plan_and_runs_nothing(
    roamrl: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = roamrl("run", "quick", "--dry-run")
    assert answer.code == 0
    assert {"pretrain", "tune", "adapt"} <= {line.split()[0] for line in answer.lines if line.split()}
    assert "windows to simulate" in answer.lines[-1]
    assert max(len(line) for line in answer.lines) <= 80
    assert list(tmp_path.iterdir()) == []


def test_overrides_change_the_plan(roamrl: Callable) -> None:
    def windows(*more: str) -> str:
        (row,) = [line.split() for line in roamrl("run", "quick", "--dry-run", *more).lines if "joint" in line][:1]
        return " ".join(row[4:6])

    assert windows("--set", "arms.joint.pretrain.steps=1024") != windows()


def test_the_end_says_what_went_on_from_an_older_checkpoint_and_where_the_curves_are(
    roamrl: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    why = tmp_path / "units" / "0123" / "recovered.log"
    done = RunSummary(tmp_path, 0, tmp_path / "report" / "index.html", (why,))
    monkeypatch.setattr("roamrl.platform.study.run.run_study", lambda study, **_: done)
    answer = roamrl("run", "quick")
    assert answer.code == 0
    assert answer.lines[-4].startswith("a trial went on from an older checkpoint")
    assert answer.lines[-4].endswith(str(why))
    assert answer.lines[-3:] == [
        f"training curves: tensorboard --logdir {tmp_path}",
        f"report: {done.report}",
        str(tmp_path),
    ]


def test_a_template_is_a_study_that_can_be_planned(roamrl: Callable, tmp_path: Path) -> None:
    written = roamrl("init", tmp_path / "mine")
    assert written.code == 0
    path = Path(written.lines[-1])
    assert path.is_file()
    assert path.is_relative_to(tmp_path)
    assert any(line.lstrip().startswith("#") for line in path.read_text(encoding="utf-8").splitlines())
    assert roamrl("run", path, "--dry-run").code == 0


@pytest.mark.ray
@pytest.mark.timeout(600)
def test_a_run_ends_with_its_folder_and_the_other_commands_read_it(roamrl: Callable, tmp_path: Path) -> None:
    """In a process of its own, apart from the Ray session that other tests share."""
    study, run, store = tmp_path / "tiny.yaml", tmp_path / "run", tmp_path / "store"
    study.write_text(STUDY, encoding="utf-8")
    env = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    command = [str(SCRIPT), "run", str(study), "--out", str(run), "--store", str(store)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=540, env=env)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        f"training curves: tensorboard --logdir {run}",
        f"report: {run / 'report' / 'index.html'}",
        str(run),
    ]
    assert (run / "results.parquet").is_file()
    assert [line for line in done.stderr.splitlines() if line.startswith("stage ")]
    assert "Traceback" not in done.stderr

    chosen = json.loads(roamrl("recommend", run, "--json").out)["expert_id"]
    assert chosen in roamrl("recommend", run).out
    page = roamrl("report", run)
    assert Path(page.lines[-1]) == run / "report" / "index.html"
    assert "similar: what arms are worth" in page.out
    takes = page.out[page.out.index("similar: what they take") :].splitlines()
    scratch = next(line.split() for line in takes if line.startswith("scratch"))
    assert float(scratch[3]) > 50 if sys.platform == "linux" else scratch[3]
    assert max(len(line) for line in page.lines[:-1]) <= 80

    scored = roamrl(
        "evaluate", chosen[:10], "--study", study, "--split", "similar", "--episodes", 2, "--json", "--store", store
    )
    (task,) = json.loads(scored.out)["tasks"]
    assert task["task_name"] == "usual"
    assert task["return_trivial"] < task["return_oracle"]
    wrong = roamrl("evaluate", chosen, "--study", study, "--split", "simlar", "--store", store)
    assert wrong.code == 2
    assert "did you mean 'similar'" in wrong.err
