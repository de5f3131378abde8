"""Whether strangers are kept out: the token, its file, and what the dashboard tells those who have none."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from roamrl.cluster.auth_token import AUTH_MODE, AUTH_TOKEN_PATH, find_token
from roamrl.cluster.dashboard import UNAUTHORISED, stranger_status
from roamrl.cluster.errors import ClusterError
from roamrl.platform.doctor.checks import Check, Verdict, judged

TOKEN, TOKEN_FILE, STRANGERS = "token", "token file", "strangers"


def token_checks() -> list[Check]:
    """Check that there is a token here, that it is used, and that nobody else can read it."""
    mode = os.environ.get(AUTH_MODE, "token")
    if mode.lower() != "token":
        return [Check(TOKEN, Verdict.FAIL, f"{AUTH_MODE}={mode}", f"unset {AUTH_MODE}, or set it to token")]
    try:
        found = find_token()
    except ClusterError as error:
        return [Check(TOKEN, Verdict.FAIL, f"{AUTH_TOKEN_PATH} is wrong", str(error))]
    if found is None:
        made = "the first run, or `roamrl cluster start`, makes one; for a cluster elsewhere copy its head's"
        return [Check(TOKEN, Verdict.WARN, "none yet", made)]
    checks = [Check(TOKEN, Verdict.OK, "there is one")]
    if found[1] is not None:
        checks.append(_file_check(found[1]))
    return checks


def strangers_check(url: str) -> Check:
    """Check that a dashboard refuses to list its jobs to one without a token."""
    try:
        status = stranger_status(url)
    except ClusterError as error:
        return Check(STRANGERS, Verdict.FAIL, "no dashboard answers", str(error))
    said = f"{url} answers {status} without a token"
    mend = "stop this cluster now, and start it with `roamrl cluster start`: anyone who reaches it runs code on it"
    return judged(STRANGERS, status == UNAUTHORISED, said, mend)


def _file_check(path: Path) -> Check:
    mode = stat.S_IMODE(path.stat().st_mode)
    return judged(TOKEN_FILE, not mode & 0o077, f"{path}, mode {mode:04o}", f"chmod 600 {path}")
