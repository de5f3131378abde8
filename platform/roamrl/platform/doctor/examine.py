"""All checks, of this machine or of a cluster."""

from __future__ import annotations

import os
import tempfile

from roamrl.cluster.dashboard import answers
from roamrl.cluster.errors import ClusterError
from roamrl.cluster.jobs import JobClient
from roamrl.cluster.kernel_cache import CACHE_DIR, kernel_cache_variables
from roamrl.cluster.session import RaySession, ray_session
from roamrl.platform.doctor.checks import Check, Verdict
from roamrl.platform.doctor.nodes import ask_nodes, cache_check, disk_check, own_facts, shared_check, version_check
from roamrl.platform.doctor.remote import remote_checks
from roamrl.platform.doctor.store_check import store_check
from roamrl.platform.doctor.tokens import STRANGERS, TOKEN, TOKEN_FILE, strangers_check, token_checks


def examine(address: str | None, store: str | None = None, shared: str | None = None) -> list[Check]:
    """Look at everything that runs need.

    Args:
        address: ``host:port`` of a cluster this machine belongs to (``auto`` for the one on it), the URL of the
            dashboard of any other, or None for this machine alone, without Ray.
        store: Expert store, a folder or URL.
        shared: Folder that every node must see.
    """
    if address is None:
        return [*token_checks(), *_machine_checks(shared), *_store_checks(store)]
    if "://" in address:
        return _from_elsewhere(address, store, shared)
    return [*token_checks(), *_cluster_checks(address, shared), *_store_checks(store)]


def _machine_checks(shared: str | None) -> list[Check]:
    own = own_facts(os.environ.get(CACHE_DIR) or kernel_cache_variables()[CACHE_DIR], tempfile.gettempdir())
    return [version_check([own], own), disk_check([own]), cache_check([own]), *_not_without_cluster(shared)]


def _not_without_cluster(shared: str | None) -> list[Check]:
    if shared is None:
        return []
    return [Check("shared storage", Verdict.SKIPPED, "this machine alone", "give --address: it takes several nodes")]


def _store_checks(store: str | None) -> list[Check]:
    return [store_check(store)] if store else []


def _cluster_checks(address: str, shared: str | None) -> list[Check]:
    try:
        with ray_session(address) as session:
            return [*_dashboard_checks(session), *_node_checks(shared)]
    except ClusterError as error:
        return [Check("cluster", Verdict.FAIL, f"{address} cannot be joined", str(error))]


def _dashboard_checks(session: RaySession) -> list[Check]:
    if session.dashboard is None:
        return [Check(STRANGERS, Verdict.SKIPPED, "no dashboard, so no jobs", "")]
    return [strangers_check(session.dashboard)]


def _node_checks(shared: str | None) -> list[Check]:
    from ray.exceptions import RayError

    cache = kernel_cache_variables()[CACHE_DIR]
    try:
        nodes = ask_nodes(cache)
        checks = [version_check(nodes, own_facts(cache, tempfile.gettempdir())), disk_check(nodes), cache_check(nodes)]
        if shared is not None:
            return [*checks, shared_check(shared)]
    except RayError as error:
        return [Check("nodes", Verdict.FAIL, "a node does not answer", f"see `ray status`: {error}")]
    if len(nodes) > 1:
        mend = "give --shared DIR, the folder in which runs are to lie: trials on all nodes write there"
        checks.append(Check("shared storage", Verdict.SKIPPED, f"{len(nodes)} nodes", mend))
    return checks


def _from_elsewhere(url: str, store: str | None, shared: str | None) -> list[Check]:
    """Check the door from here, and everything behind it by a job; what is named twice is told of the cluster."""
    mine = [*token_checks(), strangers_check(url)]
    if not answers(url):
        mend = "give the cluster's own token: copy ~/.ray/auth_token from its head, mode 0600"
        return [*mine, Check("cluster", Verdict.FAIL, f"{url} refuses the token here", mend)]
    try:
        there = remote_checks(JobClient(url), store, shared)
    except ClusterError as error:
        return [*mine, Check("cluster", Verdict.FAIL, "the checks there failed", str(error))]
    named = {TOKEN: "token there", TOKEN_FILE: "token file there", STRANGERS: "strangers there"}
    moved = [Check(named.get(check.name, check.name), check.verdict, check.found, check.mend) for check in there]
    return [*mine, *moved]
