"""A learner as a folder: ``learner.json`` and ``policies.safetensors``, plain values that any process can read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from roamrl.algorithms.bundle import ModuleSpec, PolicyBundle
from roamrl.algorithms.learner_spec import DQNSettings, LearnerSpec, MemberSpec, Phase, PPOSettings
from roamrl.algorithms.meta_learning import meta_from_json, meta_to_json
from roamrl.algorithms.teaching import Fade, Teaching
from roamrl.envs.atomic_file import write_atomically
from roamrl.envs.errors import InputError
from roamrl.envs.radio.trace_library import open_traces
from roamrl.envs.task import Task

LEARNER_FILE = "learner.json"
POLICIES_FILE = "policies.safetensors"
FORMAT = 3

_read: dict[Path, tuple[int, LearnerSpec]] = {}


def write_learner(folder: Path, spec: LearnerSpec, traces: str | None = None) -> None:
    """Write a learner into a folder, which is made if need be.

    Tasks and policies (initial ones, teachers, experts) that several members share are stored once. ``learner.json``
    comes last: a folder that has it is complete.

    Args:
        folder: Where to write.
        spec: The learner.
        traces: Path of the recordings that its tasks refer to, if any; readers open it first.
    """
    tasks = list(dict.fromkeys(task for member in spec.members for task in member.tasks))
    task_number = {task: number for number, task in enumerate(tasks)}
    policies = {id(bundle): bundle for member in spec.members for bundle in _policies(member)}
    policy_number = {key: number for number, key in enumerate(policies)}
    value = {
        "format": FORMAT,
        "algorithm": spec.algorithm,
        "task_gradients": spec.task_gradients,
        "gammas": list(spec.gammas),
        "traces": None if traces is None else str(Path(traces).resolve()),
        "module": spec.module.to_json(),
        "ppo": asdict(spec.ppo),
        "dqn": None if spec.dqn is None else asdict(spec.dqn),
        "phases": [asdict(phase) for phase in spec.phases],
        "snapshots": list(spec.snapshots),
        "tasks": [task.to_json() for task in tasks],
        "policies": [bundle.spec.to_json() for bundle in policies.values()],
        "members": [_member_json(member, task_number, policy_number) for member in spec.members],
    }
    arrays = {
        f"{number}/{name}": np.asarray(array, order="C")
        for number, bundle in enumerate(policies.values())
        for name, array in bundle.arrays.items()
    }
    write_atomically(folder / POLICIES_FILE, save(arrays))
    write_atomically(folder / LEARNER_FILE, json.dumps(value).encode())


def read_learner(folder: Path) -> LearnerSpec:
    """Read a learner that :func:`write_learner` wrote, opening its recordings first.

    A process reads the same file once.

    Raises:
        InputError: If the folder holds no complete learner of a known format.
    """
    path = folder / LEARNER_FILE
    if not path.is_file():
        raise InputError(f"{folder} holds no {LEARNER_FILE}; write one with write_learner(folder, spec)")
    stamp = path.stat().st_mtime_ns
    known = _read.get(folder)
    if known is None or known[0] != stamp:
        _read.clear()
        known = _read[folder] = (stamp, _parse(path))
    return known[1]


def _policies(member: MemberSpec) -> tuple[PolicyBundle, ...]:
    initial = () if member.initial is None else (member.initial,)
    teachers = () if member.teaching is None else member.teaching.teachers
    return (*initial, *teachers, *member.experts)


def _member_json(
    member: MemberSpec, task_number: Mapping[Task, int], policy_number: Mapping[int, int]
) -> dict[str, Any]:
    return {
        "seed": member.seed,
        "tasks": [task_number[task] for task in member.tasks],
        "initial": None if member.initial is None else policy_number[id(member.initial)],
        "teaching": None if member.teaching is None else _teaching_json(member.teaching, policy_number),
        "experts": [policy_number[id(bundle)] for bundle in member.experts],
        "layers": member.layers,
        "frozen_steps": member.frozen_steps,
        "lr": member.lr,
        "entropy_coeff": member.entropy_coeff,
        "clip": member.clip,
        "max_grad_norm": member.max_grad_norm,
        "meta": meta_to_json(member.meta),
        "learned": member.learned,
    }


def _teaching_json(teaching: Teaching, policy_number: Mapping[int, int]) -> dict[str, Any]:
    return {
        "teachers": [policy_number[id(bundle)] for bundle in teaching.teachers],
        "guide": asdict(teaching.guide),
        "imitate": asdict(teaching.imitate),
        "reinforce_from": teaching.reinforce_from,
        "by_task": teaching.by_task,
    }


def _parse(path: Path) -> LearnerSpec:
    try:
        value = json.loads(path.read_bytes())
        if value["format"] != FORMAT:
            raise InputError(f"{path} has format {value['format']}; this version reads {FORMAT}: write it anew")
        if value["traces"] is not None:
            open_traces(value["traces"])
        arrays = load_file(path.with_name(POLICIES_FILE))
        return _build(value, arrays)
    except (KeyError, TypeError, AttributeError, IndexError, ValueError, OSError, SafetensorError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} is no learner ({type(error).__name__}: {error}); write it anew") from error


def _build(value: Mapping[str, Any], arrays: Mapping[str, NDArray[np.generic]]) -> LearnerSpec:
    tasks = [Task.from_json(task) for task in value["tasks"]]
    grouped: list[dict[str, NDArray[np.generic]]] = [{} for _ in value["policies"]]
    for key, array in arrays.items():
        number, _, name = key.partition("/")
        grouped[int(number)][name] = array
    policies = [
        PolicyBundle(ModuleSpec.from_json(spec), own) for spec, own in zip(value["policies"], grouped, strict=True)
    ]
    return LearnerSpec(
        module=ModuleSpec.from_json(value["module"]),
        members=tuple(_build_member(member, tasks, policies) for member in value["members"]),
        phases=tuple(Phase(**phase) for phase in value["phases"]),
        ppo=PPOSettings(**value["ppo"]),
        snapshots=tuple(value["snapshots"]),
        algorithm=value["algorithm"],
        task_gradients=value["task_gradients"],
        gammas=tuple(value.get("gammas", ())),
        dqn=None if value["dqn"] is None else _build_dqn(value["dqn"]),
    )


def _build_member(value: Mapping[str, Any], tasks: Sequence[Task], policies: Sequence[PolicyBundle]) -> MemberSpec:
    numbers, initial, teaching = value["tasks"], value["initial"], value["teaching"]
    own = {
        "tasks": tuple(tasks[number] for number in numbers),
        "initial": None if initial is None else policies[initial],
        "teaching": None if teaching is None else _build_teaching(teaching, policies),
        "experts": tuple(policies[number] for number in value["experts"]),
        "meta": meta_from_json(value["meta"]),
    }
    return MemberSpec(**{**value, **own})


def _build_teaching(value: Mapping[str, Any], policies: Sequence[PolicyBundle]) -> Teaching:
    return Teaching(
        teachers=tuple(policies[number] for number in value["teachers"]),
        guide=Fade(**value["guide"]),
        imitate=Fade(**value["imitate"]),
        reinforce_from=value["reinforce_from"],
        by_task=value["by_task"],
    )


def _build_dqn(value: Mapping[str, Any]) -> DQNSettings:
    return DQNSettings(**{**value, "epsilon": Fade(**value["epsilon"])})
