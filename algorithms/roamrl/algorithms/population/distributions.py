"""Action distributions on stacked logits [P, N, A], written out instead of torch.distributions.

Sampling takes its noise as an argument, so that every member can have a generator of its own. Distribution objects
stay out: their validation spreads one member's NaN to all, and they cost more than the arithmetic.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn import functional

from roamrl.envs.errors import InputError

_LOG_TWO_PI = math.log(2.0 * math.pi)
SMALLEST_LOG_STD, LARGEST_LOG_STD = -10.0, 2.0
"""Within which log standard deviations are held."""

NEVER = -1e4
"""The logit of a choice that is never made: its probability, exp(-10^4), is 0 in float32 and float64."""


class ActionHead(ABC):
    """How logits become actions.

    Attributes:
        outputs: Units of the policy's output layer.
        log_stds: State-independent log standard deviations it has besides (0 for none).
        noise_size: Noise numbers an action takes.
        action_shape: Shape of one action.
        action_dtype: Dtype of actions inside the engine.
    """

    outputs: int
    log_stds: int
    noise_size: int
    action_shape: tuple[int, ...]
    action_dtype: torch.dtype

    def with_log_std(self, logits: Tensor, log_std: Tensor) -> Tensor:
        """Append log standard deviations [P, K] to means [P, N, K]: logits [P, N, 2K]."""
        return torch.cat([logits, log_std[:, None].expand_as(logits)], dim=-1)

    @abstractmethod
    def draw_noise(self, out: Tensor, generator: torch.Generator) -> None:
        """Fill a tensor [.., noise_size] with the noise that :meth:`sample` expects."""

    @abstractmethod
    def sample(self, logits: Tensor, noise: Tensor) -> Tensor:
        """Return actions [P, N, *action_shape] from logits and noise [P, N, noise_size]."""

    @abstractmethod
    def greedy(self, logits: Tensor) -> Tensor:
        """Return the most probable actions [P, N, *action_shape]."""

    @abstractmethod
    def log_prob_and_entropy(self, logits: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Return log-probabilities (densities) of actions and entropies, both [P, N]."""

    def differentiable_log_prob_and_entropy(self, logits: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Return the same by torch's own operations, which compilers read and which have derivatives of any order."""
        return self.log_prob_and_entropy(logits, actions)

    @abstractmethod
    def log_prob(self, logits: Tensor, actions: Tensor) -> Tensor:
        """Return log-probabilities (densities) of actions, [P, N]."""

    @abstractmethod
    def imitation_target(self, logits: Tensor) -> Tensor:
        """Return the even mixture of T policies with logits [P, T, N, A] as :meth:`cross_entropy` takes it."""

    @abstractmethod
    def cross_entropy(self, target: Tensor, logits: Tensor) -> Tensor:
        """Return the cross-entropy [P, N] of policies with logits [P, N, A] to targets [P, N, K]."""

    @abstractmethod
    def to_env(self, actions: NDArray[Any]) -> NDArray[Any]:
        """Return the engine's actions as the environment takes them."""

    def entropy(self, logits: Tensor) -> Tensor:
        """Return entropies [P, N]."""
        return self.log_prob_and_entropy(logits, self.greedy(logits))[1]


class CategoricalHead(ActionHead):
    """One of A actions, with probability softmax(logits)."""

    def __init__(self, space: spaces.Discrete) -> None:
        self.outputs = self.noise_size = int(space.n)
        self.log_stds = 0
        self.start = int(space.start)
        self.action_shape: tuple[int, ...] = ()
        self.action_dtype = torch.int64

    def draw_noise(self, out: Tensor, generator: torch.Generator) -> None:
        """Fill a tensor with exponential noise."""
        out.exponential_(generator=generator)

    def sample(self, logits: Tensor, noise: Tensor) -> Tensor:
        """Return argmax(logits - log E) for exponential noise E: the exponential race, i.e. Gumbel's trick."""
        return (logits - noise.log()).argmax(dim=-1)

    def greedy(self, logits: Tensor) -> Tensor:
        """Return the most probable actions."""
        return logits.argmax(dim=-1)

    def log_prob_and_entropy(self, logits: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Return log softmax(logits)[action] and -sum p log p."""
        result: tuple[Tensor, Tensor] = _CategoricalLogProbAndEntropy.apply(logits.mT, actions)
        return result

    def differentiable_log_prob_and_entropy(self, logits: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Return the same without the gradient written out."""
        log_probs = torch.log_softmax(logits.mT, dim=1)
        return log_probs.gather(1, actions[:, None])[:, 0], -(log_probs.exp() * log_probs).sum(dim=1)

    def log_prob(self, logits: Tensor, actions: Tensor) -> Tensor:
        """Return log softmax(logits)[action]."""
        return logits.gather(-1, actions.unsqueeze(-1)).squeeze(-1) - logits.logsumexp(dim=-1)

    def imitation_target(self, logits: Tensor) -> Tensor:
        """Return the mixture's probabilities, [P, N, A]."""
        return torch.softmax(logits.mT, dim=-2).mean(dim=1).mT

    def cross_entropy(self, target: Tensor, logits: Tensor) -> Tensor:
        """Return -sum_a target_a log softmax(logits)_a."""
        return -(target.mT * torch.log_softmax(logits.mT, dim=1)).sum(dim=1)

    def to_env(self, actions: NDArray[Any]) -> NDArray[Any]:
        """Count from the space's start."""
        return actions + self.start if self.start else actions


class _CategoricalLogProbAndEntropy(torch.autograd.Function):
    """Log-probabilities and entropies of transposed logits [P, A, N], with the gradient written out.

    With p = softmax(z): d log p_a / dz = 1_a - p and dH / dz = -p (log p + H).
    The softmax runs over a middle axis because over a last axis of a dozen numbers it is twenty times slower.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, logits: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        log_probs = torch.log_softmax(logits, dim=1)
        probs = log_probs.exp()
        entropy = (probs * log_probs).sum(dim=1).neg_()
        chosen = actions[:, None]
        ctx.save_for_backward(log_probs, probs, entropy, chosen)
        return log_probs.gather(1, chosen)[:, 0], entropy

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_log_prob: Tensor, of_entropy: Tensor) -> tuple[Tensor, None]:
        log_probs, probs, entropy, chosen = ctx.saved_tensors
        own = of_log_prob[:, None]
        gradient = (log_probs + entropy[:, None]).mul_(-of_entropy[:, None]).sub_(own).mul_(probs)
        return gradient.scatter_add_(1, chosen, own), None


class GreedyHead(CategoricalHead):
    """The best of A actions, by action values as logits; exploration is the player's."""

    def sample(self, logits: Tensor, noise: Tensor) -> Tensor:
        """Return the best actions: a policy of action values draws no lots."""
        return self.greedy(logits)


class GaussianHead(ActionHead):
    """K independent normal numbers, not squashed, clipped to the Box on their way into the environment.

    Logits are K means and K log standard deviations, the latter held within -10..2.
    """

    def __init__(self, space: spaces.Box) -> None:
        self.outputs = self.log_stds = self.noise_size = math.prod(space.shape)
        self.action_shape = space.shape
        self.action_dtype = torch.float32
        self.low, self.high = space.low, space.high

    def draw_noise(self, out: Tensor, generator: torch.Generator) -> None:
        """Fill a tensor with standard normal noise."""
        out.normal_(generator=generator)

    def sample(self, logits: Tensor, noise: Tensor) -> Tensor:
        """Return mean + std * noise."""
        mean, log_std = self.moments(logits)
        return self._shaped(mean + log_std.exp() * noise)

    def greedy(self, logits: Tensor) -> Tensor:
        """Return the means."""
        return self._shaped(self.moments(logits)[0])

    def log_prob_and_entropy(self, logits: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Return the log-density of actions and the differential entropy, summed over K."""
        mean, log_std = self.moments(logits)
        distance = (actions.reshape(mean.shape) - mean) * (-log_std).exp()
        log_prob = -(0.5 * distance.square() + log_std + 0.5 * _LOG_TWO_PI).sum(dim=-1)
        return log_prob, (log_std + 0.5 * (1.0 + _LOG_TWO_PI)).sum(dim=-1)

    def log_prob(self, logits: Tensor, actions: Tensor) -> Tensor:
        """Return the log-density of actions."""
        return self.log_prob_and_entropy(logits, actions)[0]

    def imitation_target(self, logits: Tensor) -> Tensor:
        """Return the mixture's K means and K variances, [P, N, 2K]: all the cross-entropy to a normal depends on."""
        mean, log_std = self.moments(logits)
        middle = mean.mean(dim=1)
        spread = (2.0 * log_std).exp().mean(dim=1) + (mean - middle[:, None]).square().mean(dim=1)
        return torch.cat([middle, spread], dim=-1)

    def cross_entropy(self, target: Tensor, logits: Tensor) -> Tensor:
        """Return sum_k log sigma_k + (variance_k + (mean_k - mu_k)^2) / (2 sigma_k^2) + log(2 pi) / 2."""
        mean, log_std = self.moments(logits)
        wanted, variance = target.chunk(2, dim=-1)
        distance = (variance + (wanted - mean).square()) * (-2.0 * log_std).exp()
        return (log_std + 0.5 * distance + 0.5 * _LOG_TWO_PI).sum(dim=-1)

    def to_env(self, actions: NDArray[Any]) -> NDArray[Any]:
        """Clip to the Box."""
        return np.clip(actions, self.low, self.high).astype(self.low.dtype, copy=False)

    def moments(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Return means and log standard deviations, [P, N, K] each."""
        mean, log_std = logits.chunk(2, dim=-1)
        return mean, log_std.clamp(SMALLEST_LOG_STD, LARGEST_LOG_STD)

    def _shaped(self, actions: Tensor) -> Tensor:
        return actions.reshape(*actions.shape[:-1], *self.action_shape)


class BernoulliHead(ActionHead):
    """n independent choices, each made with probability sigma(logit): one action for all entities of a cell.

    Log-probabilities, entropies and cross-entropies are sums over the choices. A choice whose logit is :data:`NEVER`
    is never made and adds exactly 0 to each of them and to their gradients, so that entities which are absent need no
    mask.
    """

    def __init__(self, space: spaces.MultiBinary) -> None:
        self.outputs = self.noise_size = math.prod(space.shape)
        self.log_stds = 0
        self.action_shape = tuple(space.shape)
        self.action_dtype = torch.int8

    def draw_noise(self, out: Tensor, generator: torch.Generator) -> None:
        """Fill a tensor with noise that is uniform in [0, 1)."""
        out.uniform_(generator=generator)

    def sample(self, logits: Tensor, noise: Tensor) -> Tensor:
        """Return 1 where the noise lies below sigma(logit), else 0."""
        return self._shaped(noise < torch.sigmoid(logits))

    def greedy(self, logits: Tensor) -> Tensor:
        """Return 1 where the logit is positive, else 0."""
        return self._shaped(logits > 0.0)

    def log_prob_and_entropy(self, logits: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Return sum_e log sigma(s_e z_e) with s = 1 for a choice made and -1 otherwise, and the sum of entropies."""
        result: tuple[Tensor, Tensor] = _BernoulliLogProbAndEntropy.apply(logits, self._made(logits, actions))
        return result

    def differentiable_log_prob_and_entropy(self, logits: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Return the same without the gradient written out."""
        made, left = functional.logsigmoid(logits), functional.logsigmoid(-logits)
        entropy = -(torch.sigmoid(logits) * made + torch.sigmoid(-logits) * left).sum(dim=-1)
        return torch.where(self._made(logits, actions), made, left).sum(dim=-1), entropy

    def log_prob(self, logits: Tensor, actions: Tensor) -> Tensor:
        """Return the log-probability of all choices together."""
        return functional.logsigmoid(torch.where(self._made(logits, actions), logits, -logits)).sum(dim=-1)

    def imitation_target(self, logits: Tensor) -> Tensor:
        """Return the mixture's probability of each choice, [P, N, n].

        The mixture's choices are not independent; but since log pi is a sum over them, the cross-entropy depends on
        these probabilities alone.
        """
        return torch.sigmoid(logits).mean(dim=1)

    def cross_entropy(self, target: Tensor, logits: Tensor) -> Tensor:
        """Return -sum_e target_e log sigma(z_e) + (1 - target_e) log sigma(-z_e)."""
        made, left = functional.logsigmoid(logits), functional.logsigmoid(-logits)
        return -(target * made + (1.0 - target) * left).sum(dim=-1)

    def to_env(self, actions: NDArray[Any]) -> NDArray[Any]:
        """Return the choices as the space has them: 0 and 1, int8."""
        return actions.astype(np.int8, copy=False)

    def _made(self, logits: Tensor, actions: Tensor) -> Tensor:
        return actions.reshape(logits.shape) > 0

    def _shaped(self, made: Tensor) -> Tensor:
        return made.to(self.action_dtype).reshape(*made.shape[:-1], *self.action_shape)


class _BernoulliLogProbAndEntropy(torch.autograd.Function):
    """Log-probabilities and entropies of choices with logits [P, N, n], summed over n, with the gradient written out.

    With p = sigma(z), made a and u = exp(-|z|): log sigma(-|z|) = -|z| - log(1 + u), so that log-probability and
    entropy log(1 + u) + |z| u / (1 + u) lose no digits however large |z| is. d log-prob / dz = a - p,
    dH / dz = -z p (1 - p).
    """

    @staticmethod
    def forward(ctx: FunctionCtx, logits: Tensor, made: Tensor) -> tuple[Tensor, Tensor]:
        size = logits.abs()
        rare = torch.exp(-size)
        common = torch.log1p(rare)
        odds = rare / (1.0 + rare)
        ctx.save_for_backward(logits, made, odds)
        log_prob = torch.where(made, logits, -logits).clamp(max=0.0) - common
        return log_prob.sum(dim=-1), (common + size * odds).sum(dim=-1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_log_prob: Tensor, of_entropy: Tensor) -> tuple[Tensor, None]:
        logits, made, odds = ctx.saved_tensors
        probability = torch.where(logits > 0.0, 1.0 - odds, odds)
        towards = (made.to(logits.dtype) - probability) * of_log_prob[..., None]
        return towards - logits * odds * (1.0 - odds) * of_entropy[..., None], None


def action_head(space: spaces.Space[Any]) -> ActionHead:
    """Return the distribution that fits an action space.

    Raises:
        InputError: If the space is none of Discrete, MultiBinary and a floating Box.
    """
    if isinstance(space, spaces.Discrete):
        return CategoricalHead(space)
    if isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.floating) and math.prod(space.shape) > 0:
        return GaussianHead(space)
    if isinstance(space, spaces.MultiBinary):
        return BernoulliHead(space)
    raise InputError(f"no action distribution for {space!r}; known: Discrete, MultiBinary, Box of floats")
