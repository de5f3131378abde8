"""Policies nobody trained: chance, greed, Thompson sampling, UCB1, Gittins indices, the best arm."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

from roamrl.envs.batched import BatchedEnv
from roamrl.envs.known.bandit.env import BanditEnv
from roamrl.envs.known.bandit.gittins import gittins_indices
from roamrl.envs.reference import ActingReference, Reference


class RandomArm(ActingReference):
    """Every arm with equal probability."""

    name = "random"
    role = "trivial"
    about = "a random arm at every pull"

    def act(self, env: BatchedEnv) -> NDArray[Any]:
        """Return arms [N]."""
        return np.asarray(cast(BanditEnv, env).choice_draws().argmax(axis=1))


class BestArm(ActingReference):
    """The arm with the highest probability, which it sees."""

    name = "best-arm"
    role = "oracle"
    about = "the best arm, whose probability it sees"

    def act(self, env: BatchedEnv) -> NDArray[Any]:
        """Return arms [N]."""
        return np.asarray(cast(BanditEnv, env).probabilities.argmax(axis=1))


class Greedy(ActingReference):
    """The arm with the greatest posterior mean under a uniform prior, (paid + 1) / (pulled + 2): it never explores."""

    name = "greedy"
    role = "other"
    about = "the greatest posterior mean, without exploring"

    def act(self, env: BatchedEnv) -> NDArray[Any]:
        """Return arms [N]."""
        bandits = cast(BanditEnv, env)
        return np.asarray(((bandits.paid + 1.0) / (bandits.pulled + 2.0)).argmax(axis=1))


class Thompson(ActingReference):
    """The arm that is best in a draw from the posterior under a uniform prior (Thompson, Biometrika 25, 1933)."""

    name = "thompson"
    role = "classical"
    about = "Thompson sampling from Beta posteriors"

    def act(self, env: BatchedEnv) -> NDArray[Any]:
        """Return arms [N]."""
        bandits = cast(BanditEnv, env)
        lost = bandits.pulled - bandits.paid
        return np.asarray(betaincinv(bandits.paid + 1.0, lost + 1.0, bandits.choice_draws()).argmax(axis=1))


class UCB1(ActingReference):
    """Each arm once, then the greatest mean + sqrt(2 ln t / pulls) (Auer, Cesa-Bianchi and Fischer, 2002)."""

    name = "ucb1"
    role = "other"
    about = "UCB1, an upper confidence bound on each arm's mean"

    def act(self, env: BatchedEnv) -> NDArray[Any]:
        """Return arms [N]."""
        bandits = cast(BanditEnv, env)
        pulled = np.maximum(bandits.pulled, 1)
        made = np.maximum(bandits.pulled.sum(axis=1, keepdims=True), 1)
        bound = bandits.paid / pulled + np.sqrt(2.0 * np.log(made) / pulled)
        return np.asarray(np.where(bandits.pulled == 0, np.inf, bound).argmax(axis=1))


class Gittins(ActingReference):
    """The arm of the greatest Gittins index, with the discount whose horizon 1 / (1 - discount) is the episode's pulls.

    Optimal for that discounted sum, nearly so for the plain sum of an episode (Duan et al., "RL^2", 2016, table 1).
    """

    name = "gittins"
    role = "other"
    about = "the greatest Gittins index, discounted over the episode"

    def act(self, env: BatchedEnv) -> NDArray[Any]:
        """Return arms [N]."""
        bandits = cast(BanditEnv, env)
        pulls = max(2, bandits.config.pulls)
        indices = gittins_indices(1.0 - 1.0 / pulls, pulls)
        return np.asarray(indices[bandits.paid, bandits.pulled - bandits.paid].argmax(axis=1))


def references() -> dict[str, Reference]:
    """Return the references by name."""
    every = (RandomArm(), Greedy(), Thompson(), UCB1(), Gittins(), BestArm())
    return {reference.name: reference for reference in every}
