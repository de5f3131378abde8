"""Running a study: its stages from references to the generalisation gap, tables, report; and resuming it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from roamrl.algorithms.rllib.checkpoint_recovery import RECOVERED_FILE
from roamrl.cluster.session import ray_session
from roamrl.envs.errors import InputError
from roamrl.envs.radio.trace_library import open_traces
from roamrl.platform.monitoring.run_watch import MeteredProgress, watched_run
from roamrl.platform.report.page import write_report
from roamrl.platform.store.store import ExpertStore
from roamrl.platform.study.carry_out import LEARNING_FILE
from roamrl.platform.study.classical import tuned_classical
from roamrl.platform.study.folder import Failure, RunFolder
from roamrl.platform.study.folder_lock import alone_in
from roamrl.platform.study.gap_stage import generalisation_gap
from roamrl.platform.study.in_context import adapt_in_context
from roamrl.platform.study.plan import plan_study
from roamrl.platform.study.pools import zero_shot
from roamrl.platform.study.progress import NoProgress, Progress
from roamrl.platform.study.provenance import command, machine, package_versions, source_commit
from roamrl.platform.study.results import CURVES, RESULTS, read_parts, with_final_scores, write_table
from roamrl.platform.study.schema import Study
from roamrl.platform.study.selection import select_sources
from roamrl.platform.study.stages import adapt, pretrain, reference_stage, tune
from roamrl.platform.study.state import RunState
from roamrl.platform.study.tasks import study_splits, trace_hashes


@dataclass(frozen=True)
class RunSummary:
    """What a run left behind.

    Attributes:
        folder: The run's folder.
        failed: Units that failed.
        report: The report's page.
        recovered: Files that say why a trial went on from another checkpoint than its newest; no result differs by it.
    """

    folder: Path
    failed: int
    report: Path
    recovered: tuple[Path, ...] = ()


def default_store() -> Path:
    """Return where experts go if nobody says otherwise: ``store`` in the working directory."""
    return Path("store")


def run_study(
    study: Study,
    *,
    out: Path | None = None,
    address: str | None = None,
    fresh: bool = False,
    store: str | None = None,
    progress: Progress | None = None,
) -> RunSummary:
    """Run a study, or go on with a run that was cut off.

    Args:
        study: The study.
        out: The run's folder; None for ``runs/<study>``.
        address: Ray cluster to use; None starts Ray on this machine.
        fresh: Forget an earlier run in the same folder.
        store: The expert store, a folder or URL; None for ``store``.
        progress: Told of the run's course.

    Raises:
        InputError: If the study, the folder or the store cannot be used.
    """
    with recorded_run(study, out, address, fresh, store, progress or NoProgress()) as state:
        announce(state)
        reference_stage(state)
        pretrain(state)
        zero_shot(state)
        select_sources(state)
        tune(state)
        adapt(state)
        adapt_in_context(state)
        tuned_classical(state)
        generalisation_gap(state)
        write_tables(state.folder, state.failures, study.val)
        state.folder.write_json("dropped.json", [asdict(task) for task in state.dropped])
    report = write_report(state.folder.path)
    state.progress.finish()
    recovered = tuple(sorted(state.folder.path.glob(f"units/*/{RECOVERED_FILE}")))
    return RunSummary(state.folder.path, len(state.failures), report, recovered)


@contextmanager
def recorded_run(
    study: Study, out: Path | None, address: str | None, fresh: bool, store: str | None, progress: Progress
) -> Iterator[RunState]:
    """Open a run's folder, its recordings, its store and a Ray session; keep how long it took, also if it breaks off.

    Raises:
        InputError: If the study, the folder or the store cannot be used, or another command is at work in the folder.
    """
    path = (out or Path("runs") / study.name).resolve()
    RunFolder(path).check(study, fresh=fresh)
    with alone_in(path):
        folder = RunFolder.open(path, study, fresh=fresh)
        splits = study_splits(study)
        tasks = [named.task for each in splits.values() for named in each]
        folder.write_study(study, {found for task in tasks for found in trace_hashes(dict(task.context))})
        if folder.traces_file.exists():
            open_traces(folder.traces_file)
        experts = ExpertStore.init(store or str(default_store()), spooling=True)
        experts.policy.check_signer(experts.signer)
        strategies = {name: arm.strategy for name, arm in study.arms.items()}
        about = {"roamrl_study": study.name, "roamrl_run": str(folder.path)}
        with _timed(folder, study), ray_session(address, about=about), watched_run(study.name, strategies):
            metered = MeteredProgress(progress, study.name, folder.finished())
            yield RunState(study, folder, experts, metered, splits)


def read_results(run: Path) -> Any:
    """Return a run's results as a pyarrow table (``.to_pandas()`` for notebooks).

    Raises:
        InputError: If the folder holds no finished run.
    """
    return _read(run, "results.parquet")


def read_curves(run: Path) -> Any:
    """Return a run's training curves on targets as a pyarrow table.

    Raises:
        InputError: If the folder holds no finished run.
    """
    return _read(run, "curves.parquet")


def read_learning(run: Path) -> Any:
    """Return what a run's pretraining on several tasks gave on each, as a pyarrow table.

    Raises:
        InputError: If the folder holds no finished run, or no policy learned on several tasks.
    """
    if (run / "results.parquet").is_file() and not (run / LEARNING_FILE).is_file():
        raise InputError(f"{run} has no {LEARNING_FILE}: no policy of that run learned on several tasks")
    return _read(run, LEARNING_FILE)


def write_tables(folder: RunFolder, failures: Sequence[Failure], val: str) -> None:
    """Write ``results.parquet``, ``curves.parquet`` and ``failures.json`` from the parts of all finished units.

    Args:
        folder: The run's folder.
        failures: What failed.
        val: The validation split, on which no specialist sets the scale of scores.
    """
    keys = list(folder.finished())
    results = with_final_scores(read_parts([folder.part(key) for key in keys], RESULTS), val)
    order = [
        (name, "ascending") for name in ("stage", "arm", "tuning", "split", "task_name", "seed", "episodes", "unit")
    ]
    write_table(folder.path / "results.parquet", results.sort_by(order))
    curves = read_parts([folder.curves_part(key) for key in keys if folder.curves_part(key).exists()], CURVES)
    order = [(name, "ascending") for name in ("arm", "tuning", "task_name", "seed", "env_steps")]
    write_table(folder.path / "curves.parquet", curves.sort_by(order))
    folder.write_failures(list(failures))


def announce(state: RunState, stages: Sequence[str] | None = None) -> None:
    """Tell the progress how much there is to do, in some stages or all."""
    finished = state.folder.finished()
    rows = [row for row in plan_study(state.study).rows() if stages is None or row.stage in stages]
    windows = sum(row.windows for row in rows) - sum(entry.get("windows", 0) for entry in finished.values())
    state.progress.start(max(0, sum(row.units for row in rows) - len(finished)), max(0, windows))


def _read(run: Path, name: str) -> Any:
    import pyarrow.parquet as pq

    if not (run / name).is_file():
        raise InputError(f"{run} has no {name}: the run is not finished; 'roamrl run' it again to go on")
    return pq.read_table(run / name)


@contextmanager
def _timed(folder: RunFolder, study: Study) -> Iterator[None]:
    """Keep what the run was, and how long it took over all its attempts, also when it is cut off by an error."""
    file = folder.path / "run.json"
    before = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    record = {
        "study": study.name,
        "study_hash": study.hash,
        "commit": source_commit(),
        "versions": package_versions(),
        "machine": machine(),
        "command": command(),
        "started": before.get("started") or time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "attempts": before.get("attempts", 0) + 1,
    }
    began = time.monotonic()
    folder.write_json("run.json", {**record, "wall_s": before.get("wall_s", 0.0), "cpu_s": _cpu_seconds(folder)})
    try:
        yield
    finally:
        wall = before.get("wall_s", 0.0) + time.monotonic() - began
        folder.write_json("run.json", {**record, "wall_s": wall, "cpu_s": _cpu_seconds(folder)})


def _cpu_seconds(folder: RunFolder) -> float:
    return float(sum(entry.get("cpu_s", 0.0) for entry in folder.finished().values()))
