"""The family's faces: Gymnasium, spaces, what is observed, and the reward."""

import json
import re
import subprocess
import sys

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

import roamrl.envs  # registers the ids
from roamrl.envs.errors import InputError
from roamrl.envs.slicing import SLICING, lanes
from roamrl.envs.slicing.allocation import allocation_grid, logits_of, softmax_shares
from roamrl.envs.slicing.env import SlicingEnv

assert roamrl.envs.__doc__


@pytest.mark.parametrize("config", [{}, {"action": "continuous", "history": 4}])
def test_gymnasium_finds_nothing_wrong_with_a_cell(config, recwarn):
    env = gymnasium.make("roamrl/Slicing-v1", config=config)
    check_env(env.unwrapped, skip_render_check=True)
    about_bounds = "probably too|recommend using a symmetric"  # observations have none, logits are bounded by 5
    messages = [str(warning.message) for warning in recwarn]
    assert not [message for message in messages if "WARN" in message and not re.search(about_bounds, message)]


@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP])
def test_gymnasium_makes_batches(mode):
    env = gymnasium.make_vec("roamrl/Slicing-v1", num_envs=3, context={"load": 1.3}, seed=7, autoreset_mode=mode)
    assert isinstance(env.unwrapped, SlicingEnv) and env.metadata["autoreset_mode"] is mode
    ours, _ = SLICING.make_vec([SLICING.task({"load": 1.3})], 3, seed=7).reset()
    assert np.array_equal(env.reset()[0], ours)


def test_gymnasium_makes_the_cell_that_is_asked_for():
    task = SLICING.task({"load": 1.3})
    cell = gymnasium.make("roamrl/Slicing-v1", tasks=[task], seed=7, index=2)
    row = SLICING.make_vec([task], 3, seed=7).reset()[0][2]
    assert np.array_equal(cell.reset()[0], row)
    with pytest.raises(InputError, match="a task holds both"):
        gymnasium.make("roamrl/Slicing-v1", tasks=[task], context={"load": 1.0})


def test_importing_the_framework_loads_no_kernel():
    code = "import sys, json, roamrl.envs; print(json.dumps([m for m in ('numba','ray','torch') if m in sys.modules]))"
    assert json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout) == []


def test_the_grid_has_36_allocations_of_a_tenth_at_least():
    grid = allocation_grid(3)
    assert len({tuple(row) for row in grid.round(1)}) == len(grid) == 36
    np.testing.assert_allclose(grid.sum(axis=1), 1.0)
    assert grid.min() == 0.1 and grid.max() == 0.8
    assert len(allocation_grid(2)) == 9 and len(allocation_grid(4)) == 84


def test_continuous_shares_lie_on_the_simplex_and_reach_its_corners():
    logits = np.random.default_rng(0).normal(size=(100, 3)) * 3
    shares = softmax_shares(logits)
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)
    assert shares.min() >= 0.1
    assert softmax_shares(np.array([5.0, -5.0, -5.0]))[0] > 0.795
    inside = allocation_grid(3)[(allocation_grid(3) > 0.15).all(axis=1)]
    np.testing.assert_allclose(softmax_shares(logits_of(inside)), inside, atol=1e-9)


def test_continuous_and_discrete_actions_of_equal_shares_are_equal():
    discrete = SLICING.make_vec([SLICING.task()], 4, seed=1)
    continuous = SLICING.make_vec([SLICING.task(config={"action": "continuous"})], 4, seed=1)
    discrete.reset(), continuous.reset()
    choice = int(np.argmin(np.abs(allocation_grid(3) - [0.3, 0.3, 0.4]).sum(axis=1)))
    logits = np.tile(logits_of(np.array([0.3, 0.3, 0.4])), (4, 1))
    for _ in range(5):
        a, b = discrete.step(np.full(4, choice)), continuous.step(logits.astype(np.float32))
        np.testing.assert_allclose(a[1], b[1], rtol=1e-4)


def test_what_is_observed():
    task = SLICING.task({"weights": [0.2, 0.3, 0.5]}, {"observed": ["weights", "sla_target", "load"], "history": 2})
    env = SLICING.make_vec([task], 3, seed=2)
    assert isinstance(env, SlicingEnv)
    first, _ = env.reset()
    obs = env.step(np.full(3, 10))[0]
    assert obs.shape == (3, 2 * 18 + 4) and obs.dtype == np.float32
    assert np.array_equal(obs[:, :18], first[:, 18:36])
    np.testing.assert_allclose(obs[:, 36:], np.tile([0.2, 0.3, 0.5, 1.0], (3, 1)), rtol=1e-6)
    last = obs[:, 18:36].reshape(3, 3, 6)
    out = env.outcome
    np.testing.assert_allclose(last[..., 0], np.log1p(env.offered_bits / 1e5), rtol=1e-6)
    np.testing.assert_allclose(last[..., 1], np.log1p(env.backlog_bits / 1e5), rtol=1e-6)
    np.testing.assert_allclose(last[..., 2], np.minimum(out[..., lanes.OLDEST_MS] / [10, 80, 20], 6), rtol=1e-6)
    np.testing.assert_allclose(last[..., 3], np.minimum(env.delay_ms / [10, 80, 20], 6), rtol=1e-6)
    np.testing.assert_allclose(last[..., 4], env.efficiency, rtol=1e-6)
    np.testing.assert_allclose(last[..., 5], np.tile(env.allocations[10], (3, 1)), rtol=1e-6)


@pytest.mark.parametrize(
    ("variable", "values"),
    [
        ("weights", ([0.7, 0.15, 0.15], [0.15, 0.15, 0.7])),
        ("sla_target", ({"c1": [0.5, 0.1, 0.3], "c2": [10, 80, 20]}, {"c1": [1.7, 0.2, 0.6], "c2": [3, 40, 10]})),
    ],
)
def test_a_hidden_variable_changes_rewards_but_no_observation(variable, values):
    shown = []
    for observed in (["weights", "sla_target"], []):
        envs = [SLICING.make_vec([SLICING.task({variable: value}, {"observed": observed})], 16) for value in values]
        for env in envs:
            env.reset()
        (obs, reward, *_), (other, other_reward, *_) = (env.step(np.full(16, 5)) for env in envs)
        assert not np.allclose(reward, other_reward)
        shown.append(np.array_equal(obs, other))
    assert shown == [False, True]


def test_the_hidden_sla_variant_hides_the_weights():
    assert SLICING.config({"variant": "hidden-sla"})["observed"] == ["sla_target"]
    assert SLICING.spaces(SLICING.config({"variant": "hidden-sla"}))[0].shape == (18,)
    assert SLICING.spaces(SLICING.config())[0].shape == (21,)
    visibility = {name: SLICING.context_space(SLICING.config({"variant": name}))["weights"].visibility
                  for name in ("default", "hidden-sla")}  # fmt: skip
    assert visibility == {"default": "observed", "hidden-sla": "hidden"}


def test_the_reward_is_the_weighted_logistic_of_the_delays():
    weights = [0.2, 0.3, 0.5]
    config = {"late_penalty": 0.3}
    plain, punished = (SLICING.make_vec([SLICING.task({"weights": weights}, c)], 32, seed=1) for c in ({}, config))
    assert isinstance(plain, SlicingEnv)
    plain.reset(), punished.reset()
    for action in (0, 20, 35):
        reward, lower = plain.step(np.full(32, action))[1], punished.step(np.full(32, action))[1]
        satisfied = 1 / (1 + np.exp(np.array([0.5, 0.1, 0.3]) * (plain.delay_ms - [10, 80, 20])))
        np.testing.assert_allclose(reward, satisfied @ weights)
        assert (reward > 0).all() and (reward < 1).all()
        out = plain.outcome
        packets = out[..., lanes.DELIVERED] + out[..., lanes.DROPPED] + out[..., lanes.WAITING]
        late = (out[..., lanes.LATE] / np.maximum(packets, 1)).mean(axis=1)
        np.testing.assert_allclose(lower, reward - 0.3 * late)


def test_dropping_packets_does_not_pay():
    """Starving a slice so that most of it is dropped is worth less to it than serving it late but whole."""
    env = SLICING.make_vec([SLICING.task({"load": 2.0, "weights": [0, 0, 1]})], 32, seed=1)
    env.reset()
    grid = allocation_grid(3)
    starve, serve = int(grid[:, 2].argmin()), int(grid[:, 2].argmax())
    rewards = []
    for action in (starve, serve):
        env.reset(options={"episode": 0})
        rewards.append(np.mean([env.step(np.full(32, action))[1] for _ in range(30)]))
    assert rewards[0] < 0.1 < rewards[1]


def test_features_tell_contexts_apart():
    tasks = [SLICING.task(context) for context in ({}, {"load": 1.3}, {"prb": 36}, {"weights": [0.6, 0.2, 0.2]})]
    features = np.array([SLICING.features(task) for task in tasks])
    distance = np.linalg.norm(features[:, None] - features[None], axis=2)
    assert (distance[~np.eye(4, dtype=bool)] > 0.1).all() and np.abs(features).max() < 5
