"""Learning from one batch: epochs of minibatches for all members at once."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from roamrl.algorithms.learner_spec import PPOSettings, TaskGradientUse
from roamrl.algorithms.population.batch import Batch
from roamrl.algorithms.population.compiled import compiled_gradient
from roamrl.algorithms.population.gradient import LOSS_STATISTICS, BlockGradient, even_length, plain_gradient
from roamrl.algorithms.population.losses import LossWeights, Minibatch
from roamrl.algorithms.population.members import MemberHyper
from roamrl.algorithms.population.modules.stacked import StackedModule
from roamrl.algorithms.population.optimiser import StackedAdam
from roamrl.algorithms.population.sequences import SequenceMinibatch
from roamrl.algorithms.population.surgery import Surgery
from roamrl.algorithms.population.teachers import Teachers

STATISTICS = (*LOSS_STATISTICS, "grad_norm")
"""What every update is described by."""

BLOCK_ROWS = 4096
"""Rows, of one member or several, whose gradient is taken at once: enough that the calls cost little beside the
arithmetic, few enough that a block's hidden layers (1 MB each at width 64) stay near the core. It depends on no P."""


def fit(
    module: StackedModule,
    optimiser: StackedAdam,
    batch: Batch,
    members: MemberHyper,
    ppo: PPOSettings,
    generator: torch.Generator,
    teachers: Teachers | None = None,
    task_gradients: TaskGradientUse = "none",
) -> dict[str, NDArray[Any]]:
    """Learn from a batch, then take its observations into the running statistics.

    The order matters: the networks learn under the normalisation they acted with; statistics of returns come first,
    those of observations last (nobody else calls ``module.observe`` while training). Members whose layers are frozen
    keep the statistics that belong to those layers.

    Args:
        module: The population, changed in place.
        optimiser: Its optimiser, changed in place.
        batch: What :func:`~roamrl.algorithms.population.batch.build_batch` made of the rollout.
        members: Per-member settings.
        ppo: Shared settings.
        generator: A CPU generator of the minibatch permutations, which all members share.
        teachers: Whose imitation the batch asks for, by their schedules; None for none.
        task_gradients: What to do with the gradients of each task, where the batch has several.

    Returns:
        Per member, [P]: the means over the updates of ``loss``, ``policy_loss``, ``value_loss``, ``entropy``, ``kl``,
        ``clip_fraction``, ``imitation`` and ``grad_norm``, ``explained_variance`` of the critic before learning, and
        ``skipped``, the updates left out because the loss or gradient was not finite; where tasks' gradients are
        looked at, ``gradient_cosine`` and ``gradient_conflict`` between two of them.
    """
    held, all_held = optimiser.held()
    if ppo.normalise_values:
        module.observe_returns(batch.returns, batch.obs, all_held)
    skipped = optimiser.skipped.clone()
    by = _loss_weights(members, teachers, int(optimiser.env_steps[0]) if teachers is not None else 0)
    surgery = Surgery.of(batch, task_gradients, plain_gradient(module, ppo), BLOCK_ROWS)
    sums, updates = _descend(module, optimiser, batch, members, by, ppo, generator, surgery)
    module.observe(batch.obs, held)
    optimiser.advance(batch.rows)
    stats = {name: total / updates for name, total in sums.items()}
    if surgery is not None:
        stats |= surgery.conflicts()
    stats["explained_variance"] = _explained_variance(batch)
    stats["skipped"] = optimiser.skipped - skipped
    return {name: value.cpu().numpy() for name, value in stats.items()}


def _loss_weights(members: MemberHyper, teachers: Teachers | None, steps: int) -> LossWeights:
    if teachers is None:
        return LossWeights(
            members.clip, members.entropy_coeff, torch.ones_like(members.clip), torch.zeros_like(members.clip)
        )
    device = members.clip.device
    reinforce, imitate = teachers.reinforce(steps).to(device), teachers.imitate(steps).to(device)
    return LossWeights(members.clip, members.entropy_coeff, reinforce, imitate)


def _descend(
    module: StackedModule,
    optimiser: StackedAdam,
    batch: Batch,
    members: MemberHyper,
    by: LossWeights,
    ppo: PPOSettings,
    generator: torch.Generator,
    surgery: Surgery | None,
) -> tuple[dict[str, Tensor], int]:
    whole, together = _whole(module, batch), batch.sequence_length
    of_block = compiled_gradient(module, ppo) if ppo.compiled else plain_gradient(module, ppo)
    gradient = torch.empty_like(module.weights, requires_grad=False)
    sums = torch.zeros(len(STATISTICS), module.members, device=gradient.device)
    count = min(ppo.minibatches, batch.rows // together)
    for _ in range(ppo.epochs):
        order = torch.randperm(batch.rows // together, generator=generator).to(gradient.device)
        for rows in order.tensor_split(count):
            taken = whole.take(rows)
            if surgery is not None and surgery.due:
                surgery.look(module.weights, taken, rows, by)
            if surgery is not None and surgery.projects:
                statistics = surgery.project(gradient, generator)
            else:
                statistics = _gradient(module, taken, by, of_block, gradient, together, even=ppo.compiled)
            statistics[-1] = optimiser.step(gradient, statistics[0], members.lr, members.max_grad_norm)
            sums += statistics
    return dict(zip(STATISTICS, sums, strict=True)), ppo.epochs * count


def _whole(module: StackedModule, batch: Batch) -> Minibatch:
    """Return all rows of a batch, ready to be learned from."""
    with torch.no_grad():
        prepared = module.prepare(batch.obs)
        targets = module.standardise_returns(batch.returns, batch.obs)
    columns = (batch.actions, batch.logp, batch.advantages, targets, batch.imitation)
    if batch.recurrence is None:
        return Minibatch(prepared, *columns)
    return SequenceMinibatch(batch.recurrence.sequences(prepared), *columns)


def _gradient(
    module: StackedModule,
    rows: Minibatch,
    by: LossWeights,
    of_block: BlockGradient,
    gradient: Tensor,
    together: int = 1,
    *,
    even: bool,
) -> Tensor:
    """Fill the gradient [P, D] of the loss on some rows, block by block, and return the statistics [S, P].

    ``together`` rows, a sequence, are never cut apart.
    """
    count = rows.logp.shape[1]
    statistics = gradient.new_zeros(len(STATISTICS), module.members)
    gradient.zero_()
    width, length = _block_shape(module.members, count, together, even=even)
    for first in range(0, module.members, width):
        block = slice(first, first + width)
        weights, own_by = module.weights[block], by.block(block)
        for start in range(0, count, length):
            piece = rows.block(block, slice(start, start + length))
            share = piece.logp.shape[1] / count
            own, described = of_block(weights, piece, own_by)
            gradient[block].add_(own, alpha=share)
            statistics[:-1, block].add_(described, alpha=share)
    return statistics


def _block_shape(members: int, rows: int, together: int = 1, *, even: bool) -> tuple[int, int]:
    """Return how many members, and rows of each, a block has; ``even`` avoids a last block of another shape."""
    length = min(rows, max(1, BLOCK_ROWS // together) * together)
    width = min(members, max(1, BLOCK_ROWS // length))
    return (even_length(members, width), even_length(rows, length)) if even else (width, length)


def _explained_variance(batch: Batch) -> Tensor:
    residual = (batch.returns - batch.values).var(dim=1, correction=0)
    return 1.0 - residual / batch.returns.var(dim=1, correction=0).clamp(min=1e-12)
