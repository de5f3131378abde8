"""Carrying out a sweep: references on ``val``, trials, table, best settings, page; and going on with one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from roamrl.cluster.session import ray_session
from roamrl.envs.errors import InputError
from roamrl.envs.family import get_family
from roamrl.platform.evaluation.references import ReferenceReturns, default_cache
from roamrl.platform.monitoring.run_watch import MeteredProgress, watched_run
from roamrl.platform.store.store import ExpertStore
from roamrl.platform.study.carry_out import as_completed
from roamrl.platform.study.folder import Failure
from roamrl.platform.study.folder_lock import alone_in
from roamrl.platform.study.progress import NoProgress, Progress
from roamrl.platform.study.provenance import command, machine, package_versions, source_commit
from roamrl.platform.study.schema import Study
from roamrl.platform.study.scoring import score_references_remotely
from roamrl.platform.study.stages import LEAST_GAP
from roamrl.platform.study.tasks import NamedTask, trace_hashes
from roamrl.platform.sweep.best import write_best
from roamrl.platform.sweep.experts import publish_best
from roamrl.platform.sweep.folder import REFERENCES_FILE, RESULT_FILE, TASKS_FILE, SweepFolder
from roamrl.platform.sweep.plan import SweepPlan, plan_sweep, sweep_splits
from roamrl.platform.sweep.report import write_page
from roamrl.platform.sweep.results import Candidate, as_json, best_candidate, read_candidates, write_candidates
from roamrl.platform.sweep.search import run_trials
from roamrl.platform.sweep.spaces import Settings


@dataclass(frozen=True)
class SweepSummary:
    """What a sweep left behind.

    Attributes:
        folder: Its folder.
        study: The study with its search.
        candidates: Everything tried that reported.
        best: The best of them; None where none trained to its end.
        best_file: Its study file; None where there is none.
        experts: Ids of the best trial's policies in the store.
        failures: What failed.
        report: The page.
    """

    folder: Path
    study: Study
    candidates: tuple[Candidate, ...]
    best: Candidate | None
    best_file: Path | None
    experts: tuple[str, ...]
    failures: tuple[Failure, ...]
    report: Path


def run_sweep(
    study: Study,
    *,
    out: Path | None = None,
    address: str | None = None,
    fresh: bool = False,
    store: str | None = None,
    progress: Progress | None = None,
) -> SweepSummary:
    """Carry out the search of a study, or go on with one that was cut off; one that is over is only reported anew.

    Args:
        study: The study.
        out: The sweep's folder; None for ``sweeps/<study>``.
        address: Ray cluster to use; None starts Ray on this machine.
        fresh: Forget an earlier sweep in the same folder.
        store: Expert store that the best trial's policies go to; None for none.
        progress: Told of the sweep's course.

    Raises:
        InputError: If the search, the folder or the store cannot be used, another command is at work in the folder, or
            a package is missing.
    """
    plan = plan_sweep(study)
    path = (out or Path("sweeps") / study.name).resolve()
    SweepFolder(path).check(study, fresh=fresh)
    with alone_in(path):
        folder = SweepFolder.open(path, study, fresh=fresh)
        if store is not None:
            experts = ExpertStore.init(store, spooling=True)
            experts.policy.check_signer(experts.signer)
        return _go_on(folder, study, plan, address, store, progress or NoProgress())


def _go_on(
    folder: SweepFolder, study: Study, plan: SweepPlan, address: str | None, store: str | None, progress: Progress
) -> SweepSummary:
    before = folder.result() or {}
    about = _about(before)
    if before.get("over"):
        settings: list[Settings] = before["settings"]
        failures: list[Failure] = []
    else:
        began = time.monotonic()
        try:
            session = {"roamrl_study": study.name, "roamrl_sweep": str(folder.path)}
            strategies = {name: arm.strategy for name, arm in study.arms.items()}
            with ray_session(address, about=session), watched_run(study.name, strategies):
                settings, failures = _search(folder, study, plan, MeteredProgress(progress, study.name))
        finally:
            about["wall_s"] += time.monotonic() - began
            folder.write_json(RESULT_FILE, {**about, "over": False})
        about |= {"settings": settings, "over": not failures}
    return _conclude(folder, study, about, settings, failures, store)


def _search(
    folder: SweepFolder, study: Study, plan: SweepPlan, progress: Progress
) -> tuple[list[Settings], list[Failure]]:
    splits = sweep_splits(study)
    if not (folder.path / TASKS_FILE).exists():
        named = [each for tasks in splits.values() for each in tasks]
        traces = {found for each in named for found in trace_hashes(dict(each.task.context))}
        folder.write_tasks(splits, traces)
    if not (folder.path / REFERENCES_FILE).exists():
        progress.stage("references")
        folder.write_references(_references(folder, study, splits[study.val]))
    progress.start(plan.trials, plan.windows)
    progress.stage("sweep")
    found = run_trials(folder, study, progress)
    progress.finish()
    return found


def _references(folder: SweepFolder, study: Study, val: Sequence[NamedTask]) -> dict[str, ReferenceReturns]:
    """Return what the references get on val, without tasks that do not tell policies apart.

    Raises:
        InputError: If one cannot be played, or no task is left.
    """
    settings = study.evaluation
    waiting: dict[Any, NamedTask] = {
        score_references_remotely.remote(
            named.task,
            episodes=settings.episodes,
            seed=settings.seed,
            traces=folder.traces_file if folder.traces_file.exists() else None,
            cache=default_cache(),
        ): named
        for named in {named.task.id: named for named in val}.values()
    }
    found: dict[str, ReferenceReturns] = {}

    def keep(named: NamedTask, returns: ReferenceReturns) -> None:
        if not returns.gap(get_family(study.family).episode_steps(dict(named.task.config))) < LEAST_GAP:
            found[named.task.id] = returns

    def refuse(named: NamedTask, error: BaseException) -> None:
        raise InputError(
            f"the references cannot be played on {named.name!r} of split {study.val!r}: {error}"
        ) from error

    as_completed(waiting, keep, refuse)
    if not found:
        raise InputError(
            f"no task of split {study.val!r} tells policies apart: oracle and trivial policy are too close"
        )
    return found


def _conclude(
    folder: SweepFolder,
    study: Study,
    about: dict[str, Any],
    settings: Sequence[Settings],
    failures: Sequence[Failure],
    store: str | None,
) -> SweepSummary:
    candidates = read_candidates(folder, study, settings)
    write_candidates(folder.path, study, candidates)
    about["env_steps"] = sum(each.members * each.last.env_steps for each in candidates)
    folder.write_failures(failures)
    best: Candidate | None = None
    best_file: Path | None = None
    experts: tuple[str, ...] = ()
    try:
        best = best_candidate(candidates)
    except InputError as error:
        failures = [*failures, Failure("the sweep", "sweep", str(error))]
    else:
        best_file = write_best(folder.path, study, best)
        if store is not None:
            experts = publish_best(folder, study, best, store)
        about |= {"best": as_json(best), "experts": list(experts)}
    folder.write_json(RESULT_FILE, about)
    page = write_page(folder.path, study, candidates, best, failures, about)
    return SweepSummary(folder.path, study, tuple(candidates), best, best_file, experts, tuple(failures), page)


def _about(before: dict[str, Any]) -> dict[str, Any]:
    if before.get("over"):
        return dict(before)
    return {
        "commit": source_commit(),
        "versions": package_versions(),
        "machine": machine(),
        "command": command(),
        "started": before.get("started") or time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "attempts": before.get("attempts", 0) + 1,
        "wall_s": before.get("wall_s", 0.0),
    }
