"""Task members: a member's policies on the tasks drawn for it, as members of a population of their own.

Policy m of member p is row p * M + m of that population.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from roamrl.algorithms.learner_spec import LearnerSpec, MemberSpec
from roamrl.algorithms.population.batch import Batch
from roamrl.algorithms.population.members import MemberHyper
from roamrl.algorithms.population.modules.stacked import StackedModule
from roamrl.envs.task import Task

_DRAW, _PLAY = 3, 4


def drawn_tasks(member: MemberSpec, count: int, meta_iteration: int) -> tuple[Task, ...]:
    """Draw distinct tasks from a member's pool evenly, by its seed and the meta-iteration alone."""
    pool = list(dict.fromkeys(member.tasks))
    rng = np.random.default_rng([member.seed, _DRAW, meta_iteration])
    return tuple(pool[number] for number in rng.choice(len(pool), count, replace=False))


def task_members(spec: LearnerSpec, meta_iteration: int) -> LearnerSpec:
    """Return the learner whose members are those of ``spec``, each once for every task drawn for it.

    Their seeds are functions of the member's seed and of m, so that a member's neighbours do not matter.
    """
    count = spec.policies_per_member
    members = tuple(
        replace(member, seed=_seed(member, number), tasks=(task,), meta=None)
        for member in spec.members
        for number, task in enumerate(drawn_tasks(member, count, meta_iteration))
    )
    return replace(spec, members=members)


def task_seeds(spec: LearnerSpec) -> list[int]:
    """Return the seeds of a learner's task members, [P * M]; they are the same in every meta-iteration."""
    return [_seed(member, number) for member in spec.members for number in range(spec.policies_per_member)]


def task_hyper(members: MemberHyper, count: int) -> MemberHyper:
    """Return the settings of M task members for each member."""
    each: dict[str, Any] = {f.name: getattr(members, f.name).repeat_interleave(count) for f in fields(members)}
    return MemberHyper(**each)


@torch.no_grad()
def send_out(outer: StackedModule, played: StackedModule) -> None:
    """Give every task member its member's weights and statistics."""
    count = played.members // outer.members
    played.weights.copy_(outer.weights.repeat_interleave(count, dim=0))
    send_statistics(outer, played)


@torch.no_grad()
def send_statistics(outer: nn.Module, played: nn.Module) -> None:
    """Give every task member its member's statistics: all persistent buffers, whose first axis is the members'."""
    parameters = {name for name, _ in outer.named_parameters()}
    theirs = played.state_dict(keep_vars=True)
    for name, buffer in outer.state_dict(keep_vars=True).items():
        if name not in parameters:
            theirs[name].copy_(buffer.repeat_interleave(len(theirs[name]) // len(buffer), dim=0))


def pooled(column: Tensor, members: int) -> Tensor:
    """Return task members' rows [P * M, N, ..] as their members' rows, [P, M * N, ..]."""
    return column.reshape(members, -1, *column.shape[2:])


def observe_returns(outer: StackedModule, played: StackedModule, batch: Batch) -> None:
    """Take the returns of all tasks into the members' statistics, and those to the task members."""
    outer.observe_returns(pooled(batch.returns, outer.members), pooled(batch.obs, outer.members))
    send_statistics(outer.returns, played.returns)


def _seed(member: MemberSpec, number: int) -> int:
    return int(np.random.SeedSequence([member.seed, _PLAY, number]).generate_state(1, np.uint32)[0])
