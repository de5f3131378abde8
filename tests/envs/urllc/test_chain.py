"""The exact chain: optimum against enumeration and linear programming, rates against arithmetic and simulation."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy.optimize import linprog

from roamrl.envs.urllc import URLLC
from roamrl.envs.urllc.arrival_law import batches, poisson
from roamrl.envs.urllc.chain import best_episode, episode_mean, long_run, optimum
from roamrl.envs.urllc.references import ChannelThreshold, Constant, known_chain, optimal_rates

TINY = {"gains": [0.5, 2.0], "buffer_packets": 3, "max_rate": 2, "backlog_limit": 1, "max_arrivals": 2}
STRESSED = {"arrivals": poisson(2.5), "violation_cost": 2.0}


def always(count):
    return {"kind": "empirical", "probabilities": [0.0] * count + [1.0]}


def test_a_packet_a_slot_costs_what_it_costs():
    """One arrival a slot on a constant channel: any policy that loses none sends one a slot, at power 1 / 4."""
    chain = known_chain(URLLC.task({"arrivals": always(1)}, {"gains": [1.0]}))
    assert optimum(chain)[1].gain == pytest.approx(-0.25, abs=1e-9)
    result = long_run(chain, np.minimum(np.arange(25), 3)[:, None])
    assert (result.power, result.violation_rate, result.loss_rate, result.backlog) == (0.25, 0.0, 0.0, 0.0)


def test_who_never_sends_loses_all_that_comes():
    task = URLLC.task({"arrivals": poisson(1.0)}, {"loss_weight": 0.5})
    result = long_run(known_chain(task), np.zeros((25, 8), np.int64))
    assert (result.power, result.violation_rate, result.backlog) == (0.0, 1.0, 24.0)
    assert result.loss_rate == pytest.approx(1.0, abs=1e-5)
    assert result.reward == pytest.approx(-50.0 - 25.0 * result.loss_rate)


@pytest.mark.parametrize("law", [{"kind": "empirical", "probabilities": [0.5, 0.2, 0.3]}, always(1)])
@pytest.mark.parametrize("context", [{}, {"violation_cost": 1.0, "fading_mean_db": -5.0}])
def test_no_policy_of_a_tiny_chain_is_better_than_the_optimum(law, context):
    """All 324 stationary policies of a chain with four backlogs and two gains."""
    chain = known_chain(URLLC.task({"arrivals": law, **context}, {**TINY, "loss_weight": 0.3}))
    options = [range(min(backlog, 2) + 1) for backlog in range(4) for _ in range(2)]
    rewards = [long_run(chain, np.array(rates).reshape(4, 2)).reward for rates in product(*options)]
    rates, solved = optimum(chain)
    assert len(rewards) == 324
    assert solved.gain == pytest.approx(max(rewards), abs=1e-9)
    assert long_run(chain, rates).reward == pytest.approx(max(rewards), abs=1e-9)


@pytest.mark.parametrize("context", [{}, STRESSED])
def test_the_optimum_is_that_of_the_linear_program(context):
    """Frequencies of (backlog, channel state, rate) that balance; the chain is rebuilt here from its definition."""
    task = URLLC.task(context, {"buffer_packets": 12, "loss_weight": 1.0})
    chain = known_chain(task)
    pairs = [(q, c, r) for q in range(13) for c in range(8) for r in range(min(q, 8) + 1)]
    rewards, inflow, occupied = [], np.zeros((13, len(pairs))), np.zeros((13 * 8, len(pairs)))
    for entry, (q, c, r) in enumerate(pairs):
        loss = sum(p * max(q - r + a - 12, 0) for a, p in enumerate(chain.arrivals))
        gain = task.config["gains"][c]
        rewards.append(-(2**r - 1) / (4 * gain) - chain.penalty * ((q - r > 6) + loss))
        occupied[8 * q + c, entry] = 1.0
        for a, p in enumerate(chain.arrivals):
            inflow[min(q - r + a, 12), entry] += p
    balance = occupied - np.repeat(inflow, 8, axis=0) / 8.0
    constraints = np.concatenate([balance, np.ones((1, len(pairs)))])
    target = np.append(np.zeros(len(balance)), 1.0)
    found = linprog(-np.array(rewards), A_eq=constraints, b_eq=target, bounds=(0, None))
    assert optimum(chain)[1].gain == pytest.approx(-found.fun, abs=1e-7)


@pytest.mark.parametrize("policy", [Constant(), ChannelThreshold()], ids=["constant", "threshold"])
def test_an_episode_forgets_its_empty_start(policy):
    task = URLLC.task()
    chain, rates = known_chain(task), policy.rates(task)
    far = [episode_mean(chain, rates, slots).reward - long_run(chain, rates).reward for slots in (1000, 4000)]
    assert far[0] > 0.0
    assert far[1] == pytest.approx(far[0] / 4, rel=0.01)


def test_counting_slots_is_worth_next_to_nothing_in_a_thousand():
    """The optimum of the long run, from an empty start, against all policies that know how many slots are left."""
    for context in ({}, {"arrivals": poisson(2.0)}, {"arrivals": batches(0.8)}):
        task = URLLC.task(context)
        chain = known_chain(task)
        best, ours = best_episode(chain, 1000), episode_mean(chain, optimal_rates(task), 1000).reward
        gap = optimum(chain)[1].gain - Constant().long_run(task).reward
        assert ours < best < ours + 0.005 * gap


@pytest.mark.parametrize("context", [{"arrivals": batches(2.0)}, STRESSED], ids=["bursts", "stressed"])
@pytest.mark.parametrize("name", ["constant", "threshold", "oracle", "nominal"])
def test_simulation_gives_what_the_chain_says(context, name):
    """Means of 300 episodes lie within four standard errors of the exact expectation of an episode.

    Buffer and limit are small and the traffic is heavy, so that violations and losses are no rare events.
    """
    task = URLLC.task(context, {"loss_weight": 1.0, "episode_slots": 400, "buffer_packets": 9, "backlog_limit": 3})
    policy = URLLC.references(task.config)[name]
    played = policy.play(URLLC, [task], episodes=300, seed=5)
    exact = episode_mean(known_chain(task), policy.rates(task), 400)
    measured = {"reward": played.returns[0] / 400} | {key: values[0] for key, values in played.measures.items()}
    for key, values in measured.items():
        error = values.std(ddof=1) / np.sqrt(len(values))
        assert error > 0.0 and abs(values.mean() - getattr(exact, key)) <= 4.0 * error, key


def test_the_oracle_earns_its_gain_in_a_long_run():
    """A million slots at 2.5 times the load; the confidence interval covers the gain of dynamic programming."""
    task = URLLC.task({"arrivals": poisson(2.0)}, {"episode_slots": 5000})
    returns = URLLC.reference(task.config, "oracle").play(URLLC, [task], episodes=200, seed=3).returns[0] / 5000
    gain = optimum(known_chain(task))[1].gain
    assert abs(returns.mean() - gain) <= 3.0 * returns.std(ddof=1) / np.sqrt(200)
    assert returns.std(ddof=1) / np.sqrt(200) < 0.01 * abs(gain)
