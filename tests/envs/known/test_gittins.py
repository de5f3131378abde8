import numpy as np
import pytest

from roamrl.envs.errors import InputError
from roamrl.envs.known.bandit.gittins import gittins_indices

PUBLISHED = [(0.9, 0, 0, 0.7029), (0.9, 1, 1, 0.6346), (0.9, 2, 2, 0.6010), (0.9, 9, 1, 0.8695), (0.99, 0, 0, 0.8699)]
"""Discount, pulls that paid and that did not, index (Gittins, 1989; Christian and Griffiths, 2016, ch. 2)."""


@pytest.mark.parametrize(("discount", "paid", "lost", "index"), PUBLISHED)
def test_indices_are_the_published_ones(discount, paid, lost, index):
    assert gittins_indices(discount, 12)[paid, lost] == pytest.approx(index, abs=6e-5)


def value_beside_a_known_arm(won, lost, known, discount, depth):
    """Return the same value by plain recursion, without a grid of known arms."""
    mean = (won + 1) / (won + lost + 2)
    if depth == 0:
        return max(known, mean) / (1 - discount)
    after = [value_beside_a_known_arm(won + w, lost + 1 - w, known, discount, depth - 1) for w in (1, 0)]
    go_on = mean * (1 + discount * after[0]) + (1 - mean) * discount * after[1]
    return max(known / (1 - discount), go_on)


@pytest.mark.parametrize(("won", "lost"), [(0, 0), (3, 1), (0, 4)])
def test_at_the_index_going_on_and_stopping_are_worth_the_same(won, lost):
    discount, index = 0.5, gittins_indices(0.5, 8)[won, lost]
    for known, better in ((index - 0.005, True), (index + 0.005, False)):
        value = value_beside_a_known_arm(won, lost, known, discount, 13)
        assert bool(value > known / (1 - discount) + 1e-9) == better


def test_indices_lie_above_the_mean_and_come_down_to_it():
    indices = gittins_indices(0.9, 40)
    paid, lost = np.nonzero(~np.isnan(indices))
    assert len(paid) == 40 * 41 // 2
    mean = (paid + 1) / (paid + lost + 2)
    bonus = indices[paid, lost] - mean
    assert (bonus > 0).all()
    along = np.array([indices[n, n] - 0.5 for n in range(20)])
    assert (np.diff(along) < 0).all()
    assert along[-1] < 0.03
    assert (gittins_indices(0.99, 10)[:5, :5] > indices[:5, :5]).all(), (
        "the longer ahead, the more is worth finding out"
    )


@pytest.mark.parametrize("discount", [0.0, 1.0, -1.0])
def test_other_discounts_are_refused(discount):
    with pytest.raises(InputError, match="discount above 0 and below 1"):
        gittins_indices(discount, 10)
