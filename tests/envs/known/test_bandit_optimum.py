from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from roamrl.envs.errors import InputError
from roamrl.envs.known import BANDIT
from roamrl.envs.known.bandit.optimum import MOST_PULLS, bayes_optimum


def worth_of_a_plan(plan, arms, pulls):
    """Expected reward of a plan that says an arm for each past of (arm, paid), by going through all pasts."""

    def worth(past):
        if len(past) == pulls:
            return Fraction(0)
        arm = plan[past]
        paid = sum(1 for pulled, won in past if pulled == arm and won)
        made = sum(1 for pulled, _ in past if pulled == arm)
        chance = Fraction(paid + 1, made + 2)
        return chance * (1 + worth((*past, (arm, True)))) + (1 - chance) * worth((*past, (arm, False)))

    return worth(())


def test_two_pulls_are_the_best_of_all_plans():
    pasts = [(), *(((arm, won),) for arm in range(3) for won in (True, False))]
    plans = [dict(zip(pasts, chosen, strict=True)) for chosen in product(range(3), repeat=len(pasts))]
    assert bayes_optimum(3, 2) == pytest.approx(float(max(worth_of_a_plan(plan, 3, 2) for plan in plans)))


@pytest.mark.parametrize(("arms", "pulls", "reward"), [(1, 7, 3.5), (4, 0, 0.0), (4, 1, 0.5), (2, 2, 13 / 12)])
def test_small_cases_are_known(arms, pulls, reward):
    assert bayes_optimum(arms, pulls) == pytest.approx(reward)


def test_more_arms_and_longer_horizons_are_worth_more():
    by_arms = [bayes_optimum(arms, 10) for arms in (1, 2, 3, 5)]
    assert by_arms == sorted(by_arms)
    a_pull = [bayes_optimum(5, pulls) / pulls for pulls in (1, 2, 5, 10)]
    assert a_pull == sorted(a_pull)
    assert a_pull[-1] < 5 / 6


def test_no_reference_that_does_not_see_the_arms_exceeds_it_and_gittins_comes_near(regrets):
    tasks = BANDIT.sample(3000, 2, config={"pulls": 10})
    optimum = bayes_optimum(5, 10)
    earned = {}
    for name in set(BANDIT.references({})) - {"best-arm"}:
        regret = regrets(name, tasks)
        earned[name] = 10 * 5 / 6 - regret.mean()
        assert earned[name] < optimum + 3.0 * regret.std() / np.sqrt(len(tasks))
    assert earned["gittins"] > 0.98 * optimum > earned["thompson"]


@pytest.mark.parametrize(("arms", "pulls"), [(0, 3), (2, -1), (2, MOST_PULLS + 1)])
def test_what_cannot_be_calculated_is_refused(arms, pulls):
    with pytest.raises(InputError, match="the optimum is calculated for"):
        bayes_optimum(arms, pulls)
