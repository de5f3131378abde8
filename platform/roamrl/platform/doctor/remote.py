"""The checks of a cluster that is reached by its dashboard alone: a job makes them there."""

from __future__ import annotations

import json

from roamrl.cluster.errors import ClusterError
from roamrl.cluster.jobs import JobClient, JobRequest
from roamrl.cluster.wheel import job_wheel
from roamrl.platform.doctor.checks import Check, Verdict
from roamrl.platform.submission.submit import shell_word

_PATIENCE_S = 300.0


def remote_checks(client: JobClient, store: str | None, shared: str | None) -> list[Check]:
    """Run the checks as a job and return what they say.

    Raises:
        ClusterError: If the job does not answer.
    """
    parts = ["python", "-m", "roamrl.platform", "doctor", "--address", "auto", "--json"]
    parts += ["--store", store] if store else []
    parts += ["--shared", shared] if shared else []
    job = client.submit(JobRequest("doctor", " ".join(map(shell_word, parts)), job_wheel(), facts={"study": "doctor"}))
    ended = client.wait(job, _PATIENCE_S)
    said = client.logs(job)
    found = _parse(said)
    if found is None:
        raise ClusterError(f"the checks on {client.url} did not finish ({ended.message.strip()[:200]}); said:\n{said}")
    return found


def _parse(log: str) -> list[Check] | None:
    """Return the checks that a log ends with, None where it holds none."""
    lines = log.splitlines()
    if "[" not in lines:
        return None
    try:
        listed = json.loads("\n".join(lines[lines.index("[") : len(lines) - lines[::-1].index("]")]))
        return [Check(**{**entry, "verdict": Verdict(entry["verdict"])}) for entry in listed]
    except (ValueError, TypeError, KeyError):
        return None
