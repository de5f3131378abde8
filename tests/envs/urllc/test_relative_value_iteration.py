"""Average-reward value iteration against closed forms and linear programming."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linprog

from roamrl.envs.errors import InputError
from roamrl.envs.relative_value_iteration import relative_value_iteration


def operator(transitions, rewards):
    """Return T of an MDP with transitions [A, S, S] and rewards [A, S]."""
    return lambda values: (rewards + transitions @ values).max(axis=0)


def gain_by_linear_program(transitions, rewards):
    """Maximise reward over state-action frequencies (Puterman, Markov Decision Processes, 1994, sec. 8.8)."""
    actions, states = rewards.shape
    flow = np.concatenate([np.eye(states) - transitions[action].T for action in range(actions)], axis=1)
    constraints = np.concatenate([flow, np.ones((1, actions * states))])
    found = linprog(-rewards.ravel(), A_eq=constraints, b_eq=np.append(np.zeros(states), 1.0), bounds=(0, None))
    return -found.fun


@pytest.mark.parametrize("seed", range(5))
def test_the_gain_is_that_of_the_linear_program(seed):
    rng = np.random.default_rng(seed)
    transitions, rewards = rng.dirichlet(np.full(7, 0.3), (4, 7)), rng.normal(size=(4, 7))
    solved = relative_value_iteration(operator(transitions, rewards), 7)
    assert solved.gain == pytest.approx(gain_by_linear_program(transitions, rewards), abs=1e-8)
    image = operator(transitions, rewards)(solved.values)
    np.testing.assert_allclose(image - solved.values, solved.gain, atol=1e-9)
    assert solved.values[0] == 0.0 and solved.error <= 1e-10 * max(1.0, abs(solved.gain))


def test_a_periodic_chain_converges():
    transitions, rewards = np.array([[[0.0, 1.0], [1.0, 0.0]]]), np.array([[0.0, 3.0]])
    solved = relative_value_iteration(operator(transitions, rewards), 2)
    assert solved.gain == pytest.approx(1.5)
    assert solved.values[1] == pytest.approx(1.5)


def test_a_gain_that_depends_on_the_start_is_an_error():
    with pytest.raises(InputError, match="mean reward within 0 and 1"):
        relative_value_iteration(lambda values: values + np.array([0.0, 1.0]), 2, most_iterations=50)
