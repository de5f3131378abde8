"""References of urllc-v1: their order, exactly, on every task of the splits, and what the wrong traffic costs."""

from __future__ import annotations

import numpy as np
import pytest

from roamrl.envs.urllc import URLLC, table
from roamrl.envs.urllc.arrival_law import batches, poisson
from roamrl.envs.urllc.references import StationaryPolicy, optimal_rates
from roamrl.envs.urllc.table import traffic_table

SPLITS = URLLC.splits(URLLC.config())


@pytest.fixture(scope="module")
def rewards():
    """Exact mean rewards of every reference on every task, [T] by split and name."""
    return {
        split: {
            name: np.array([policy.long_run(task).reward for task in SPLITS[split]])
            for name, policy in URLLC.references(URLLC.config()).items()
            if isinstance(policy, StationaryPolicy)
        }
        for split in SPLITS
    }


def scores(of_split):
    trivial, best = of_split["constant"], of_split["oracle"]
    return {name: float(((values - trivial) / (best - trivial)).mean()) for name, values in of_split.items()}


def test_nobody_exceeds_the_oracle_on_any_task(rewards):
    for of_split in rewards.values():
        for name, values in of_split.items():
            assert (values <= of_split["oracle"] + 1e-9).all(), name
        assert (of_split["constant"] < of_split["oracle"] - 0.3).all()


@pytest.mark.parametrize("split", ["train", "val", "iid", "ood-fading"])
def test_trivial_below_tuned_classical_below_nominal_below_oracle(rewards, split):
    score = scores(rewards[split])
    assert 0.0 == score["constant"] < score["threshold"] - 0.5 < score["threshold"] < 0.75
    assert score["threshold"] + 0.2 < score["nominal"] < score["oracle"] - 0.005


@pytest.mark.parametrize("split", ["ood-load", "ood-burst", "ood-all"])
def test_what_was_tuned_on_nominal_traffic_fails_under_other_traffic(rewards, split):
    """The threshold looks at no backlog: under traffic it was not tuned for it is worse than three packets a slot."""
    score = scores(rewards[split])
    assert score["threshold"] < -0.5
    assert score["nominal"] < score["mixture"] - 0.1
    assert 0.95 < score["mixture"] < 1.0


def test_the_hidden_arrival_law_changes_the_best_action():
    laws = [poisson(0.5), poisson(1.0), poisson(2.0), batches(0.8)]
    rates = [optimal_rates(URLLC.task({"arrivals": law})) for law in laws]
    assert (rates[1] >= rates[0]).all()
    for one in range(4):
        for other in range(one):
            assert (rates[one][:9] != rates[other][:9]).sum() >= 3


def test_played_rewards_are_the_exact_ones(rewards):
    tasks = SPLITS["ood-load"].tasks[:3]
    for name in ("constant", "oracle", "nominal"):
        played = URLLC.references(URLLC.config())[name].play(URLLC, tasks, episodes=150, seed=1).returns / 1000
        error = played.std(axis=1, ddof=1) / np.sqrt(150)
        assert (np.abs(played.mean(axis=1) - rewards["ood-load"][name][:3]) <= 4.0 * error).all()


def test_a_policy_looks_at_the_task_of_each_row():
    tasks = [URLLC.task({"arrivals": law}) for law in (poisson(0.5), poisson(2.0))]
    env = URLLC.make_vec(tasks, 64, seed=1)
    env.reset()
    oracle = URLLC.reference(tasks[0].config, "oracle")
    for _ in range(5):
        env.step(np.zeros(64, np.int64))
    actions = oracle.act(env)
    env.set_tasks(tasks[::-1] * 32)
    env.reset(options={"episode": 0})
    for _ in range(5):
        env.step(np.zeros(64, np.int64))
    backlog, level = env.backlog[:, 0], env.levels[:, 0, 0]
    expected = [optimal_rates(task)[q, c] for task, q, c in zip(env.current_tasks(), backlog, level, strict=True)]
    np.testing.assert_array_equal(oracle.act(env), expected)
    assert not np.array_equal(actions, expected)


def test_the_first_reference_of_each_role_stands_for_it():
    found = {role: URLLC.reference(URLLC.config(), role).name for role in ("trivial", "classical", "oracle")}
    assert found == {"trivial": "constant", "classical": "threshold", "oracle": "oracle"}


def test_what_not_knowing_the_traffic_costs():
    """The design's figures: 30 times the violations and half as much power again, and a third more power."""
    rows = {(row.traffic.split(" (")[0], row.policy): row for row in traffic_table()}
    assert rows["Poisson 2", "oracle"].result.violation_rate == pytest.approx(1.35e-4, rel=0.002)
    nominal = rows["Poisson 2", "nominal"]
    assert nominal.violation_ratio == pytest.approx(27.07, abs=0.01)
    assert nominal.power_ratio == pytest.approx(1.471, abs=0.001)
    assert rows["Poisson 0.8", "mixture"].power_ratio == pytest.approx(1.326, abs=0.001)
    assert rows["Poisson 0.8", "nominal"].power_ratio == 1.0
    assert rows["Poisson 2", "mixture"].violation_ratio == pytest.approx(3.29, abs=0.01)


def test_the_command_prints_both_tables(capsys):
    table.main()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 10 + 2 + 7 * 5 and max(map(len, lines)) <= 80
    assert any("2.5 x load" in line and "nominal" in line and "27.07" in line for line in lines)
