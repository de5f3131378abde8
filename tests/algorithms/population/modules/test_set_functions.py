"""Functions of sets against loops over those that are present."""

import pytest
import torch

from roamrl.algorithms.population.modules.set_functions import (
    attention,
    explicit_attention,
    fused_attention,
    max_of_others,
    mean_of_others,
    pooled_mean,
)


def cells(ties=False):
    """Return embeddings [2, 6, 5, 4], who is present [2, 6, 5], and the indices of the present of each cell."""
    generator = torch.Generator().manual_seed(0)
    embeddings = torch.randn(2, 6, 5, 4, generator=generator)
    if ties:
        embeddings = embeddings.round().relu()
    presence = torch.rand(2, 6, 5, generator=generator) < 0.6
    presence[0, 0], presence[0, 1], presence[0, 2] = False, True, torch.tensor([False, True, False, False, False])
    indices = [[torch.nonzero(presence[p, n])[:, 0].tolist() for n in range(6)] for p in range(2)]
    return embeddings, presence.float(), indices


def by_loops(function, embeddings, indices):
    result = torch.zeros_like(embeddings)
    for p, member in enumerate(indices):
        for n, there in enumerate(member):
            for e in there:
                others = [embeddings[p, n, other] for other in there if other != e]
                result[p, n, e] = function(torch.stack(others)) if others else 0.0
    return result


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(
    ("function", "loop"),
    [(mean_of_others, lambda rows: rows.mean(dim=0)), (max_of_others, lambda rows: rows.amax(dim=0))],
)
def test_what_others_tell_is_what_loops_say(function, loop, ties):
    embeddings, presence, indices = cells(ties)
    found = function(embeddings, presence) * presence[..., None]
    torch.testing.assert_close(found, by_loops(loop, embeddings, indices), atol=1e-6, rtol=1e-6)
    alone = function(embeddings, presence)[0, 2, 1]
    assert (alone == 0).all(), "nobody else is there"


@pytest.mark.parametrize("ties", [False, True])
def test_the_gradient_of_the_greatest_goes_to_those_that_are(ties):
    embeddings, presence, indices = cells(ties)
    weights = torch.randn(embeddings.shape, generator=torch.Generator().manual_seed(1)) * presence[..., None]
    embeddings.requires_grad_()
    (found,) = torch.autograd.grad((max_of_others(embeddings, presence) * weights).sum(), embeddings)
    (expected,) = torch.autograd.grad(
        (by_loops(lambda rows: rows.amax(dim=0), embeddings, indices) * weights).sum(), embeddings
    )
    if ties:  # equal numbers may share it as they like
        torch.testing.assert_close(found.sum(dim=2), expected.sum(dim=2), atol=1e-5, rtol=1e-5)
        greatest = (embeddings - 1e9 * (1 - presence[..., None])).amax(dim=2, keepdim=True)
        second = embeddings.detach().masked_fill((embeddings == greatest) | (presence[..., None] == 0), -1e9)
        among = (embeddings >= greatest) | (embeddings >= second.amax(dim=2, keepdim=True))
        assert (found[~among.expand_as(found)] == 0).all()
    else:
        torch.testing.assert_close(found, expected)
    assert (found[presence == 0] == 0).all()


def test_the_pooled_mean_is_that_of_the_present():
    embeddings, presence, indices = cells()
    found = pooled_mean(embeddings, presence)
    for p in range(2):
        for n, there in enumerate(indices[p]):
            expected = embeddings[p, n, there].mean(dim=0) if there else torch.zeros(4)
            torch.testing.assert_close(found[p, n], expected)


@pytest.mark.parametrize("attend", [explicit_attention, fused_attention])
@pytest.mark.parametrize("heads", [1, 2, 4])
def test_attention_is_the_papers_formula_among_the_present(heads, attend):
    generator = torch.Generator().manual_seed(3)
    embeddings, presence, indices = cells()
    queries, keys, values = (embeddings @ torch.randn(4, 4, generator=generator) for _ in range(3))
    found = attention(queries, keys, values, presence, heads, attend)
    assert torch.isfinite(found).all()
    for p in range(2):
        for n, there in enumerate(indices[p]):
            for head in torch.arange(4).tensor_split(heads):
                q, k, v = (numbers[p, n, there][:, head] for numbers in (queries, keys, values))
                expected = torch.softmax(q @ k.T / len(head) ** 0.5, dim=-1) @ v
                torch.testing.assert_close(found[p, n, there][:, head], expected)
