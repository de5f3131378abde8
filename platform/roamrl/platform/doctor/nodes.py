"""Asking every node of a Ray session, and judging what the nodes say together."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from roamrl.platform.doctor import node_facts
from roamrl.platform.doctor.checks import Check, Verdict, judged

MUST_AGREE = ("ray", "torch", "gymnasium", "numpy", "numba")
"""Packages on which results depend, or without whose agreement nodes do not understand each other."""
SHOULD_AGREE = ("pyarrow", "pydantic", "safetensors", "scipy")
DISK_FULL = 0.95
"""Share of a disk in use above which Ray places no more objects on it (``RAY_local_fs_capacity_threshold``)."""
_DISK_LOW = 0.90
_ANSWER_S = 120.0


@dataclass(frozen=True)
class NodeFacts:
    """What one node told (see :func:`node_facts.node_facts`)."""

    host: str
    python: str
    versions: Mapping[str, str | None]
    disk_used: float
    disk_free: int
    cache: str
    cache_error: str | None


def own_facts(cache: str, temp_dir: str) -> NodeFacts:
    """Return what this machine tells of itself."""
    return NodeFacts(**node_facts.node_facts((*MUST_AGREE, *SHOULD_AGREE), cache, temp_dir))


def ask_nodes(cache: str) -> list[NodeFacts]:
    """Ask every node that is alive; needs a Ray session.

    Raises:
        ray.exceptions.RayError: If a node does not answer.
    """
    packages = (*MUST_AGREE, *SHOULD_AGREE)
    return [NodeFacts(**facts) for facts in _on_nodes(node_facts.node_facts, _alive(), packages, cache)]


def version_check(nodes: Sequence[NodeFacts], own: NodeFacts) -> Check:
    """Check that all nodes have the packages this machine has, and its Python up to the last number."""
    wrong: dict[str, set[str]] = {}
    for node in nodes:
        if node.python.rpartition(".")[0] != own.python.rpartition(".")[0]:
            wrong.setdefault("python", set()).add(f"{node.python} on {node.host}, {own.python} here")
        for name, installed in node.versions.items():
            if installed != own.versions[name]:
                told = f"{installed or 'missing'} on {node.host}, {own.versions[name] or 'missing'} here"
                wrong.setdefault(name, set()).add(told)
    if not wrong:
        agreed = ", ".join(f"{name} {own.versions[name]}" for name in MUST_AGREE)
        return Check("versions", Verdict.OK, f"{agreed}, Python {own.python} on {_count(nodes)}")
    serious = {"python", *MUST_AGREE} & wrong.keys()
    found = "; ".join(f"{name} {', '.join(sorted(told))}" for name, told in wrong.items())
    mend = "install the same everywhere, e.g. `pip install -c constraints.txt roamrl`, and start those nodes again"
    return Check("versions", Verdict.FAIL if serious else Verdict.WARN, found, mend)


def disk_check(nodes: Sequence[NodeFacts]) -> Check:
    """Check that Ray has room on every node."""
    fullest = max(nodes, key=lambda node: node.disk_used)
    found = f"at most {fullest.disk_used:.0%} in use, {fullest.disk_free / 1e9:.1f} GB free on {fullest.host}"
    worst = Verdict.FAIL if fullest.disk_used > DISK_FULL else Verdict.WARN
    mend = f"make room: above {DISK_FULL:.0%} Ray stores nothing more; `roamrl store gc`, old runs, Ray's old sessions"
    return judged("disk", fullest.disk_used <= _DISK_LOW, found, mend, worst)


def cache_check(nodes: Sequence[NodeFacts]) -> Check:
    """Check that compiled kernels can be kept on every node."""
    refusing = [f"{node.host}: {node.cache_error}" for node in nodes if node.cache_error]
    mend = "name a folder that every node may write in NUMBA_CACHE_DIR; until then each process compiles anew"
    return judged("kernel cache", not refusing, "; ".join(refusing) or nodes[0].cache, mend, Verdict.WARN)


def shared_check(folder: str) -> Check:
    """Check that a file which one node writes is seen by all; needs a Ray session."""
    name, text = f".roamrl-doctor-{uuid.uuid4().hex}", uuid.uuid4().hex
    nodes = _alive()
    (error,) = _on_nodes(node_facts.leave_mark, nodes[:1], folder, name, text)
    if error:
        return Check("shared storage", Verdict.FAIL, error, f"make {folder} writable on every node, or name another")
    try:
        seen = _on_nodes(node_facts.see_mark, nodes, folder, name, text)
    finally:
        _on_nodes(node_facts.remove_mark, nodes[:1], folder, name)
    blind = [node for node, sees in zip(nodes, seen, strict=True) if not sees]
    found = f"{len(nodes) - len(blind)} of {_count(nodes)} see what one wrote to {folder}"
    mend = f"mount {folder} on every node (NFS, a PVC): trials write their policies there"
    if blind:
        mend += f"; it is missing on {', '.join(sorted({str(node['NodeManagerHostname']) for node in blind}))}"
    return judged("shared storage", not blind, found, mend)


def _count(nodes: Sequence[object]) -> str:
    return f"{len(nodes)} node{'s' if len(nodes) > 1 else ''}"


def _alive() -> list[dict[str, Any]]:
    import ray

    return [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]


def _on_nodes(function: Callable[..., Any], nodes: Sequence[Mapping[str, Any]], *arguments: object) -> list[Any]:
    """Call a function of :mod:`node_facts` on each of the nodes and return what each gave back."""
    import ray
    from ray import cloudpickle
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    cloudpickle.register_pickle_by_value(node_facts)  # type: ignore[no-untyped-call]
    try:
        task = ray.remote(function)
        waiting = [
            task.options(
                num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            ).remote(*arguments)
            for node in nodes
        ]
        return list(ray.get(waiting, timeout=_ANSWER_S))
    finally:
        cloudpickle.unregister_pickle_by_value(node_facts)  # type: ignore[no-untyped-call]
