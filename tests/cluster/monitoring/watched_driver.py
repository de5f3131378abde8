"""A driver worth watching: a small study, a trial that fails once, a cache; it stays until its standard input closes.

Usage: ``python watched_driver.py FOLDER``. Its line of JSON says where the session is and what it did.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from roamrl.cluster.session import ray_session
from roamrl.platform.monitoring.trial_watch import TrialLabels, TrialWatch, watched_trials
from roamrl.platform.store.cache import BlobCache
from roamrl.platform.store.expert import Expert
from roamrl.platform.store.limits import Limits
from roamrl.platform.store.location import backend_at
from roamrl.platform.store.store import ExpertStore
from roamrl.platform.study.load import check_study
from roamrl.platform.study.run import run_study

STUDY: dict[str, Any] = {
    "name": "watched",
    "family": "slicing-v1",
    "config": {"episode_windows": 10},
    "splits": {
        "sources": {"tasks": [{"name": "a", "context": {"load": 1.1}}]},
        "similar": {"tasks": [{"name": "c", "context": {"load": 1.15}}]},
        "val": {"tasks": [{"name": "e", "context": {"load": 1.25}}]},
    },
    "targets": ["similar"],
    "val": "val",
    "arms": {"reuse": {"strategy": "reuse", "sources": "sources"}},
    "module": {"model": {"hidden": [8]}},
    "pretrain": {"steps": 320, "seeds": 1, "envs_per_member": 8, "length": 8},
    "adapt": {"episodes": [0, 2], "per_iteration": 2, "seeds": 2, "tune": {"lr": [0.01], "up_to": 2}},
    "evaluation": {"episodes": 4, "final_episodes": 4},
    "execution": {"checkpoint_every": 1, "iterations_per_report": 1},
}


def main() -> None:
    place = Path(sys.argv[1]).resolve()
    study = check_study(STUDY, "watched")
    with ray_session(num_cpus=2, dashboard=True, about={"roamrl_study": study.name}) as session:
        done = run_study(study, out=place / "run", store=str(place / "store"))
        fail_once(place)
        read_twice(place)
        said = {"address": session.address, "dashboard": session.dashboard, "failed": done.failed}
        assert session.dashboard is not None
        shown = shown_by(session.dashboard)
        print(json.dumps({**said, **shown}), flush=True)
        sys.stdin.read()


def fail_once(place: Path) -> None:
    """Run a trial that fails at its second report and is tried again; two of its members are not finite."""
    from ray import tune

    def trainable(config: dict[str, Any]) -> None:
        mark = place / "failed"
        for _ in range(2):
            tune.report({"env_runners": {"num_env_steps_sampled": 50}, "num_members_nonfinite": 2})
        if not mark.exists():
            mark.touch()
            raise RuntimeError("once")

    with watched_trials({"only": TrialLabels("fragile", "scratch", "adapt")}):
        tune.Tuner(
            trainable,
            tune_config=tune.TuneConfig(trial_dirname_creator=lambda trial: "only"),
            run_config=tune.RunConfig(
                storage_path=str(place / "tune"),
                verbose=0,
                callbacks=[TrialWatch()],
                failure_config=tune.FailureConfig(max_failures=1),
            ),
        ).fit()


def read_twice(place: Path) -> None:
    """Load an expert three times through a cache that does not know it yet."""
    entry = ExpertStore.open(place / "store").ls()[0]
    for _ in range(3):
        Expert(backend_at(place / "store"), Limits(), entry, BlobCache(place / "blobs", 10**9)).bundle()


def shown_by(dashboard: str) -> dict[str, list[Any]]:
    """Return what a dashboard calls its session's tasks, actors and drivers."""
    from ray.util.state import list_actors, list_jobs, list_tasks

    return {
        "tasks": sorted({task.name for task in list_tasks(address=dashboard, limit=1000)}),
        "actors": sorted({actor.repr_name or "" for actor in list_actors(address=dashboard, detail=True)}),
        "jobs": [dict(job.metadata or {}) for job in list_jobs(address=dashboard, detail=True)],
    }


if __name__ == "__main__":
    main()
