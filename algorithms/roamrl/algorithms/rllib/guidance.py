"""Guidance: a rollout in which teachers act for the members, step by step, with a probability of each member's own."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from roamrl.algorithms.population.distributions import ActionHead
from roamrl.algorithms.population.teachers import Teachers
from roamrl.algorithms.rllib.step_draws import StepDraws


class Guidance(StepDraws):
    """Decides who acts, and remembers with which probability what was done would have been done.

    A step's action is drawn from mu = (1 - g) pi + g mean_i pi_i over the teachers i: with probability g one of them,
    drawn evenly, acts.
    """

    def __init__(self, teachers: Teachers, generators: list[torch.Generator]) -> None:
        self._teachers = teachers
        super().__init__(generators)
        self._share = torch.zeros(teachers.members)
        self._draws = torch.zeros(0)
        self._mixture: list[Tensor] = []

    def start(self, steps: int, length: int, envs_per_member: int) -> bool:
        """Begin a rollout after ``steps`` environment steps of each member; returns whether any teacher may act.

        Args:
            steps: Environment steps each member has made.
            length: Steps of the rollout, T.
            envs_per_member: B.
        """
        self._share = self._teachers.guide(steps)
        self._mixture = []
        if not bool((self._share > 0).any()):
            return False
        self._draws = self.draw(length, envs_per_member)
        return True

    def act(self, head: ActionHead, step: int, obs: Tensor, logits: Tensor, noise: Tensor) -> Tensor:
        """Return the actions [P, B, *A] of one step.

        Args:
            head: How logits become actions.
            step: Step of the rollout.
            obs: Observations [P, B, *O].
            logits: The members' logits [P, B, A].
            noise: Action noise [P, B, noise_size].
        """
        taught = self._teachers.logits(obs)
        share = self._share[:, None]
        draws = self._draws[step]
        by_teacher = draws < share
        which = (draws / share.clamp(min=1e-12) * self._teachers.each).long().clamp(max=self._teachers.each - 1)
        place = which[:, None, :, None].expand(-1, 1, -1, taught.shape[-1])
        acting = torch.where(by_teacher[..., None], taught.gather(1, place)[:, 0], logits)
        actions = head.sample(acting, noise)
        every = [head.log_prob(taught[:, number], actions) for number in range(self._teachers.each)]
        of_teachers = torch.stack(every).logsumexp(dim=0) - np.log(self._teachers.each)
        own = head.log_prob(logits, actions)
        self._mixture.append(torch.logaddexp(own + torch.log1p(-share), of_teachers + share.log()))
        return actions

    def importance(self, logp: Tensor) -> NDArray[np.float32]:
        """Return min(1, pi / mu) of the rollout's actions, given log pi of them, [T, P, B]."""
        return (logp - torch.stack(self._mixture)).clamp(max=0.0).exp().numpy()
