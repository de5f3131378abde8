"""The family's faces: Gymnasium, spaces, dynamics by hand, what is observed, and what is refused."""

import re

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

import roamrl.envs  # registers the ids
from roamrl.envs import relative_value_iteration
from roamrl.envs.errors import InputError
from roamrl.envs.family import get_family
from roamrl.envs.urllc import URLLC, speed
from roamrl.envs.urllc.arrival_law import batches, poisson
from roamrl.envs.urllc.env import UrllcEnv, joint_actions, rates_of

assert roamrl.envs.__doc__

GAINS = np.array([0.1, 0.25, 0.45, 0.7, 1.0, 1.4, 2.0, 3.2])


@pytest.mark.parametrize("config", [{}, {"history": 4, "observed": ["arrivals"]}, {"users": 2, "resource_blocks": 3}])
def test_gymnasium_finds_nothing_wrong_with_a_cell(config, recwarn):
    env = gymnasium.make("roamrl/Urllc-v1", config=config)
    check_env(env.unwrapped, skip_render_check=True)
    messages = [str(warning.message) for warning in recwarn]
    assert not [message for message in messages if "WARN" in message and not re.search("probably too", message)]


@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP])
def test_gymnasium_makes_batches(mode):
    context = {"arrivals": poisson(2.0)}
    env = gymnasium.make_vec("roamrl/Urllc-v1", num_envs=3, context=context, seed=7, autoreset_mode=mode)
    assert isinstance(env.unwrapped, UrllcEnv) and env.metadata["autoreset_mode"] is mode
    ours, _ = URLLC.make_vec([URLLC.task(context)], 3, seed=7).reset()
    assert np.array_equal(env.reset()[0], ours)


def test_the_speed_command_prints_a_line_a_config(monkeypatch, capsys):
    for name, small in (("ROWS", 8), ("STEPS", 4), ("REPEATS", 1)):
        monkeypatch.setattr(speed, name, small)
    speed.main()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines] == list(speed.CONFIGS) and max(map(len, lines)) <= 80
    assert all(float(re.search(r"([\d.]+) ms an optimum", line).group(1)) > 0.0 for line in lines)


def test_it_is_found_by_entry_point():
    assert get_family("urllc-v1") is URLLC
    assert URLLC.episode_steps(URLLC.config()) == 1000


def test_a_slot_follows_the_books():
    """Backlog, power, violation, loss and reward of random actions, computed here from what is observed."""
    config = {"history": 1, "buffer_packets": 10, "backlog_limit": 4, "loss_weight": 0.5}
    task = URLLC.task({"arrivals": batches(2.0), "fading_mean_db": -5.0, "violation_cost": 30.0}, config)
    env = URLLC.make_vec([task], 64, seed=2)
    obs, _ = env.reset()
    rng = np.random.default_rng(0)
    seen = np.zeros(3, bool)
    for _ in range(60):
        backlog, gain = np.rint(4.0 * obs[:, 0]).astype(int), np.exp(obs[:, 1].astype(float))
        actions = rng.integers(0, 5, 64)
        sent = np.minimum(actions, backlog)
        obs, reward, _, _, infos = env.step(actions)
        arrivals = np.rint(4.0 * obs[:, 2]).astype(int)
        left = backlog - sent
        lost = np.maximum(left + arrivals - 10, 0)
        power = (2.0**sent - 1.0) / (4.0 * gain)
        np.testing.assert_allclose(infos["power"], power, rtol=1e-5)
        np.testing.assert_array_equal(infos["violation_rate"], left > 4)
        np.testing.assert_array_equal(infos["loss_rate"], lost)
        np.testing.assert_array_equal(infos["backlog"], left)
        np.testing.assert_allclose(reward, -power - 30.0 * (left > 4) - 15.0 * lost, rtol=1e-5)
        np.testing.assert_allclose(4.0 * obs[:, 0], np.minimum(left + arrivals, 10), rtol=1e-6)
        np.testing.assert_allclose(4.0 * obs[:, 3], sent, rtol=1e-6)
        seen |= [(left > 4).any(), (lost > 0).any(), (sent < actions).any()]
    assert seen.all()


def test_gains_are_equally_probable_independent_and_shifted_by_the_fading_mean():
    env = URLLC.make_vec([URLLC.task({"fading_mean_db": -5.0})], 500, seed=1)
    obs, _ = env.reset()
    gains = [obs[:, 1]]
    for _ in range(200):
        gains.append(env.step(np.zeros(500, np.int64))[0][:, 1])
    levels = np.log(GAINS * 10**-0.5)
    numbers = np.abs(np.array(gains)[..., None] - levels).argmin(axis=2)
    np.testing.assert_allclose(np.array(gains), levels[numbers], atol=1e-5)
    share = np.bincount(numbers.ravel()) / numbers.size
    assert np.abs(share - 1 / 8).max() < 5.0 * np.sqrt(7 / 64 / numbers.size)
    pairs = np.bincount((8 * numbers[1:] + numbers[:-1]).ravel(), minlength=64) / numbers[1:].size
    assert np.abs(pairs - 1 / 64).max() < 5.0 * np.sqrt(63 / 4096 / numbers[1:].size)


def test_the_next_observation_depends_on_the_action():
    env = URLLC.make_vec([URLLC.task({"arrivals": poisson(2.0)})], 64, seed=3)
    env.reset()
    env.step(np.zeros(64, np.int64))
    state = env.get_state()
    idle = env.step(np.zeros(64, np.int64))[0]
    waiting = np.rint(6.0 * state["obs"][:, 0])
    env.set_state(state)
    busy = env.step(np.full(64, 8))[0]
    np.testing.assert_allclose(6.0 * (idle - busy)[:, 0], waiting, rtol=1e-5)
    assert waiting.any() and np.array_equal(idle[:, 1], busy[:, 1])


def test_the_observed_context_is_appended_and_nothing_else_of_it_shows():
    config = {"observed": ["fading_mean_db", "violation_cost", "arrivals"]}
    task = URLLC.task({"arrivals": batches(0.9), "fading_mean_db": -5.0, "violation_cost": 100.0}, config)
    obs, _ = URLLC.make_vec([task], 2).reset()
    deviation = np.sqrt(0.15 * 36 - 0.81) / 2
    np.testing.assert_allclose(obs[:, 2:], [[-1.0, np.log(2.0), 0.9, deviation]] * 2, rtol=1e-6)
    hidden = [URLLC.make_vec([URLLC.task(context)], 2).reset()[0] for context in ({}, {"arrivals": batches(0.9)})]
    assert np.array_equal(*hidden) and hidden[0].shape == (2, 2)


def test_visibility_follows_what_is_observed():
    space = URLLC.context_space(URLLC.config())
    assert [variable.visibility for variable in space.variables] == ["hidden", "inferable", "hidden"]
    assert URLLC.context_space(URLLC.config({"observed": ["arrivals"]}))["arrivals"].visibility == "observed"


def test_cached_returns_hold_as_long_as_the_solver(monkeypatch, tmp_path):
    before = URLLC.sources(URLLC.config())
    other = tmp_path / "solver.py"
    other.write_text("another solver")
    monkeypatch.setattr(relative_value_iteration, "__file__", str(other))
    assert URLLC.sources(URLLC.config()) != before


def test_rates_and_joint_actions_are_each_others_inverse():
    env = URLLC.make_vec([URLLC.task(config={"users": 3, "max_rate": 4})], 1)
    assert isinstance(env, UrllcEnv) and env.single_action_space.n == 125
    rates = rates_of(np.arange(125), env.config)
    assert len({tuple(row) for row in rates}) == 125 and rates.max() == 4
    assert rates[7].tolist() == [0, 1, 2]
    np.testing.assert_array_equal(joint_actions(rates, env.config), np.arange(125))


def test_features_tell_contexts_apart():
    contexts = [{}, {"arrivals": poisson(2.0)}, {"arrivals": batches(0.8)}, {"fading_mean_db": -5.0}]
    tasks = [URLLC.task(context) for context in [*contexts, {"violation_cost": 100.0}]]
    features = np.array([URLLC.features(task) for task in tasks])
    distance = np.linalg.norm(features[:, None] - features[None], axis=2)
    assert (distance[~np.eye(5, dtype=bool)] > 0.1).all() and np.abs(features).max() < 5


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"user": 2}, "did you mean 'users'"),
        ({"users": 5}, "from 1 to 4"),
        ({"users": 3, "resource_blocks": 2}, "need a block each"),
        ({"users": 4}, "6561 joint actions"),
        ({"sharing": "share"}, "did you mean 'shared'"),
        ({"gains": [1.0, 0.5]}, "sort them"),
        ({"gains": []}, "1 to 16 levels"),
        ({"gains": [float(level) for level in range(1, 17)], "resource_blocks": 8}, "channel states"),
        ({"backlog_limit": 24}, "from 0 to 23"),
        ({"history": -1}, "from 0 to 64"),
        ({"observed": ["arival"]}, "did you mean 'arrivals'"),
        ({"observed": ["arrivals", "arrivals"]}, "named twice"),
        ({"observed": "arrivals"}, "a list of context variables"),
    ],
)
def test_a_config_that_cannot_be_is_refused(config, reason):
    with pytest.raises(InputError, match=reason):
        URLLC.task({}, config)


@pytest.mark.parametrize(
    ("context", "reason"),
    [({"lambda": 1.0}, "known: arrivals"), ({"violation_cost": -1.0}, "from 0 to"), ({"fading_mean_db": "low"}, "num")],
)
def test_a_context_that_cannot_be_is_refused(context, reason):
    with pytest.raises(InputError, match=reason):
        URLLC.task(context)
