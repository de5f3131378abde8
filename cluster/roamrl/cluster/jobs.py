"""Jobs on a cluster: sent with the code they run, listed, followed, stopped."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from roamrl.cluster.addresses import dashboard_url
from roamrl.cluster.dashboard import cluster_nodes, ray_version, token_header
from roamrl.cluster.errors import ClusterError
from roamrl.cluster.kernel_cache import kernel_cache_variables
from roamrl.cluster.variables import hidden_variables

OURS = "roamrl"
"""Entry of a job's metadata that tells it from others; its value is the version of the code."""

_OVERRIDING = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")  # Ray's client puts them before the address it is given
_TALKATIVE = (
    "ray.dashboard.modules.dashboard_sdk",
    "ray.dashboard.modules.job.sdk",
    "ray._private.runtime_env.packaging",
)
_ENDED = ("SUCCEEDED", "FAILED", "STOPPED")
_STOP_S = 30
_POLL_S = 0.5
_LOST_S = 60.0


@dataclass(frozen=True)
class JobRequest:
    """What is to run.

    Attributes:
        name: How the job's id begins.
        entrypoint: Shell command; it runs on the head, in the folder of ``files``.
        files: Folder that goes with the job; None for none.
        wheel: Wheel of the code.
        facts: What is to be known of the job, as text.
    """

    name: str
    entrypoint: str
    wheel: Path
    files: Path | None = None
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """A job as its cluster tells of it.

    Attributes:
        id: Its id.
        status: ``PENDING``, ``RUNNING``, ``SUCCEEDED``, ``FAILED`` or ``STOPPED``.
        message: What Ray says about it.
        entrypoint: Shell command.
        started: Unix time in s, None before it starts.
        ended: Unix time in s, None before it ends.
        facts: What was said of it when it was sent.
    """

    id: str
    status: str
    message: str
    entrypoint: str
    started: float | None
    ended: float | None
    facts: Mapping[str, str]

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.status in _ENDED

    @property
    def seconds(self) -> float | None:
        """How long it has run, in s."""
        return None if self.started is None else (self.ended or time.time()) - self.started


class JobClient:
    """The jobs of one cluster."""

    def __init__(self, address: str) -> None:
        """Reach a cluster by its dashboard.

        Args:
            address: URL of the dashboard, or its ``host:port``.

        Raises:
            ClusterError: If nobody answers there, it refuses the token, or it runs another version of Ray.
        """
        from ray import __version__ as here
        from ray.job_submission import JobSubmissionClient

        self.url = dashboard_url(address)
        there = ray_version(self.url)
        if there != here:
            raise ClusterError(f"{self.url} runs Ray {there}, this machine {here}; install {there} here")
        for name in _TALKATIVE:
            logging.getLogger(name).setLevel(logging.WARNING)
        with hidden_variables(_OVERRIDING), _told_by(self.url):
            self._client = JobSubmissionClient(self.url, headers=token_header())

    def nodes(self) -> int:
        """Return how many nodes the cluster has now."""
        return len(cluster_nodes(self.url))

    def submit(self, request: JobRequest) -> str:
        """Send a job and return its id.

        Raises:
            ClusterError: If the cluster does not take it.
        """
        runtime_env: dict[str, Any] = {
            "py_modules": [str(request.wheel)],
            "env_vars": {
                **kernel_cache_variables(),
                "RAY_JOB_STOP_SIGNAL": "SIGINT",  # a run ends at Ctrl-C with its parts whole, and says how to go on
                "RAY_JOB_STOP_WAIT_TIME_S": str(_STOP_S),
            },
        }
        if request.files is not None:
            runtime_env["working_dir"] = str(request.files)
        version = request.wheel.name.split("-")[1]
        with _told_by(self.url):
            return str(
                self._client.submit_job(
                    entrypoint=request.entrypoint,
                    submission_id=f"{request.name}-{secrets.token_hex(4)}",
                    runtime_env=runtime_env,
                    metadata={**request.facts, OURS: version},
                )
            )

    def ls(self) -> list[Job]:
        """Return the jobs that were sent by RoamRL, oldest first.

        Raises:
            ClusterError: If the cluster does not answer.
        """
        with _told_by(self.url):
            listed = [_job(details) for details in self._client.list_jobs() if details.submission_id]
        return sorted((job for job in listed if OURS in job.facts), key=lambda job: (job.started or 0.0, job.id))

    def get(self, job_id: str) -> Job:
        """Return one job.

        Raises:
            ClusterError: If there is none of that id.
        """
        with _told_by(self.url, job_id):
            return _job(self._client.get_job_info(job_id))

    def logs(self, job_id: str) -> str:
        """Return what a job has said so far.

        Raises:
            ClusterError: If there is none of that id.
        """
        with _told_by(self.url, job_id):
            return str(self._client.get_job_logs(job_id))

    def stop(self, job_id: str) -> bool:
        """Ask a job to stop; say whether it still ran.

        Raises:
            ClusterError: If there is none of that id.
        """
        with _told_by(self.url, job_id):
            return bool(self._client.stop_job(job_id))

    def wait(self, job_id: str, patience_s: float) -> Job:
        """Return a job once it has ended.

        Raises:
            ClusterError: If it has not by then.
        """
        until = time.monotonic() + patience_s
        while not (job := self.get(job_id)).over:
            if time.monotonic() > until:
                raise ClusterError(f"job {job_id} is {job.status} after {patience_s:.0f} s; see `roamrl jobs logs`")
            time.sleep(_POLL_S)
        return job

    def follow(self, job_id: str, write: Callable[[str], object]) -> Job:
        """Pass on what a job says, from its beginning to its end, also over a connection that breaks for a while.

        Args:
            job_id: Its id.
            write: Called with each piece of text.

        Raises:
            ClusterError: If there is none of that id, or the cluster is out of reach for a minute.
        """
        self.get(job_id)
        shown = 0
        lost: float | None = None
        while True:
            try:
                shown = asyncio.run(self._tail(job_id, shown, write))
                job = self.get(job_id)
                if job.over:
                    shown = self._rest(job_id, shown, write)
                    return job
                lost = None
            except (ClusterError, _Broken) as error:
                shown = error.shown if isinstance(error, _Broken) else shown
                lost = lost or time.monotonic()
                if time.monotonic() - lost > _LOST_S:
                    raise ClusterError(f"lost {self.url} following {job_id}: {error}; the job may go on") from error
            time.sleep(_POLL_S)

    def _rest(self, job_id: str, shown: int, write: Callable[[str], object]) -> int:
        """Write what the log has beyond what was shown: the stream may end before the last lines."""
        said = self.logs(job_id)
        if len(said) > shown:
            write(said[shown:])
        return max(shown, len(said))

    async def _tail(self, job_id: str, shown: int, write: Callable[[str], object]) -> int:
        """Write the log from a place on until the connection ends, and return the place reached."""
        place = 0
        pieces = aiter(self._client.tail_job_logs(job_id))
        while True:
            try:
                piece = await anext(pieces)
            except StopAsyncIteration:
                return max(shown, place)
            except Exception as error:  # aiohttp's, Ray's RuntimeError: whatever broke, the place must not be lost
                raise _Broken(shown, error) from error
            new = piece[max(0, shown - place) :]
            place += len(piece)
            if new:
                write(new)  # what the reader of the output does wrong is no broken connection
                shown = place


class _Broken(Exception):
    """The stream of a log broke off after so many characters."""

    def __init__(self, shown: int, error: Exception) -> None:
        super().__init__(str(error) or type(error).__name__)
        self.shown = shown


def _job(details: Any) -> Job:
    def seconds(milliseconds: int | None) -> float | None:
        return milliseconds / 1000 if milliseconds else None

    return Job(
        id=str(details.submission_id),
        status=str(details.status.value),
        message=str(details.message or ""),
        entrypoint=str(details.entrypoint),
        started=seconds(details.start_time),
        ended=seconds(details.end_time),
        facts=dict(details.metadata or {}),
    )


@contextmanager
def _told_by(url: str, job_id: str | None = None) -> Iterator[None]:
    """Turn what Ray's client raises into an error that a person can act on."""
    import requests
    from ray.exceptions import AuthenticationError

    try:
        yield
    except AuthenticationError as error:
        raise ClusterError(f"{url} refuses the token here; copy ~/.ray/auth_token from the head, mode 0600") from error
    except (requests.RequestException, ConnectionError) as error:
        raise ClusterError(f"{url} does not answer: {error}") from error
    except (RuntimeError, ValueError) as error:
        if job_id is not None and "404" in str(error):
            raise ClusterError(f"{url} has no job {job_id!r}; `roamrl jobs ls` lists them") from error
        raise ClusterError(f"{url}: {(str(error).strip() or type(error).__name__).splitlines()[0]}") from error
