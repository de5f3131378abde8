"""How long an expert takes to answer: in process by onnxruntime and by torch, over HTTP by Ray Serve."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import torch
from numpy.typing import NDArray

from roamrl.algorithms.bundle import ModuleSpec, PolicyBundle
from roamrl.algorithms.population.acting import StackedPolicy
from roamrl.algorithms.population.modules.build import build_module, to_bundle
from roamrl.envs.errors import InputError
from roamrl.platform.bench.measure import Row
from roamrl.platform.bench.suites import Effort
from roamrl.platform.bench.works import Work, family_work
from roamrl.platform.export.interface import OBSERVATION, STATE_IN, STATE_OUT
from roamrl.platform.optional_packages import need_packages
from roamrl.platform.serving.published import EXTRA, Published, published_experts
from roamrl.platform.serving.running import served
from roamrl.platform.store.manifest import ManifestFields
from roamrl.platform.store.store import ExpertStore

NEAR_REAL_TIME_MS = 10.0
"""The shortest control loop of a near-real-time RAN intelligent controller, whose loops take 10 ms to 1 s (O-RAN.WG1
architecture description); the 99th percentile should lie below it."""

WARM_UP, BATCH = 20, 64

Act = Callable[[NDArray[Any]], None]
"""Asks once about observations [N, *O]."""

Contenders = Mapping[str, tuple[Callable[[], Act], Sequence[NDArray[Any]]]]
"""By name, what makes an :data:`Act` for one turn, and the observations of the turn. A connection is opened anew for
each turn, because the service closes those that are silent while the others have theirs."""

KINDS: Mapping[str, Mapping[str, Any]] = {"mlp": {"hidden": [64, 64]}, "gru": {"hidden": [64, 64], "memory": 64}}


def serving_suite(effort: Effort) -> Sequence[Row]:
    """Measure one observation at a time, and over HTTP batches too, of an ``mlp`` and a ``gru`` policy.

    Raises:
        InputError: If the packages of the extra ``serve`` are missing.
    """
    need_packages(EXTRA, "onnx", "onnxruntime", "starlette")
    work = family_work(effort.family)
    calls = 200 if effort.quick else 1000
    bundles = {kind: _fresh(work, kind, model) for kind, model in KINDS.items()}
    with tempfile.TemporaryDirectory() as folder:
        store = ExpertStore.init(folder)
        for kind, bundle in bundles.items():
            store.tag(f"bench-{kind}", store.publish(bundle, _fields(work)))
        published = dict(zip(KINDS, published_experts(store, [f"bench-{kind}" for kind in KINDS]), strict=True))
    obs, batches = _observations(work, calls), _observations(work, calls, BATCH)
    rows: list[Row] = []
    for kind, bundle in bundles.items():
        effort.say(f"serving: {kind} in process")
        onnx_act, torch_act = partial(_onnx_act, published[kind]), partial(_torch_act, bundle)
        turns: Contenders = {f"{kind}, onnxruntime": (onnx_act, obs), f"{kind}, torch": (torch_act, obs)}
        rows += _rows(work, _interleaved(turns, effort.rounds))
    effort.say("serving: Ray Serve")
    with served(list(published.values()), port=0) as endpoint:
        asked = {}
        for kind in KINDS:
            asked[f"{kind}, HTTP"] = (partial(_http_act, endpoint.url, f"bench-{kind}", 1), obs)
            asked[f"{kind}, HTTP, {BATCH} rows"] = (partial(_http_act, endpoint.url, f"bench-{kind}", BATCH), batches)
        rows += _rows(work, _interleaved(asked, effort.rounds))
    return sorted(rows, key=lambda row: row.metric, reverse=True)


def _fresh(work: Work, kind: str, model: Mapping[str, Any]) -> PolicyBundle:
    spec = ModuleSpec(kind, work.observation_space, work.action_space, dict(model))
    return to_bundle(build_module(spec, [0]), 0)


def _fields(work: Work) -> ManifestFields:
    task = work.task
    return ManifestFields(family=task.family, config=dict(task.config), strategy="scratch", env_steps=0, seed=0)


def _observations(work: Work, calls: int, rows: int = 1) -> list[NDArray[Any]]:
    """Return what is asked about, [rows, *O] each: the first steps of an episode under actions at random."""
    env = work.cells(rows)
    env.action_space.seed(0)
    found = [env.reset(seed=0)[0]]
    while len(found) < calls:
        found.append(np.array(env.step(env.action_space.sample())[0], np.float32))
    env.close()
    return found


def _onnx_act(published: Published) -> Act:
    from roamrl.platform.export.runtime import OnnxPolicy

    policy = OnnxPolicy(published.model)
    memory = {port["name"]: port["axes"][1] for port in policy.interface["inputs"] if port["name"] == STATE_IN}
    state = {name: np.zeros((1, size), np.float32) for name, size in memory.items()}

    def act(obs: NDArray[Any]) -> None:
        outputs = policy.step({OBSERVATION: obs, **state})
        if state:
            state[STATE_IN] = outputs[STATE_OUT]

    return act


def _torch_act(bundle: PolicyBundle) -> Act:
    policy = StackedPolicy([bundle])
    policy.begin(1)
    reward, ended = np.zeros((1, 1)), np.zeros((1, 1), np.bool_)

    def act(obs: NDArray[Any]) -> None:
        policy.act(obs[None])
        policy.after(reward, ended)

    return act


def _http_act(url: str, name: str, rows: int) -> Act:
    """Return what asks over one connection that stays open, JSON included, handing the state on."""
    connection = HTTPConnection(urlsplit(url).netloc)
    state: dict[str, Any] = {}

    def act(obs: NDArray[Any]) -> None:
        body = json.dumps({OBSERVATION: (obs if rows > 1 else obs[0]).tolist(), **state})
        connection.request("POST", f"/experts/{name}/act", body)
        response = connection.getresponse()
        answer = json.loads(response.read())
        if response.status != 200:
            raise InputError(f"the service answered {response.status}: {answer}")
        if "state" in answer:
            state["state"] = answer["state"]

    return act


@dataclass(frozen=True)
class Calls:
    """Timed calls, a list a round.

    Attributes:
        wall_s: Seconds by the clock of each call.
        cpu_s: Processor seconds of this process for each round.
    """

    wall_s: list[list[float]]
    cpu_s: list[float]


def _interleaved(contenders: Contenders, rounds: int) -> dict[str, Calls]:
    """Time every call of contenders that take turns; a turn begins with some calls that do not count."""
    found = {name: Calls([], []) for name in contenders}
    for _ in range(rounds):
        for name, (begin, obs) in contenders.items():
            act = begin()
            for one in obs[:WARM_UP]:
                act(one)
            times, cpu = [], time.process_time()
            for one in obs:
                begun = time.perf_counter()
                act(one)
                times.append(time.perf_counter() - begun)
            found[name].wall_s.append(times)
            found[name].cpu_s.append(time.process_time() - cpu)
    return found


def _rows(work: Work, timed: Mapping[str, Calls]) -> list[Row]:
    """Return each contender's median and 99th percentile over all calls; only the latter has a target."""
    return [
        _row(work, metric, name, calls, percentile, target)
        for name, calls in timed.items()
        for metric, percentile, target in (
            ("answer, median, ms", 50.0, None),
            ("answer, 99th percentile, ms", 99.0, NEAR_REAL_TIME_MS),
        )
    ]


def _row(work: Work, metric: str, variant: str, calls: Calls, percentile: float, target: float | None) -> Row:
    each = np.percentile(calls.wall_s, percentile, axis=1) * 1e3
    return Row(
        work=work.name,
        metric=metric,
        variant=variant,
        value=float(np.percentile(calls.wall_s, percentile) * 1e3),
        rounds=len(calls.wall_s),
        wall_s=float(np.median(np.sum(calls.wall_s, axis=1))),
        cpu_s=float(np.median(calls.cpu_s)),
        target=target,
        at_most=target is not None,
        notes={
            "least": float(each.min()),
            "most": float(each.max()),
            "calls_a_round": len(calls.wall_s[0]),
            "torch_threads": torch.get_num_threads(),
        },
    )
