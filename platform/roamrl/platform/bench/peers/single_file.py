"""PPO as people write it in one file: torch modules, a storage tensor, one loop over a native batch of environments.

The manner is that of CleanRL (Huang et al., JMLR 23(274), 2022); the code is ours.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, distributions, nn

from roamrl.platform.bench.settings import SHARED
from roamrl.platform.bench.works import Work

Categorical: Any = distributions.Categorical


def _network(inputs: int, outputs: int, gain: float) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in SHARED.hidden:
        layers += [_layer(inputs, width, 2.0**0.5), nn.Tanh()]
        inputs = width
    return nn.Sequential(*layers, _layer(inputs, outputs, gain))


def _layer(inputs: int, outputs: int, gain: float) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    nn.init.orthogonal_(layer.weight, gain)
    nn.init.zeros_(layer.bias)
    return layer


class SingleFilePPO:
    """Trains one agent on ``envs`` environments, ``length`` steps each a run."""

    name = "single-file"

    def __init__(self, work: Work, envs: int, length: int) -> None:
        torch.set_num_threads(1)
        torch.manual_seed(0)
        self._env = work.cells(envs)
        size = int(np.prod(work.observation_space.shape or ()))
        self._actor = _network(size, int(getattr(work.action_space, "n", 0)), 0.01)
        self._critic = _network(size, 1, 1.0)
        self._weights = [*self._actor.parameters(), *self._critic.parameters()]
        self._adam = torch.optim.Adam(self._weights, SHARED.learning_rate, eps=1e-5)
        self._length, self._envs = length, envs
        self._obs = torch.zeros(length, envs, size)
        self._actions = torch.zeros(length, envs, dtype=torch.int64)
        self._logp, self._rewards, self._values, self._done = (torch.zeros(length, envs) for _ in range(4))
        self._now = torch.from_numpy(self._env.reset()[0])
        self._ended = torch.zeros(envs)
        self.mean_reward = float("nan")

    def run(self) -> int:
        """Train one iteration."""
        self._play()
        advantages = self._advantages()
        self.mean_reward = float(self._rewards.mean())
        self._learn(advantages, advantages + self._values)
        return self._length * self._envs

    @torch.no_grad()
    def _play(self) -> None:
        for step in range(self._length):
            self._obs[step], self._done[step] = self._now, self._ended
            policy = Categorical(logits=self._actor(self._now))
            action = policy.sample()
            self._actions[step], self._logp[step] = action, policy.log_prob(action)
            self._values[step] = self._critic(self._now).squeeze(-1)
            obs, reward, terminated, truncated, _ = self._env.step(action.numpy())
            self._rewards[step] = torch.from_numpy(reward)
            self._now, self._ended = torch.from_numpy(obs), torch.from_numpy(terminated | truncated).float()

    @torch.no_grad()
    def _advantages(self) -> Tensor:
        advantages = torch.zeros_like(self._rewards)
        following, ended, last = self._critic(self._now).squeeze(-1), self._ended, torch.zeros(self._envs)
        for step in reversed(range(self._length)):
            delta = self._rewards[step] + SHARED.gamma * following * (1.0 - ended) - self._values[step]
            last = delta + SHARED.gamma * SHARED.gae_lambda * (1.0 - ended) * last
            advantages[step] = last
            following, ended = self._values[step], self._done[step]
        return advantages

    def _learn(self, advantages: Tensor, returns: Tensor) -> None:
        obs, actions = self._obs.flatten(0, 1), self._actions.flatten()
        logp, gains, targets = self._logp.flatten(), advantages.flatten(), returns.flatten()
        for _ in range(SHARED.epochs):
            for rows in torch.randperm(len(obs)).chunk(SHARED.minibatches):
                policy = Categorical(logits=self._actor(obs[rows]))
                ratio = (policy.log_prob(actions[rows]) - logp[rows]).exp()
                gain = gains[rows]
                gain = (gain - gain.mean()) / (gain.std() + 1e-8)
                policy_loss = -torch.min(gain * ratio, gain * ratio.clamp(1.0 - SHARED.clip, 1.0 + SHARED.clip)).mean()
                value_loss = (self._critic(obs[rows]).squeeze(-1) - targets[rows]).square().mean()
                loss = policy_loss + SHARED.value * value_loss - SHARED.entropy * policy.entropy().mean()
                self._adam.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(self._weights, SHARED.max_norm)
                self._adam.step()

    def close(self) -> None:
        """Close the batch."""
        self._env.close()
