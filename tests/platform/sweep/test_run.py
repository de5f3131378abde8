"""Whole sweeps: one that is cut off goes on, and one finds settings that are better on seeds it never saw."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from roamrl.algorithms.rllib.config import PopulationConfig
from roamrl.platform.evaluation.references import ReferenceReturns
from roamrl.platform.study.load import load_study
from roamrl.platform.study.progress import NoProgress
from roamrl.platform.study.schema import Study
from roamrl.platform.study.search_entries import SearchEntry
from roamrl.platform.sweep.folder import REPORTS_FILE
from roamrl.platform.sweep.plan import sweep_splits
from roamrl.platform.sweep.results import read_sweep
from roamrl.platform.sweep.run import SweepSummary, run_sweep
from roamrl.platform.sweep.scoring import member_scores
from roamrl.platform.sweep.trial import build_trial

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(1800)]

LR = {"pretrain.lr": {"loguniform": [1e-3, 2e-2]}}
LEARNS = {"steps": 4096, "envs_per_member": 8, "length": 64}


class CutOff(NoProgress):
    """Somebody who presses Ctrl-C when the first trial is over."""

    def unit_done(self, key: str, label: str, windows: int, seconds: float) -> None:
        raise KeyboardInterrupt


def scores(folder: Path) -> list[list[float]]:
    table = read_sweep(folder).to_pandas()
    return table[["trial", "report", "env_steps", "score"]].values.tolist()


def test_a_sweep_that_is_cut_off_goes_on_and_one_that_is_over_stays(local_ray, poles, tmp_path: Path) -> None:
    study = poles({"space": LR, "concurrency": 1}, pretrain={"seeds": 1})
    with pytest.raises(KeyboardInterrupt):
        run_sweep(study, out=tmp_path / "cut", progress=CutOff())
    written = {file: file.stat().st_mtime_ns for file in (tmp_path / "cut").glob(f"trials/*/{REPORTS_FILE}")}
    assert len(written) in (1, 2)
    done = run_sweep(study, out=tmp_path / "cut")
    assert len(list((done.folder / "trials").iterdir())) == 3 and not done.failures
    assert min(written, key=lambda file: written[file]).stat().st_mtime_ns == min(written.values())  # not redone
    assert scores(done.folder) == scores(run_sweep(study, out=tmp_path / "whole").folder)
    again = run_sweep(study, out=tmp_path / "cut")
    assert again.best == done.best


@pytest.mark.parametrize(
    "search",
    [
        {"scheduler": "median", "budget": {"trials": 5, "reports": 4}},
        {"algorithm": "optuna", "budget": {"trials": 5, "reports": 2}},
    ],
    ids=["median", "optuna"],
)
def test_other_ways_of_searching_come_to_their_end(
    local_ray, poles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, search: dict[str, Any]
) -> None:
    levels: dict[str, list[tuple[float, dict[str, str]]]] = {}
    counts: dict[str, float] = {}
    monkeypatch.setattr(
        "roamrl.platform.sweep.search.level",
        lambda metric, value, **labels: levels.setdefault(metric.name, []).append((value, labels)),
    )
    monkeypatch.setattr(
        "roamrl.platform.monitoring.trial_watch.count",
        lambda metric, value, **labels: counts.update({metric.name: counts.get(metric.name, 0.0) + value}),
    )
    study = poles({"space": LR, "concurrency": 1, **search}, pretrain={"seeds": 1})
    done = run_sweep(study, out=tmp_path / "sweep")
    assert not done.failures and done.best is not None and len(done.candidates) == 5
    drawn = [each.settings["pretrain.lr"] for each in done.candidates if each.settings]
    assert len(set(drawn)) == len(drawn) >= 4 and all(1e-3 <= value <= 2e-2 for value in drawn)
    assert counts["roamrl_env_steps"] == sum(each.last.env_steps for each in done.candidates)
    told = levels["roamrl_score"]
    assert [value for value, _ in told] == sorted({value for value, _ in told})  # only what is better is told
    assert told[-1][0] == max(score.score for each in done.candidates for score in each.scores)
    assert told[0][1] == {"study": "poles", "strategy": "joint", "stage": "sweep", "split": "val"}
    stopped = [each for each in done.candidates if each.ending == "stopped"]
    assert bool(stopped) <= (study.search.scheduler == "median")


def test_a_sweep_ends_when_its_time_is_over(local_ray, poles, tmp_path: Path) -> None:
    study = poles({"space": LR, "budget": {"trials": 400, "wall_s": 15.0}}, pretrain={"seeds": 1})
    done = run_sweep(study, out=tmp_path / "sweep")
    assert len(done.candidates) < 400
    ended = [each for each in done.candidates if each.ending == "done"]
    assert (done.best in ended) if ended else "wall_s" in done.failures[-1].error


def worth(study: Study, lr: float) -> float:
    """Score of a step size that a learner gets with other seeds in the same environment steps."""
    other = study.model_copy(update={"search": SearchEntry.model_validate({"arm": "joint", "space": LR, "seed": 99})})
    splits = sweep_splits(other)
    trial = build_trial(other, {"arms.joint.pretrain.lr": lr}, splits)
    algorithm = PopulationConfig().population(learner=trial.learner).build_algo()
    while not algorithm.train()["done"]:
        pass
    references = {named.task.id: ReferenceReturns({"trivial": np.zeros(1)}, {}) for named in splits["val"]}
    found = member_scores(other, trial, algorithm.bundles(), references)
    algorithm.stop()
    return float(found.mean())


def check_found_better(summary: SweepSummary) -> None:
    study, best = summary.study, summary.best
    assert best is not None and not summary.failures
    file = load_study(str(summary.best_file))
    own = file.arms["joint"].pretrain.get("lr", file.pretrain.lr)
    assert own >= 1e-3  # the study's own is 1e-5
    margin = 15.0  # of at most 100; with settings of no consequence the two differ by chance alone
    assert worth(study, own) > worth(study, study.pretrain.lr) + margin


def test_halving_finds_a_better_step_size_than_the_studys_own(local_ray, poles, tmp_path: Path) -> None:
    search = {"space": LR, "scheduler": "asha", "asha": {"reduction": 2}, "budget": {"trials": 5, "reports": 4}}
    summary = run_sweep(poles(search, pretrain=LEARNS), out=tmp_path / "sweep")
    steps = {each.number: each.last.env_steps for each in summary.candidates}
    assert max(steps.values()) == 4096 and min(steps.values()) < 4096  # some were stopped
    check_found_better(summary)


@pytest.mark.parametrize("scheduler", ["none", "pbt"])
def test_a_population_finds_a_better_step_size_in_one_trial(local_ray, poles, tmp_path: Path, scheduler: str) -> None:
    search = {
        "members": {"lr": LR["pretrain.lr"]},
        "scheduler": scheduler,
        "pbt": {"interval": 2},
        "budget": {"trials": 4, "reports": 2},
    }
    summary = run_sweep(poles(search, pretrain={**LEARNS, "seeds": 1}), out=tmp_path / "sweep")
    assert {each.last.env_steps for each in summary.candidates} == {4096}
    assert any(score.copied_from is not None for each in summary.candidates for score in each.scores) == (
        scheduler == "pbt"
    )
    if scheduler == "none":
        assert summary.best is not None and summary.best.last.score > summary.candidates[0].last.score + 15.0
    check_found_better(summary)
