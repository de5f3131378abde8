"""Measure the population engine against a plain single-network loop: learned environment steps a second, one thread.

Observation 16, 15 actions, actor and critic of two hidden layers of 64 tanh units each, 4 epochs of 4 minibatches, on
arrays of noise, without an environment: ``build_batch`` and ``fit`` are timed, and separately acting. The plain loop is
torch.nn, torch.distributions and torch.optim.Adam, as single-file implementations write them.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from gymnasium import spaces
from torch import nn

from roamrl.algorithms.bundle import ModuleSpec
from roamrl.algorithms.learner_spec import LearnerSpec, MemberSpec, Phase, PPOSettings
from roamrl.algorithms.population.acting import noise_generators, sample_actions
from roamrl.algorithms.population.batch import build_batch
from roamrl.algorithms.population.fit import fit
from roamrl.algorithms.population.members import MemberHyper, start_population
from roamrl.algorithms.population.rollout import Rollout

OBSERVATION, ACTIONS, STEPS = 16, 15, 64


def make_rollout(members: int, envs: int) -> Rollout:
    """Fill a rollout of 64 steps with noise; one step in a hundred ends an episode."""
    rng = np.random.default_rng(0)
    shape = (STEPS, members, envs)
    ended = rng.random(shape) < 0.01
    truncated = ended & (rng.random(shape) < 0.5)
    final_at = np.argwhere(truncated)
    return Rollout(
        obs=rng.normal(size=(*shape, OBSERVATION)).astype(np.float32),
        actions=rng.integers(ACTIONS, size=shape),
        logp=np.full(shape, -np.log(ACTIONS), np.float32),
        rewards=rng.normal(size=shape).astype(np.float32),
        terminated=ended & ~truncated,
        truncated=truncated,
        discounts=np.full(shape, 0.95, np.float32),
        last_obs=rng.normal(size=(members, envs, OBSERVATION)).astype(np.float32),
        final_at=final_at,
        final_obs=rng.normal(size=(len(final_at), OBSERVATION)).astype(np.float32),
    )


def population_iteration(members: int, rollout: Rollout, activation: str) -> tuple[Callable[[], object], ...]:
    """Return one iteration of learning and one of acting of the population engine."""
    model = {"hidden": [64, 64], "activation": activation}
    module_spec = ModuleSpec("mlp", spaces.Box(-np.inf, np.inf, (OBSERVATION,)), spaces.Discrete(ACTIONS), model)
    one = Phase(1, rollout.rewards.shape[2], STEPS)
    spec = LearnerSpec(module_spec, tuple(MemberSpec(seed) for seed in range(members)), (one,))
    module, optimiser = start_population(spec)
    hyper, generator, ppo = MemberHyper.of(spec.members), torch.Generator().manual_seed(0), PPOSettings()
    generators = noise_generators(range(members))

    def learn() -> None:
        fit(module, optimiser, build_batch(module, rollout, ppo), hyper, ppo, generator)

    def act() -> None:
        for step in range(STEPS):
            sample_actions(module, torch.from_numpy(rollout.obs[step]), generators)

    return learn, act


def plain_iteration(rollout: Rollout) -> Callable[[], object]:
    """Return one iteration of a plain single-network PPO loop on the first member's rows."""
    torch.manual_seed(0)

    def net(outputs: int) -> nn.Sequential:
        return nn.Sequential(
            nn.Linear(OBSERVATION, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, outputs)
        )

    actor, critic = net(ACTIONS), net(1)
    weights = [*actor.parameters(), *critic.parameters()]
    optimiser = torch.optim.Adam(weights, 1e-3)
    obs, actions, old_logp, rewards = (
        torch.from_numpy(np.ascontiguousarray(array[:, 0]))
        for array in (rollout.obs, rollout.actions, rollout.logp, rollout.rewards)
    )
    done = torch.from_numpy(np.ascontiguousarray((rollout.terminated | rollout.truncated)[:, 0])).float()

    def learn() -> None:
        with torch.no_grad():
            values = critic(obs).squeeze(-1)
            advantages, last = torch.zeros_like(rewards), torch.zeros_like(rewards[0])
            for t in range(STEPS - 2, -1, -1):
                delta = rewards[t] + 0.95 * values[t + 1] * (1 - done[t]) - values[t]
                advantages[t] = last = delta + 0.95 * 0.95 * (1 - done[t]) * last
            returns = (advantages + values).reshape(-1)
        flat_obs, flat_actions, flat_logp = obs.flatten(0, 1), actions.flatten(), old_logp.flatten()
        flat_advantages = advantages.flatten()
        for _ in range(4):
            for rows in torch.randperm(len(flat_obs)).chunk(4):
                policy = torch.distributions.Categorical(logits=actor(flat_obs[rows]))
                ratio = (policy.log_prob(flat_actions[rows]) - flat_logp[rows]).exp()
                gain = flat_advantages[rows]
                gain = (gain - gain.mean()) / (gain.std() + 1e-8)
                policy_loss = -torch.min(ratio * gain, ratio.clamp(0.8, 1.2) * gain).mean()
                value_loss = (critic(flat_obs[rows]).squeeze(-1) - returns[rows]).square().mean()
                loss = policy_loss + 0.5 * value_loss - 0.005 * policy.entropy().mean()
                optimiser.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(weights, 0.5)
                optimiser.step()

    return learn


def steps_a_second(rows: int, run: Callable[[], object], seconds: float) -> float:
    """Return environment steps a second of the fastest run within a time budget.

    On one thread the clock is the process's own, so that a machine shared with others tells nearly the same.
    """
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    run()
    times: list[float] = []
    while sum(times) < seconds:
        start = clock()
        run()
        times.append(clock() - start)
    return rows / min(times)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=4.0, help="time for each figure")
    parser.add_argument("--activation", default="tanh")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"{'members':>8}{'rows each':>11}{'plain loop':>12}{'learning':>10}{'acting':>10}   [1000 env steps/s]")
    for members, envs in ((1, 256), (16, 16), (64, 16), (1, 16)):
        rollout = make_rollout(members, envs)
        learn, act = population_iteration(members, rollout, options.activation)
        rows = members * envs * STEPS
        figures = [
            steps_a_second(envs * STEPS, plain_iteration(rollout), options.seconds),
            steps_a_second(rows, learn, options.seconds),
            steps_a_second(rows, act, options.seconds),
        ]
        print(
            f"{members:>8}{envs * STEPS:>11}"
            + "".join(f"{x / 1e3:>{w}.1f}" for x, w in zip(figures, (12, 10, 10), strict=True))
        )


if __name__ == "__main__":
    main()
