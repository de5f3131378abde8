"""Several users: least power on shared blocks, dedicated blocks, and the bound."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from roamrl.envs.errors import InputError
from roamrl.envs.urllc import URLLC
from roamrl.envs.urllc.arrival_law import poisson
from roamrl.envs.urllc.block_sharing import make_room, shared_power
from roamrl.envs.urllc.channel import least_power
from roamrl.envs.urllc.env import UrllcEnv
from roamrl.envs.urllc.references import Optimal, StationaryPolicy

GAINS = np.array([0.1, 0.25, 0.45, 0.7, 1.0, 1.4, 2.0, 3.2])
NOISE = 1.0 / (4.0 * GAINS)
LOG2 = np.log2(NOISE)


def alone(levels, rate):
    return least_power(np.bincount(levels, minlength=8), NOISE, LOG2, int(rate))


def by_enumeration(rates, levels):
    users, blocks = levels.shape
    owners = np.array(list(product(range(users), repeat=blocks)))
    totals = [sum(alone(levels[u][owner == u], rates[u]) for u in range(users)) for owner in owners]
    return min(totals)


def cases(users, blocks, count, seed=0):
    rng = np.random.default_rng(seed)
    return [(rng.integers(0, 6, users), rng.integers(0, 8, (users, blocks))) for _ in range(count)]


@pytest.mark.parametrize(("users", "blocks"), [(2, 2), (2, 5), (3, 3), (3, 5), (4, 4)])
def test_few_blocks_are_shared_at_the_least_power_there_is(users, blocks):
    room = make_room(users, blocks, 8)
    for rates, levels in cases(users, blocks, 40):
        assert shared_power(rates, levels, NOISE, LOG2, room) == pytest.approx(by_enumeration(rates, levels))


def test_many_blocks_are_shared_at_little_more():
    room = make_room(3, 7, 8)
    excess = []
    for rates, levels in cases(3, 7, 25, seed=1):
        if rates.any():
            least = by_enumeration(rates, levels)
            excess.append(shared_power(rates, levels, NOISE, LOG2, room) / least - 1.0)
    assert min(excess) >= -1e-12
    assert np.mean(excess) < 0.03 and np.mean(np.array(excess) < 1e-9) >= 0.7


def test_sharing_never_takes_less_than_blocks_of_ones_own():
    for rates, levels in cases(4, 8, 200, seed=2):
        room = make_room(4, 8, 8)
        own = sum(alone(levels[user], rates[user]) for user in range(4))
        assert shared_power(rates, levels, NOISE, LOG2, room) >= own * (1.0 - 1e-12)


def test_with_one_sender_sharing_is_no_matter():
    room = make_room(3, 6, 8)
    for rates, levels in cases(3, 6, 50, seed=3):
        rates[1:] = 0
        assert shared_power(rates, levels, NOISE, LOG2, room) == pytest.approx(alone(levels[0], rates[0]))


@pytest.mark.parametrize("sharing", ["shared", "dedicated"])
def test_the_environment_charges_what_the_rates_need(sharing):
    config = {"users": 3, "resource_blocks": 4, "max_rate": 4, "sharing": sharing}
    env = URLLC.make_vec([URLLC.task({"arrivals": poisson(1.5)}, config)], 16, seed=1)
    assert isinstance(env, UrllcEnv)
    env.reset()
    rng = np.random.default_rng(0)
    for _ in range(10):
        levels, backlog = env.levels, env.backlog
        wanted = rng.integers(0, 5, (16, 3))
        power = env.step(wanted @ [25, 5, 1])[4]["power"]
        for row in range(16):
            sent = np.minimum(wanted[row], backlog[row])
            shared = sum(alone(levels[row, user], sent[user]) for user in range(3))
            if sharing == "shared":
                shared = shared_power(sent, levels[row], NOISE, LOG2, make_room(3, 4, 8))
            assert power[row] == pytest.approx(shared)


def test_dedicated_users_are_so_many_single_users():
    config = {"users": 2, "resource_blocks": 2, "sharing": "dedicated", "episode_slots": 500}
    task = URLLC.task({"arrivals": poisson(2.0)}, config)
    one = URLLC.task({"arrivals": poisson(2.0)}, {**config, "users": 1})
    policy = URLLC.references(task.config)["threshold"]
    assert isinstance(policy, StationaryPolicy)
    both, single = policy.long_run(task), policy.long_run(one)
    assert both.reward == pytest.approx(2.0 * single.reward) and both.violation_rate == single.violation_rate
    returns = policy.play(URLLC, [task], episodes=200, seed=2).returns[0] / 500
    assert abs(returns.mean() - both.reward) <= 4.0 * returns.std(ddof=1) / np.sqrt(200) + 0.005 * abs(both.reward)


@pytest.mark.parametrize("config", [{"users": 2}, {"users": 3, "resource_blocks": 6, "max_rate": 5}])
def test_no_policy_of_users_who_share_exceeds_the_bound(config):
    tasks = [URLLC.task({"arrivals": poisson(mean)}, {**config, "episode_slots": 300}) for mean in (0.8, 2.0)]
    references = URLLC.references(tasks[0].config)
    assert [name for name, reference in references.items() if reference.role == "oracle"] == ["oracle-bound"]
    means = {
        name: reference.play(URLLC, tasks, episodes=30, seed=1).returns.mean(axis=1)
        for name, reference in references.items()
    }
    bound = means.pop("oracle-bound")
    assert all((values < bound).all() for values in means.values())
    assert (means["each-alone"] > means["constant"]).all()


def test_there_is_no_exact_figure_for_users_who_share():
    with pytest.raises(InputError, match="no chain of their own"):
        Optimal("oracle", "oracle", "").long_run(URLLC.task(config={"users": 2}))
