"""Policies played on tasks: whole episodes on streams common to all arms, scored between the references."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from roamrl.algorithms.bundle import PolicyBundle
from roamrl.algorithms.population.acting import StackedPolicy
from roamrl.algorithms.population.modules.entity import for_spaces
from roamrl.envs.batched import BatchedEnv
from roamrl.envs.episodes import Episodes, play
from roamrl.envs.errors import InputError
from roamrl.envs.family import family_of
from roamrl.envs.task import Task
from roamrl.platform.evaluation.references import default_cache, reference_returns
from roamrl.platform.store.expert import Expert


@dataclass(frozen=True)
class TaskScore:
    """What a policy is worth on one task.

    Attributes:
        task_id: The task.
        task_name: What people call it.
        return_mean: Mean undiscounted return.
        return_low: Lower end of its 95 % interval (normal approximation over episodes).
        return_high: Upper end of it.
        return_trivial: Mean return of the trivial reference on the same episodes.
        return_oracle: Mean return of the oracle on the same episodes, NaN where the family has none.
        score: (J - J_trivial) / (J_oracle - J_trivial), NaN without an oracle.
        violation_rate: Mean violation rate.
        measures: Means over episodes of all that the family measures, e.g. ``utilisation`` and ``jain`` of ``mac-v1``.
    """

    task_id: str
    task_name: str
    return_mean: float
    return_low: float
    return_high: float
    return_trivial: float
    return_oracle: float
    score: float
    violation_rate: float
    measures: Mapping[str, float]


def evaluate_bundles(
    bundles: Sequence[PolicyBundle], tasks: Sequence[Task], *, episodes: int, seed: int, greedy: bool = True
) -> Episodes:
    """Play policy i on task i.

    Args:
        bundles: P policies of one module spec.
        tasks: P tasks of one family config.
        episodes: Episodes each.
        seed: Evaluation seed.
        greedy: Whether policies take their most likely action; otherwise they sample.

    Returns:
        Returns and measures, [P, episodes].

    Raises:
        InputError: If a policy was made for other spaces; one on sets of entities plays with any number of them.
    """
    if len(bundles) != len(tasks):
        raise InputError(f"{len(bundles)} policies for {len(tasks)} tasks; give one task a policy")
    actor = Actor(StackedPolicy(for_tasks(bundles, tasks)), tasks, greedy=greedy, seed=seed)
    return play(family_of(tasks), tasks, actor.act, episodes=episodes, seed=seed, watcher=actor)


def for_tasks(bundles: Sequence[PolicyBundle], tasks: Sequence[Task]) -> list[PolicyBundle]:
    """Return the same policies for the spaces of tasks of one family config.

    Raises:
        InputError: If one was made for other spaces, the number of entities apart.
    """
    spaces = family_of(tasks).spaces(dict(tasks[0].config))
    return [for_spaces(bundle, *spaces) for bundle in bundles]


class Actor:
    """P policies that play a task each, and are told what came of it.

    Attributes:
        policy: The policies.
        greedy: Whether they take their most likely action; otherwise they sample.
        rng: What they sample by.
    """

    def __init__(self, policy: StackedPolicy, tasks: Sequence[Task], *, greedy: bool, seed: int) -> None:
        self.policy = policy
        self.greedy = greedy
        self.rng = np.random.default_rng(seed)
        self._tasks = tasks

    def begin(self, shape: tuple[int, int]) -> None:
        """Forget everything: E episodes of each task, shape (P, E), are about to begin."""
        self.policy.begin(shape[1])

    def act(self, obs: NDArray[np.float32], env: BatchedEnv) -> NDArray[Any]:
        """Return actions [P, E, *A] for observations [P, E, *O]."""
        return self.policy.act(obs, greedy=self.greedy, rng=self.rng, tasks=self._tasks)

    def after(self, rewards: NDArray[np.float64], ended: NDArray[np.bool_]) -> None:
        """Take in the rewards of a step and which episodes have ended, [P, E]."""
        self.policy.after(rewards, ended)


def evaluate_expert(
    expert: Expert,
    tasks: Sequence[Task],
    names: Sequence[str],
    *,
    episodes: int = 500,
    seed: int = 1_000_003,
    greedy: bool | None = None,
    cache: Path | None = None,
) -> list[TaskScore]:
    """Score an expert on tasks of its own family.

    Args:
        expert: The expert.
        tasks: The tasks; their recordings must be open.
        names: What people call them.
        episodes: Episodes each.
        seed: Evaluation seed.
        greedy: Whether it takes its most likely action; None for what its family has policies do.
        cache: Folder of cached reference returns; None for the user's.

    Raises:
        InputError: If the expert was made for other spaces, the number of entities apart.
    """
    bundle = expert.bundle()
    own = family_of(tasks).scored_greedily if greedy is None else greedy
    played = evaluate_bundles([bundle] * len(tasks), tasks, episodes=episodes, seed=seed, greedy=own)
    rates = played.measures.get("violation_rate", np.full_like(played.returns, np.nan))
    scores = []
    for place, (task, name) in enumerate(zip(tasks, names, strict=True)):
        references = reference_returns(task, episodes=episodes, seed=seed, cache=cache or default_cache())
        returns = played.returns[place]
        half = 1.96 * float(returns.std(ddof=1)) / np.sqrt(episodes) if episodes > 1 else float("nan")
        mean = float(returns.mean())
        trivial, oracle = references.mean("trivial", episodes), references.mean("oracle", episodes)
        score = references.score(returns) if references.normalises else float("nan")
        rate = float(rates[place].mean())
        measures = {measure: float(values[place].mean()) for measure, values in played.measures.items()}
        scores.append(TaskScore(task.id, name, mean, mean - half, mean + half, trivial, oracle, score, rate, measures))
    return scores
