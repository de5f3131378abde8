"""Studies of environments from elsewhere, small: CartPole, and the cellular environment mobile-env from PyPI."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from roamrl.platform.report.recommend import recommend
from roamrl.platform.report.run_data import read_run
from roamrl.platform.store.store import ExpertStore
from roamrl.platform.study.load import check_study
from roamrl.platform.study.run import read_results, run_study

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]

CARTPOLE: dict[str, Any] = {
    "config": {
        "make": "CartPole-v1",
        "max_episode_steps": 20,
        "context": {"length": {"train": [0.4, 0.6], "ood": [1, 2]}, "force_mag": {"train": [8, 12], "ood": [3, 5]}},
    },
    "splits": {
        "sources": {"tasks": [{"name": "a", "context": {"length": 0.4}}, {"name": "b", "context": {"length": 0.6}}]},
        "similar": {"published": "iid", "first": 1},
        "different": {"published": "ood-force_mag", "first": 1},
        "val": {"tasks": [{"name": "e"}]},
    },
}
MOBILE: dict[str, Any] = {
    "config": {
        "make": "mobile_env:mobile-small-central-v0",
        "kwargs": {"config": {"EP_MAX_TIME": 5}},
        "max_episode_steps": 5,
        "seed_kwarg": "config.seed",
        "context": {
            "velocity": {"set": "kwarg", "at": "config.ue.velocity", "default": 1.5, "train": [1, 3], "ood": [6, 10]},
            "tx_dbm": {"set": "kwarg", "at": "config.bs.tx", "default": 30, "train": [25, 35], "ood": [15, 20]},
        },
    },
    "splits": {
        "sources": {"tasks": [{"name": "a"}, {"name": "b", "context": {"tx_dbm": 34}}]},
        "similar": {"published": "iid", "first": 1},
        "different": {"published": "ood-tx_dbm", "first": 1},
        "val": {"published": "val", "first": 1},
    },
}
REST: dict[str, Any] = {
    "family": "gymnasium-v1",
    "targets": ["similar", "different"],
    "val": "val",
    "arms": {
        "scratch": {"strategy": "scratch"},
        "specialist": {"strategy": "specialist"},
        "reuse": {"strategy": "reuse", "sources": "sources"},
        "joint": {"strategy": "joint", "sources": "sources"},
    },
    "module": {"model": {"hidden": [8]}},
    "pretrain": {"steps": 128, "seeds": 1, "envs_per_member": 4, "length": 8},
    "adapt": {"episodes": [0, 1, 2], "per_iteration": 2, "seeds": 2, "tune": {"lr": [0.01], "up_to": 2}},
    "evaluation": {"episodes": 4, "final_episodes": 6},
    "execution": {"checkpoint_every": 1, "iterations_per_report": 1, "members_per_trial": 64},
}


def run(study: dict[str, Any], name: str, place: Path) -> Path:
    summary = run_study(
        check_study({**REST, **study, "name": name}, name), out=place / "run", store=str(place / "store")
    )
    assert summary.failed == 0
    return summary.folder


@pytest.fixture(scope="module")
def cartpole(local_ray: object, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(CARTPOLE, "poles", tmp_path_factory.mktemp("cartpole"))


def test_every_arm_meets_every_target_and_is_measured_by_the_best_specialist(cartpole: Path) -> None:
    table = read_results(cartpole).to_pandas()
    assert table["return_oracle"].isna().all()
    best = table[(table.arm == "specialist") & (table.split != "val")].groupby("task_id")["return_mean"].max()
    met = table[(table.stage == "adapt") & (table.tuning == "fixed")]
    assert len(met) == 3 * 2 * 2 * 3  # arms, targets, seeds, points
    for row in met.itertuples():
        span = best[row.task_id] - row.return_trivial
        wanted = (row.return_mean - row.return_trivial) / span if span > 0 else np.nan
        assert row.score == pytest.approx(wanted, nan_ok=True)
    on_val = table[(table.split == "val") & (table.stage != "reference")]
    assert (on_val.score == on_val.return_mean).all()
    assert set(table[table.stage == "reference"].arm) == {"trivial"}


def test_its_experts_keep_returns_and_the_report_advises_by_them(cartpole: Path) -> None:
    store = ExpertStore.open(cartpole.parent / "store")
    advice = recommend(cartpole)
    manifest = store.get(advice.expert_id).manifest
    assert manifest.scores == {}
    assert manifest.notes["returns"]["val"]["mean"] == pytest.approx(advice.score.value)
    assert manifest.family == "gymnasium-v1"
    assert "share of the best specialist" in (cartpole / "report" / "index.html").read_text(encoding="utf-8")


def test_mobile_env_goes_through_training_store_transfer_and_report(local_ray: object, tmp_path: Path) -> None:
    folder = run(MOBILE, "cells", tmp_path)
    data = read_run(folder)
    assert {row.arm for row in data.rows if row.stage == "adapt"} == {"scratch", "reuse", "joint"}
    assert data.failures == []
    store = ExpertStore.open(tmp_path / "store")
    (source,) = {row.source_ids for row in data.rows if row.arm == "joint" and row.stage == "adapt"}
    assert store.get(source[0]).bundle().spec.action_space.n == 1024
    assert (folder / "report" / "index.html").is_file()
