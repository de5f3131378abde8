"""Errors of the cluster's side: no cluster at the address, no token, a session that does not start."""

from __future__ import annotations


class ClusterError(RuntimeError):
    """Ray cannot be started or joined as asked.

    The message says what was tried and how to mend it. The command line prints it without a traceback.
    """
