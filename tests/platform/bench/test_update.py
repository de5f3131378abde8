import pytest

from roamrl.platform.bench.population import FAST, learner
from roamrl.platform.bench.suites.update import Products, Update, noise_rollout, update_flops
from roamrl.platform.bench.works import toy_work


def test_operations_are_those_of_the_layers():
    # Forward, weights and (not in the first layer) inputs: 2 operations for each weight and row; 4 epochs of 8 rows.
    first, second, head, value = 16 * 64, 64 * 64, 64 * 15, 64
    apart = 2 * (2 * (2 * first + 3 * second) + 3 * (head + value))
    together = 2 * ((2 * first + 3 * second) + 3 * (head + value))
    work = toy_work()
    assert update_flops(learner(work, 1, 2, 4)) == 4 * 8 * apart
    assert update_flops(learner(work, 3, 2, 4, model=FAST)) == 3 * 4 * 8 * together


@pytest.mark.parametrize("contender", [Update, Products])
def test_an_update_and_its_products_count_the_same_work(contender):
    work = toy_work()
    spec = learner(work, 2, 2, 8)
    arguments = (spec, noise_rollout(work, 2, 2, 8)) if contender is Update else (spec,)
    assert contender("x", *arguments).run() == update_flops(spec)
