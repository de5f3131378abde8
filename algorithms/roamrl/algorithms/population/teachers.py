"""The teachers of a population, stacked like everything else: T finished policies a member."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from roamrl.algorithms.learner_spec import LearnerSpec
from roamrl.algorithms.population.by_task import TaskRows
from roamrl.algorithms.population.modules.build import from_bundles
from roamrl.algorithms.population.modules.entity import for_spaces
from roamrl.algorithms.teaching import Teaching
from roamrl.envs.errors import InputError


class Teachers:
    """T teachers of each of P members.

    Attributes:
        members: P.
        each: T.
        by_task: Whether teacher i is listened to in task i alone.
    """

    def __init__(self, teachings: Sequence[Teaching], device: torch.device | str = "cpu") -> None:
        """Stack the teachers of all members.

        Raises:
            InputError: If members have different numbers of teachers, or teachers different module specs.
        """
        counts = sorted({len(teaching.teachers) for teaching in teachings})
        if len(counts) > 1:
            raise InputError(f"members of one learner have equally many teachers, got {counts}")
        by_task = {teaching.by_task for teaching in teachings}
        if len(by_task) > 1:
            raise InputError("members of one learner all have a teacher for each task, or none has")
        self.by_task = by_task.pop()
        self._teachings = tuple(teachings)
        self.members, self.each = len(teachings), counts[0]
        self._module = from_bundles([bundle for own in teachings for bundle in own.teachers], device)
        if self._module.memory_size:
            raise InputError("teachers are asked about single observations; a policy with memory cannot teach")

    @classmethod
    def of(cls, spec: LearnerSpec, device: torch.device | str = "cpu") -> Teachers | None:
        """Return the teachers of a learner, None if it has none; those of sets for as many entities as it sees.

        Raises:
            InputError: If only some members have teachers, or a teacher's spaces are not otherwise the learner's.
        """
        teachings = [member.teaching for member in spec.members if member.teaching is not None]
        if not teachings:
            return None
        if len(teachings) < len(spec.members):
            raise InputError(f"{len(teachings)} of {len(spec.members)} members have teachers; give all of them some")
        for bundle in {id(bundle): bundle for own in teachings for bundle in own.teachers}.values():
            if bundle.spec.extras.columns:
                raise InputError(
                    "a teacher reads something beside the observation; teachers read the observation alone"
                )
        wanted = (spec.module.observation_space, spec.module.action_space)
        fitted = [
            replace(own, teachers=tuple(for_spaces(bundle, *wanted) for bundle in own.teachers)) for own in teachings
        ]
        for member in spec.members:
            if member.teaching is not None and member.teaching.by_task:
                _check_pool(len(member.teaching.teachers), len(member.tasks))
        return cls(fitted, device)

    def guide(self, steps: int) -> Tensor:
        """Return the probability that a teacher acts after ``steps`` environment steps of each member, [P] float32."""
        return torch.tensor([teaching.guide.at(steps) for teaching in self._teachings])

    def imitate(self, steps: int) -> Tensor:
        """Return the weight of imitation after ``steps`` environment steps of each member, [P] float32."""
        return torch.tensor([teaching.imitate.at(steps) for teaching in self._teachings])

    def reinforce(self, steps: int) -> Tensor:
        """Return 1 for members whose policies learn from rewards after ``steps`` steps, else 0, [P] float32."""
        return torch.tensor([float(steps >= teaching.reinforce_from) for teaching in self._teachings])

    def logits(self, obs: Tensor) -> Tensor:
        """Return all teachers' logits [P, T, N, A] on their members' observations [P, N, *O]."""
        asked = obs.repeat_interleave(self.each, dim=0) if self.each > 1 else obs
        return self._module.logits(asked).unflatten(0, (self.members, self.each))

    def target(self, obs: Tensor, tasks: Tensor | None = None) -> Tensor:
        """Return what imitation aims at on observations [P, N, *O], [P, N, K].

        It is the teachers' even mixture (the cross-entropy to a mixture is the mean of the cross-entropies to its
        parts), or the teacher of each row's task.

        Args:
            obs: The observations, and beside them what the members read and teachers do not.
            tasks: Number of each row's task, [P, N] int64, for teachers by task.
        """
        seen = obs[..., : self._module.spec.input_shape[-1]]
        with torch.inference_mode():
            if self.by_task:
                if tasks is None:
                    raise InputError("teachers by task need to know the task of every row")
                rows = TaskRows.of(tasks, self.each)
                logits = rows.collect(self._module.logits(rows.spread(seen)))[:, None]
            else:
                logits = self.logits(seen)
            target = self._module.head.imitation_target(logits)
        return target.clone()


def _check_pool(teachers: int, tasks: int) -> None:
    if teachers != tasks:
        raise InputError(f"{teachers} teachers by task for {tasks} tasks; give each task of the pool one teacher")
