"""n-step transitions against the definition, step by step."""

from __future__ import annotations

import numpy as np
import pytest

from roamrl.algorithms.population.rollout import Rollout
from roamrl.algorithms.population.transitions import n_step_transitions

GAMMA = 0.9


def rollout(rng, steps=11, members=2, envs=3, parts=0):
    obs = rng.normal(size=(steps, members, envs, 2)).astype(np.float32)
    terminated = rng.random((steps, members, envs)) < 0.2
    truncated = ~terminated & (rng.random((steps, members, envs)) < 0.2)
    final_at = np.argwhere(truncated)
    return Rollout(
        obs=obs,
        actions=rng.integers(0, 3, (steps, members, envs)),
        logp=np.zeros((steps, members, envs), np.float32),
        rewards=rng.normal(size=(steps, members, envs)).astype(np.float32),
        terminated=terminated,
        truncated=truncated,
        discounts=np.full((steps, members, envs), GAMMA, np.float32),
        last_obs=rng.normal(size=(members, envs, 2)).astype(np.float32),
        final_at=final_at,
        final_obs=rng.normal(size=(len(final_at), 2)).astype(np.float32),
        reward_parts=rng.normal(size=(steps, members, envs, parts)).astype(np.float32) if parts else None,
    )


@pytest.mark.parametrize("n", [1, 3, 40])
@pytest.mark.parametrize("parts", [0, 4])
def test_every_step_sums_what_follows_until_n_an_end_or_the_rollouts_end(n, parts):
    played = rollout(np.random.default_rng(n + parts), parts=parts)
    made = n_step_transitions(played, n)
    steps, members, envs = played.rewards.shape
    finals = {tuple(at): seen for at, seen in zip(played.final_at.tolist(), played.final_obs, strict=True)}
    for t in range(steps):
        for p in range(members):
            for b in range(envs):
                earned, discount, step = 0.0, 1.0, t
                while True:
                    here = played.reward_parts[step, p, b] if parts else played.rewards[step, p, b : b + 1]
                    earned = earned + discount * here
                    discount *= GAMMA
                    ended = played.terminated[step, p, b] or played.truncated[step, p, b]
                    if ended or step == steps - 1 or step - t == n - 1:
                        break
                    step += 1
                following = finals.get((step, p, b))
                if following is None:
                    following = played.last_obs[p, b] if step == steps - 1 else played.obs[step + 1, p, b]
                row = t * envs + b
                np.testing.assert_allclose(made.rewards[p, row], earned, rtol=1e-5, atol=1e-6)
                expected = 0.0 if played.terminated[step, p, b] else discount
                assert made.discounts[p, row] == pytest.approx(expected, rel=1e-5)
                if not played.terminated[step, p, b]:
                    np.testing.assert_array_equal(made.next_obs[p, row], following)
                np.testing.assert_array_equal(made.obs[p, row], played.obs[t, p, b])
                assert made.actions[p, row] == played.actions[t, p, b]


def test_the_rollout_stays_as_it_was():
    played = rollout(np.random.default_rng(5))
    before = {name: np.copy(array) for name, array in vars(played).items() if array is not None}
    n_step_transitions(played, 3)
    for name, array in before.items():
        np.testing.assert_array_equal(getattr(played, name), array, err_msg=name)
