"""Where a finite Markov chain spends its time, to full relative precision even for states it hardly ever visits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from roamrl.envs.errors import InputError

F64 = NDArray[np.float64]
Bools = NDArray[np.bool_]


def stationary_distribution(transitions: F64, start: int = 0) -> F64:
    """Return the long-run share of time in each state of a chain that starts in one, [S].

    Closed classes are solved by the elimination of Grassmann, Taksar and Heyman (Operations Research 33(5), 1985),
    which subtracts nothing: rare states keep their leading digits. Of several closed classes each counts with the
    probability of ending in it.

    Args:
        transitions: Probabilities from each state (row) to each (column), [S, S].
        start: First state.

    Raises:
        InputError: If a row is no probability distribution.
    """
    matrix = np.asarray(transitions, np.float64)
    if matrix.min() < 0.0 or np.abs(matrix.sum(axis=1) - 1.0).max() > 1e-9:
        raise InputError("rows of a transition matrix are non-negative and sum to one")
    reach = _reachable(matrix > 0.0)
    recurrent = reach[start] & (~reach | reach.T).all(axis=1)
    classes = reach[np.unique(reach[recurrent].argmax(axis=1))]  # a recurrent state reaches its class and no other
    result = np.zeros(len(matrix))
    for members, weight in zip(classes, _absorption(matrix, classes, reach[start] & ~recurrent, start), strict=True):
        result[members] = weight * _irreducible(matrix[np.ix_(members, members)])
    return result


def _reachable(edges: Bools) -> Bools:
    """Return which states can be reached from which, each from itself, [S, S]."""
    reach = edges | np.eye(len(edges), dtype=np.bool_)
    while True:
        further = (reach.astype(np.float32) @ reach.astype(np.float32)) > 0.0
        if np.array_equal(further, reach):
            return reach
        reach = further


def _absorption(matrix: F64, classes: Bools, transient: Bools, start: int) -> F64:
    """Return the probability of ending in each closed class, [C]."""
    if not transient[start]:
        return np.asarray(classes[:, start], np.float64)
    if len(classes) == 1:
        return np.ones(1)
    stay = matrix[np.ix_(transient, transient)]
    leave = matrix[transient] @ classes.T
    ending = np.linalg.solve(np.eye(len(stay)) - stay, leave)
    return np.asarray(ending[int(transient[:start].sum())])


def _irreducible(matrix: F64) -> F64:
    """Return the stationary distribution of an irreducible chain, [S]."""
    left = matrix.copy()
    states = len(left)
    for state in range(states - 1, 0, -1):
        left[:state, state] /= left[state, :state].sum()
        left[:state, :state] += np.outer(left[:state, state], left[state, :state])
    share = np.zeros(states)
    share[0] = 1.0
    for state in range(1, states):
        share[state] = share[:state] @ left[:state, state]
    return np.asarray(share / share.sum())
