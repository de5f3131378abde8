"""Gradients of each task, the conflict between them, and its removal by projection."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from roamrl.algorithms.learner_spec import TaskGradientUse
from roamrl.algorithms.population.batch import Batch
from roamrl.algorithms.population.by_task import TaskRows
from roamrl.algorithms.population.gradient import BlockGradient
from roamrl.algorithms.population.losses import LossWeights, Minibatch
from roamrl.envs.errors import InputError

_TINY = 1e-12


@dataclass(frozen=True)
class TaskGradients:
    """The gradients of K tasks of each of P members on the same weights.

    Attributes:
        each: Gradient of each task's mean loss, [P, K, D]; 0 for a task without rows.
        present: Whether the task has rows, [P, K] bool.
        statistics: Statistics of each member's loss, means over its tasks, [S, P].
    """

    each: Tensor
    present: Tensor
    statistics: Tensor

    def gram(self) -> Tensor:
        """Return the inner products of the tasks' gradients, [P, K, K]."""
        return torch.bmm(self.each, self.each.mT)


def task_gradients(
    weights: Tensor, rows: Minibatch, tasks: Tensor, count: int, by: LossWeights, of_block: BlockGradient, most: int
) -> TaskGradients:
    """Return the gradient of every task's own loss on the rows of a minibatch.

    The rows of a member are sorted by task; each (member, task) is then a member of its own on the same weights.

    Args:
        weights: [P, D].
        rows: The minibatch, [P, n, ..].
        tasks: Task of each row, [P, n] int64 in 0..count-1.
        count: K.
        by: Weights of the losses, [P] each.
        of_block: Gradient of the loss of some members on some rows.
        most: Most rows whose gradient is taken at once.
    """
    members = weights.shape[0]
    sorted_rows = TaskRows.of(tasks, count)
    columns = [sorted_rows.spread(column) for column in rows.columns]
    spread = replace(Minibatch(*columns), weight=sorted_rows.shares())
    owners = torch.arange(members, device=weights.device).repeat_interleave(count)
    has = sorted_rows.counts.reshape(-1) > 0
    each = weights.new_zeros(members * count, weights.shape[1])
    described: Tensor | None = None
    width = max(1, most // sorted_rows.length)
    for block in torch.nonzero(has).squeeze(1).split(width):
        piece = spread.of_members(block)
        own = LossWeights(*(column[owners[block]] for column in by))
        gradient, statistics = of_block(weights.detach()[owners[block]], piece, own)
        if described is None:
            described = statistics.new_zeros(statistics.shape[0], members * count)
        each[block] = gradient
        described[:, block] = statistics
    assert described is not None  # a minibatch has rows
    present = has.view(members, count)
    share = present / present.sum(dim=1, keepdim=True)
    return TaskGradients(each.view(members, count, -1), present, (described.view(-1, members, count) * share).sum(2))


def conflict(gradients: TaskGradients) -> tuple[Tensor, Tensor]:
    """Return the mean cosine between two tasks' gradients, and the share of pairs that point apart (below 0), [P] each.

    0 where a member has fewer than two tasks.
    """
    gram = gradients.gram()
    norm = gram.diagonal(dim1=1, dim2=2).clamp(min=_TINY).sqrt()
    cosine = gram / (norm[:, :, None] * norm[:, None, :])
    pairs = gradients.present[:, :, None] & gradients.present[:, None, :]
    pairs &= ~torch.eye(gram.shape[1], dtype=torch.bool, device=gram.device)
    count = pairs.sum(dim=(1, 2)).clamp(min=1)
    mean = torch.where(pairs, cosine, 0.0).sum(dim=(1, 2)) / count
    return mean, ((cosine < 0) & pairs).sum(dim=(1, 2)) / count


def project_conflicts(gradients: TaskGradients, generator: torch.Generator) -> Tensor:
    """Return the mean over tasks of their gradients after PCGrad's projections, [P, D].

    For each task i, with the others j in random order: where g_i . g_j < 0, g_i <- g_i - (g_i . g_j) / |g_j|^2 g_j,
    with g_j as it was at first (Yu et al., "Gradient surgery for multi-task learning", NeurIPS 2020, algorithm 1). All
    of it happens in the span of the K gradients: coefficients [K, K] and inner products, at a cost that does not grow
    with D.

    Args:
        gradients: The tasks' gradients.
        generator: A CPU generator of the orders, which all members share.
    """
    gram = gradients.gram()
    members, count = gradients.present.shape
    norms = gram.diagonal(dim1=1, dim2=2).clamp(min=_TINY)
    coefficients = torch.eye(count, dtype=gram.dtype, device=gram.device).repeat(members, 1, 1)
    orders = torch.rand(count, count, generator=generator).argsort(dim=1).to(gram.device)
    own = torch.arange(count, device=gram.device)
    for step in range(count):
        other = orders[:, step]
        against = gram[:, other]  # row i: inner products of g_other(i) with all
        dot = (coefficients * against).sum(dim=2)
        apart = (dot < 0) & (other != own) & gradients.present[:, other] & gradients.present
        amount = torch.where(apart, dot / norms[:, other], 0.0)
        coefficients[:, own, other] -= amount
    share = gradients.present.to(gram.dtype) / gradients.present.sum(dim=1, keepdim=True)
    total = (share[:, :, None] * coefficients).sum(dim=1)
    return torch.bmm(total[:, None], gradients.each).squeeze(1)


class Surgery:
    """What one batch's updates do with the gradients of each task.

    Attributes:
        projects: Whether every update steps along the projected gradients; otherwise the first one's are measured.
    """

    def __init__(self, tasks: Tensor, count: int, of_block: BlockGradient, most: int, *, projects: bool) -> None:
        self.projects = projects
        self._tasks, self._count, self._of_block, self._most = tasks, count, of_block, most
        self._now: TaskGradients | None = None
        self._found: list[tuple[Tensor, Tensor]] = []

    @classmethod
    def of(cls, batch: Batch, use: TaskGradientUse, of_block: BlockGradient, most: int) -> Surgery | None:
        """Return what is wanted for a batch; None for nothing, as where all rows are of one task.

        Args:
            batch: The batch.
            use: What is to be done with the tasks' gradients.
            of_block: Gradient of the loss of some members on some rows.
            most: Most rows whose gradient is taken at once.

        Raises:
            InputError: If gradients of sequences are to be projected.
        """
        if use == "none" or batch.tasks is None:
            return None
        if batch.recurrence is not None:
            if use == "project":
                raise InputError(
                    "the gradients of tasks are projected row by row, which modules with memory do not allow"
                )
            return None
        count = int(batch.tasks.max()) + 1
        return cls(batch.tasks, count, of_block, most, projects=use == "project") if count > 1 else None

    @property
    def due(self) -> bool:
        """Whether the next update's gradients are to be looked at."""
        return self.projects or not self._found

    def look(self, weights: Tensor, taken: Minibatch, rows: Tensor, by: LossWeights) -> None:
        """Take the gradients of each task at weights [P, D] on rows ([n] int64) of the batch."""
        tasks = self._tasks.index_select(1, rows)
        self._now = task_gradients(weights, taken, tasks, self._count, by, self._of_block, self._most)
        self._found.append(conflict(self._now))

    def project(self, gradient: Tensor, generator: torch.Generator) -> Tensor:
        """Fill the gradient [P, D] with what :meth:`look` found, projected; return the statistics [S + 1, P]."""
        if self._now is None:
            raise InputError("project what has been looked at: call look() first")
        gradient.copy_(project_conflicts(self._now, generator))
        return torch.cat([self._now.statistics, self._now.statistics.new_zeros(1, gradient.shape[0])])

    def conflicts(self) -> dict[str, Tensor]:
        """Return the means over what was looked at, [P] by name."""
        cosine, apart = (torch.stack(each).mean(dim=0) for each in zip(*self._found, strict=True))
        return {"gradient_cosine": cosine, "gradient_conflict": apart}
