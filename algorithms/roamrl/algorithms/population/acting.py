"""Acting: with noise while learning, greedily (or not) with policies out of bundles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from roamrl.algorithms.bundle import PolicyBundle
from roamrl.algorithms.population.modules.build import from_bundles
from roamrl.algorithms.population.modules.stacked import StackedModule
from roamrl.envs.errors import InputError


def noise_generators(seeds: Sequence[int]) -> list[torch.Generator]:
    """Return one CPU generator of action noise a member (independent of the one that draws its weights)."""
    return [
        torch.Generator().manual_seed(int(np.random.SeedSequence([seed, 1]).generate_state(1, np.uint64)[0]))
        for seed in seeds
    ]


def behaviour_generators(seeds: Sequence[int]) -> list[torch.Generator]:
    """Return one CPU generator a member of who acts, the policy or another (independent of its action noise)."""
    return [
        torch.Generator().manual_seed(int(np.random.SeedSequence([seed, 2]).generate_state(1, np.uint64)[0]))
        for seed in seeds
    ]


def sample_actions(
    module: StackedModule, obs: Tensor, generators: Sequence[torch.Generator]
) -> tuple[NDArray[Any], NDArray[np.float32]]:
    """Sample the engine's actions and their log-probabilities.

    Args:
        module: The population.
        obs: Observations [P, N, *O].
        generators: One CPU generator of noise a member, so that a member's noise does not depend on P.

    Returns:
        Actions [P, N, *A], which ``module.head.to_env`` turns into the environment's, and log-probabilities [P, N].
    """
    with torch.inference_mode():
        logits = module.logits(obs.to(module.weights.device))
        noise = torch.empty(*obs.shape[:2], module.head.noise_size)
        for rows, generator in zip(noise, generators, strict=True):
            module.head.draw_noise(rows, generator)
        actions = module.head.sample(logits, noise.to(logits.device))
        logp = module.head.log_prob(logits, actions)
    return actions.cpu().numpy(), logp.cpu().numpy()


class StackedPolicy:
    """Finished policies of one spec, ready to act side by side.

    Attributes:
        module: The policies as a population.
    """

    def __init__(self, bundles: Sequence[PolicyBundle], device: torch.device | str = "cpu") -> None:
        """Stack policies.

        Raises:
            InputError: If their specs differ or one does not fit its spec.
        """
        self.module = from_bundles(bundles, device)

    @property
    def members(self) -> int:
        """Number of policies, P."""
        return self.module.members

    def act(self, obs: NDArray[Any], greedy: bool = True, rng: np.random.Generator | None = None) -> NDArray[Any]:
        """Return the environment's actions [P, N, *A] for observations [P, N, *O].

        Args:
            obs: Row p goes to policy p.
            greedy: Take the most probable action (the mean of a continuous one) instead of sampling.
            rng: Source of noise for sampling.

        Raises:
            InputError: If the observations' shape is not the policies', or sampling lacks ``rng``.
        """
        shape = self.module.spec.observation_space.shape
        if obs.shape[:1] != (self.members,) or obs.shape[2:] != shape:
            raise InputError(f"expected observations [{self.members}, N, {shape}], got {list(obs.shape)}")
        with torch.inference_mode():
            logits = self.module.logits(torch.as_tensor(obs, dtype=torch.float32, device=self.module.weights.device))
            actions = self.module.head.greedy(logits) if greedy else self._sampled(logits, rng)
        return self.module.head.to_env(actions.cpu().numpy())

    def _sampled(self, logits: Tensor, rng: np.random.Generator | None) -> Tensor:
        if rng is None:
            raise InputError("sampling actions needs a random generator: give rng, or act greedily")
        noise = torch.empty(*logits.shape[:2], self.module.head.noise_size)
        self.module.head.draw_noise(noise, torch.Generator().manual_seed(int(rng.integers(2**63))))
        return self.module.head.sample(logits, noise.to(logits.device))
