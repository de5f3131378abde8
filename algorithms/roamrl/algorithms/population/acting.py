"""Acting: with noise while learning, greedily (or not) with policies out of bundles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from roamrl.algorithms.bundle import PolicyBundle
from roamrl.algorithms.extras import append
from roamrl.algorithms.population.carried import Carried
from roamrl.algorithms.population.modules.build import from_bundles
from roamrl.algorithms.population.modules.stacked import StackedModule
from roamrl.envs.errors import InputError
from roamrl.envs.task import Task


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

    Policies that carry something from step to step (a memory, feedback on their last action) are told when they begin:
    :meth:`begin`, then :meth:`act` and :meth:`after` by turns. Where an episode has ended, :meth:`forget` begins a new
    trial, :meth:`next_episode` the trial's next episode on the same task.

    Attributes:
        module: The policies as a population.
    """

    def __init__(self, bundles: Sequence[PolicyBundle], device: torch.device | str = "cpu") -> None:
        """Stack policies.

        Raises:
            InputError: If their specs differ or one does not fit its spec.
        """
        self.module = from_bundles(bundles, device)
        self._carried: Carried | None = None

    @property
    def members(self) -> int:
        """Number of policies, P."""
        return self.module.members

    @property
    def carries(self) -> bool:
        """Whether the policies carry something from step to step."""
        return Carried.needed(self.module)

    def begin(self, rows: int) -> None:
        """Begin a trial in each of N rows of every policy."""
        self._carried = Carried(self.module, rows) if self.carries else None

    def act(
        self,
        obs: NDArray[Any],
        greedy: bool = True,
        rng: np.random.Generator | None = None,
        tasks: Sequence[Task] | None = None,
    ) -> NDArray[Any]:
        """Return the environment's actions [P, N, *A] for observations [P, N, *O].

        Args:
            obs: Row p goes to policy p.
            greedy: Take the most probable action (the mean of a continuous one) instead of sampling.
            rng: Source of noise for sampling.
            tasks: The task each policy acts in; only policies that read something of it need it.

        Raises:
            InputError: If the observations' shape is not the policies', sampling lacks ``rng``, or policies that carry
                something have not begun in so many rows.
        """
        shape = self.module.spec.observation_space.shape
        if obs.shape[:1] != (self.members,) or obs.shape[2:] != shape:
            raise InputError(f"expected observations [{self.members}, N, {shape}], got {list(obs.shape)}")
        carried = self._carried_by(obs.shape[1])
        inputs = obs if carried is None else append(obs, carried.columns(greedy, rng))
        inputs = self._with_task(inputs, tasks)
        with torch.inference_mode():
            read = torch.as_tensor(inputs, dtype=torch.float32, device=self.module.weights.device)
            logits = self.module.logits(read) if carried is None else carried.logits(read)
            actions = self.module.head.greedy(logits) if greedy else self._sampled(logits, rng)
        chosen = self.module.head.to_env(actions.cpu().numpy())
        if carried is not None:
            carried.acted(chosen)
        return chosen

    def after(self, rewards: NDArray[Any], ended: NDArray[np.bool_]) -> None:
        """Tell the policies what came of their last actions; nothing to those that carry nothing.

        Args:
            rewards: [P, N].
            ended: Whether a row's episode has ended, by this step or an earlier one, [P, N]; the row then waits.
        """
        if self._carried is not None:
            self._carried.after(rewards, ended)

    def next_episode(self) -> None:
        """Begin the next episode of the trial in every row that waits."""
        if self._carried is not None:
            self._carried.next_episode()

    def forget(self, rows: NDArray[np.bool_]) -> None:
        """Begin a trial in the given rows, [P, N]."""
        if self._carried is not None:
            self._carried.forget(rows)

    def carried(self) -> Carried | None:
        """Return a copy of what the policies carry now, to go back to; None for nothing."""
        return None if self._carried is None else self._carried.copy()

    def go_back(self, carried: Carried | None) -> None:
        """Go on from what :meth:`carried` returned."""
        self._carried = None if carried is None else carried.copy()

    def _carried_by(self, rows: int) -> Carried | None:
        if not self.carries:
            return None
        if self._carried is None or self._carried.shape[1] != rows:
            raise InputError(
                f"policies of kind {self.module.spec.kind!r} carry something from step to step: call begin({rows}) "
                f"before they act in {rows} rows, and after(rewards, ended) when they have"
            )
        return self._carried

    def _with_task(self, inputs: NDArray[Any], tasks: Sequence[Task] | None) -> NDArray[Any]:
        extras = self.module.spec.extras
        if not extras.task_columns:
            return inputs
        if tasks is None:
            raise InputError("these policies read something of the task they act in; say which: tasks=[..]")
        columns = np.stack([extras.of_task(task) for task in tasks])
        return append(inputs, np.repeat(columns[:, None], inputs.shape[1], axis=1))

    def _sampled(self, logits: Tensor, rng: np.random.Generator | None) -> Tensor:
        if rng is None:
            raise InputError("sampling actions needs a random generator: give rng, or act greedily")
        noise = torch.empty(*logits.shape[:2], self.module.head.noise_size)
        self.module.head.draw_noise(noise, torch.Generator().manual_seed(int(rng.integers(2**63))))
        return self.module.head.sample(logits, noise.to(logits.device))
