"""Functions of a set: what the entities of a cell tell the cell, and each other, whatever their order and number.

Embeddings are [P, N, E, H]: E entities in each of N cells of each of P members; ``presence`` [P, N, E] is 1 for those
that are present and 0 for the others, which have no influence. Results for an absent entity mean nothing. Present and
absent are told apart by arithmetic alone, since comparisons cost a CPU several times as much.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

_FAR = 1e9

Attend = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""From queries, keys and values [B, heads, E, d] and what is added to the scores [B, 1, E, E] to [B, heads, E, d]."""


def explicit_attention(queries: Tensor, keys: Tensor, values: Tensor, added: Tensor) -> Tensor:
    """Return softmax(q k' / sqrt(d) + added) v (Vaswani et al., "Attention is all you need", NIPS 2017, eq. 1)."""
    scores = torch.matmul(queries, keys.mT) / math.sqrt(queries.shape[-1]) + added
    return torch.matmul(torch.softmax(scores, dim=-1), values)


def fused_attention(queries: Tensor, keys: Tensor, values: Tensor, added: Tensor) -> Tensor:
    """Return the same at half the cost on a CPU; it can be differentiated once."""
    return functional.scaled_dot_product_attention(queries, keys, values, attn_mask=added)


def pooled_mean(embeddings: Tensor, presence: Tensor) -> Tensor:
    """Return the mean over the present entities, [P, N, H]; 0 where nobody is present.

    With a network before and one behind it, it can be any function of the entities' distribution (Zaheer et al., "Deep
    sets", NIPS 2017, theorem 2, whose sum is this mean and the number of entities).
    """
    return _total(embeddings, presence) / _at_least_one(presence.sum(dim=-1, keepdim=True))


def mean_of_others(embeddings: Tensor, presence: Tensor) -> Tensor:
    """Return for each present entity the mean over the others that are present, [P, N, E, H]; 0 without any.

    With the entity itself beside it, this is the equivariant layer of Zaheer et al. (2017, lemma 3).
    """
    others = presence.sum(dim=-1, keepdim=True) - presence
    return (_total(embeddings, presence)[:, :, None] - embeddings) / _at_least_one(others)[..., None]


def max_of_others(embeddings: Tensor, presence: Tensor) -> Tensor:
    """Return for each present entity the greatest number that another has, [P, N, E, H]; 0 without any.

    This is the other pooling of Zaheer et al. (2017, eq. 4), less the entity itself. With x1 >= x2 the two greatest
    numbers, the greatest among the others of x_e is x1 - max(0, x_e - x2): x2 if x_e is x1, else x1. Equal numbers
    share the gradient evenly.
    """
    present = presence[..., None]
    several = (present.sum(dim=2, keepdim=True) - 1.0).clamp(0.0, 1.0)
    with torch.no_grad():
        numbers = embeddings - _FAR * (1.0 - present)
        first = _greatest(numbers.clone())
        count = first.sum(dim=2, keepdim=True)
        second = _greatest(numbers.sub_(first, alpha=_FAR))
        alone = (2.0 - count).clamp(min=0.0)
        first /= count
        second *= alone / second.sum(dim=2, keepdim=True)
        second.addcmul_(first, 1.0 - alone)
    x1, x2 = ((embeddings * share).sum(dim=2, keepdim=True) for share in (first, second))
    beyond = functional.relu(embeddings - (x2 + _FAR * (1.0 - several)))
    return several * x1 - beyond


def attention(
    queries: Tensor, keys: Tensor, values: Tensor, presence: Tensor, heads: int, attend: Attend = explicit_attention
) -> Tensor:
    """Return what each entity takes from the present ones, itself among them, [P, N, E, H].

    Attention with a head for each of ``heads`` equal parts of H (Vaswani et al., 2017, sec. 3.2.2), as a function of a
    set (Lee et al., "Set transformer", ICML 2019, sec. 3.1).

    Args:
        queries: [P, N, E, H].
        keys: [P, N, E, H].
        values: [P, N, E, H].
        presence: [P, N, E].
        heads: Number of heads; a divisor of H.
        attend: What computes the heads.
    """
    members, cells, entities, width = queries.shape

    def by_head(numbers: Tensor) -> Tensor:
        return numbers.reshape(members * cells, entities, heads, width // heads).transpose(1, 2)

    far = (_FAR * (presence - 1.0)).reshape(members * cells, 1, 1, entities)
    taken = attend(by_head(queries), by_head(keys), by_head(values), far.expand(-1, -1, entities, -1))
    return taken.transpose(1, 2).reshape(members, cells, entities, width)


def _total(embeddings: Tensor, presence: Tensor) -> Tensor:
    """Return the sum over the present entities, [P, N, H]."""
    return torch.matmul(presence[:, :, None], embeddings)[:, :, 0]


def _at_least_one(count: Tensor) -> Tensor:
    return count.clamp(min=1.0)


def _greatest(numbers: Tensor) -> Tensor:
    """Overwrite numbers [P, N, E, H] with 1 where one is the greatest of its set, else 0."""
    return numbers.sub_(numbers.amax(dim=2, keepdim=True)).sign_().add_(1.0)
