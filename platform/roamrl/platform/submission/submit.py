"""Sending a study to a cluster as a job that runs ``python -m roamrl.platform run``."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from roamrl.cluster.jobs import JobClient, JobRequest
from roamrl.cluster.wheel import job_wheel
from roamrl.envs.errors import InputError
from roamrl.platform.study.provenance import source_commit
from roamrl.platform.submission.study_files import StudyFiles, collect_study

HEAD_FOLDER = "~/roamrl"
"""Where runs and experts lie on the head if nobody says otherwise."""


@dataclass(frozen=True)
class Submission:
    """A job that was sent.

    Attributes:
        job: Its id.
        out: The run's folder on the cluster.
        store: The expert store on the cluster, or its URL.
        head_alone: Whether the folder is on the head's own disk though the cluster has other nodes.
    """

    job: str
    out: str
    store: str
    head_alone: bool


def submit_study(
    client: JobClient,
    name_or_path: str,
    overrides: Sequence[str] = (),
    *,
    out: str | None = None,
    store: str | None = None,
    fresh: bool = False,
) -> Submission:
    """Send a study or a suite to a cluster.

    The same study again goes on with its run, or finds it finished: its folder is named by what it asks.

    Args:
        client: The cluster.
        name_or_path: Built-in study or suite, or a YAML file.
        overrides: ``a.b=value`` each.
        out: The run's folder on the cluster, absolute or below ``~``; None for ``~/roamrl/runs/<name>-<hash>``.
        store: Folder of the expert store on the cluster, or its URL; None for ``~/roamrl/store``.
        fresh: Forget an earlier run in that folder.

    Raises:
        InputError: If the study cannot be used or a place is relative.
        ClusterError: If the cluster does not take the job.
    """
    with tempfile.TemporaryDirectory(prefix="roamrl-job-") as folder:
        files = collect_study(name_or_path, overrides, Path(folder))
        run = _on_cluster(out or f"{HEAD_FOLDER}/runs/{files.name}-{files.digest}", "--out")
        experts = _on_cluster(store or f"{HEAD_FOLDER}/store", "--store")
        request = JobRequest(
            name=files.name,
            entrypoint=run_command(files, run, experts, fresh),
            wheel=job_wheel(),
            files=Path(folder),
            facts={"study": files.name, "out": run, "store": experts, "commit": source_commit()},
        )
        return Submission(client.submit(request), run, experts, out is None and client.nodes() > 1)


def run_command(files: StudyFiles, out: str, store: str, fresh: bool) -> str:
    """Return the job's shell command."""
    parts = ["python", "-m", "roamrl.platform", "run", files.file, "--out", out, "--store", store]
    return " ".join([*map(shell_word, parts), *(["--fresh"] if fresh else [])])


def shell_word(text: str) -> str:
    """Quote a word for a shell, except a leading ``~``, which stands for the home there."""
    return f"~/{shlex.quote(text[2:])}" if text.startswith("~/") and text != "~/" else shlex.quote(text)


def _on_cluster(place: str, option: str) -> str:
    if place.startswith(("/", "~/")) or "://" in place:
        return place
    raise InputError(
        f"{option} {place!r} is relative, and a job has a folder of its own that is thrown away; give a folder of the "
        "cluster, e.g. /shared/runs/mine, or ~/.. for the head's"
    )
