"""Stacked Adam against torch's own, one a member; freezing; state."""

import pytest
import torch

from roamrl.algorithms.population.optimiser import StackedAdam
from roamrl.envs.errors import InputError

LR = torch.tensor([1e-3, 1e-2, 1e-3])
NORM = torch.tensor([0.5, 2.0, 1e9])


def gradients(count):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(3, 40, generator=generator) for _ in range(count)]


def test_every_member_is_torchs_adam_with_its_own_clipping():
    start = torch.randn(3, 40, generator=torch.Generator().manual_seed(1))
    stacked = start.clone()
    optimiser = StackedAdam(stacked)
    own = [torch.nn.Parameter(row.clone()) for row in start]
    theirs = [torch.optim.Adam([row], lr=float(lr)) for row, lr in zip(own, LR, strict=True)]
    for gradient in gradients(20):
        norms = optimiser.step(gradient.clone(), torch.zeros(3), LR, NORM)
        for member, adam in enumerate(theirs):
            own[member].grad = gradient[member].clone()
            norm = torch.nn.utils.clip_grad_norm_([own[member]], float(NORM[member]))
            torch.testing.assert_close(norms[member], norm)
            adam.step()
    torch.testing.assert_close(stacked, torch.stack([row.detach() for row in own]))
    assert (stacked - start).abs().max() > 1e-2


@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_a_non_finite_member_is_left_out_bitwise(where):
    spoiled, clean = torch.zeros(3, 40), torch.zeros(3, 40)
    optimisers = [StackedAdam(spoiled), StackedAdam(clean)]
    for number, gradient in enumerate(gradients(4)):
        loss = torch.zeros(3)
        before = spoiled[1].clone()
        optimisers[1].step(gradient.clone(), loss.clone(), LR, NORM)
        if number == 2:
            (loss if where == "loss" else gradient[:, 7])[1] = torch.nan
        optimisers[0].step(gradient, loss, LR, NORM)
        assert torch.equal(spoiled[1], before) == (number == 2)
    assert torch.equal(spoiled[[0, 2]], clean[[0, 2]])
    assert optimisers[0].skipped.tolist() == [0, 1, 0]
    assert optimisers[0].updates.tolist() == [4.0, 3.0, 4.0]


def test_frozen_parameters_wait_for_their_members_steps():
    weights = torch.zeros(3, 40)
    optimiser = StackedAdam(weights)
    frozen = torch.zeros(3, 40, dtype=torch.bool)
    frozen[0, :30] = True
    frozen[1] = True
    optimiser.freeze(frozen, torch.tensor([100, 150, 0]))
    moved = []
    for gradient in gradients(3):
        before = weights.clone()
        optimiser.step(gradient, torch.zeros(3), LR, NORM)
        moved.append((weights != before).sum(dim=1).tolist())
        optimiser.advance(100)
    assert moved == [[10, 0, 40], [40, 0, 40], [40, 40, 40]]
    assert optimiser.updates.tolist() == [2.0, 1.0, 3.0]  # moments start anew on release
    assert [held.tolist() for held in optimiser.held()] == [[False] * 3] * 2


def test_the_clip_counts_only_what_is_not_frozen():
    weights = torch.zeros(1, 4)
    optimiser = StackedAdam(weights)
    optimiser.freeze(torch.tensor([[True, True, False, False]]), torch.tensor([10]))
    norm = optimiser.step(torch.tensor([[100.0, 100.0, 3.0, 4.0]]), torch.zeros(1), LR[:1], NORM[:1])
    assert norm.tolist() == [5.0]


def test_state_goes_on_where_it_was():
    weights = torch.zeros(3, 40)
    optimiser = StackedAdam(weights)
    frozen = torch.ones(3, 40, dtype=torch.bool)
    optimiser.freeze(frozen, torch.tensor([150, 0, 0]))
    first, second, third = gradients(3)
    for gradient in (first, second):
        optimiser.step(gradient, torch.zeros(3), LR, NORM)
        optimiser.advance(100)
    state, copy = optimiser.state_dict(), weights.clone()
    other = StackedAdam(copy)
    other.freeze(frozen, torch.tensor([150, 0, 0]))
    other.load_state_dict(state)
    optimiser.step(third.clone(), torch.zeros(3), LR, NORM)
    other.step(third.clone(), torch.zeros(3), LR, NORM)
    assert torch.equal(weights, copy)
    assert (weights != 0).all()
    with pytest.raises(InputError, match="updates"):
        other.load_state_dict({name: tensor for name, tensor in state.items() if name != "updates"})
    with pytest.raises(InputError, match="expected"):
        other.load_state_dict({**state, "updates": torch.zeros(2)})
