"""Policies that adapt by their memory alone: what they are worth after so many episodes on a task.

E trials run side by side on each task. A trial's warm-up episodes count as target episodes; they are played as in
training, by sampling, on streams of their own: (warm-up seed, k, e) for episode k of trial e. After n of them the
policies play episode e of the evaluation, with stream (seed, 0, e) like every other arm, with a copy of what they carry
by then, which is thrown away afterwards: the warm-up goes on as if there had been no evaluation. So the curve of score
over n is paired with the other arms' curves at every n, and n = 0 is what evaluation without any warm-up gives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from roamrl.algorithms.bundle import PolicyBundle
from roamrl.algorithms.population.acting import StackedPolicy
from roamrl.envs.episodes import Episodes, blocks, place_episodes, play_once
from roamrl.envs.errors import InputError
from roamrl.envs.family import family_of
from roamrl.envs.task import Task
from roamrl.platform.evaluation.evaluate import Actor, for_tasks
from roamrl.platform.evaluation.seeds import seed_apart


@dataclass(frozen=True)
class InContext:
    """What P policies gave on a task each, over E trials.

    Attributes:
        points: Warm-up episodes after which they were evaluated.
        scored: The evaluation episode after each number of warm-up episodes, [P, E] each.
        warm_up: The warm-up episodes, one after another, [P, E] each: what adapting itself earned, and broke.
    """

    points: tuple[int, ...]
    scored: tuple[Episodes, ...]
    warm_up: tuple[Episodes, ...]


def warm_up_seed(seed: int) -> int:
    """Return the seed of the warm-up that goes with an evaluation seed; never that seed."""
    return seed_apart(seed, {"warm-up": seed})


def evaluate_in_context(
    bundles: Sequence[PolicyBundle],
    tasks: Sequence[Task],
    points: Sequence[int],
    *,
    episodes: int,
    seed: int,
    greedy: bool = True,
    warm_up: int | None = None,
) -> InContext:
    """Let policy i adapt to task i by what it carries from episode to episode, and evaluate it at every point.

    Args:
        bundles: P policies of one module spec, which carry a memory from step to step.
        tasks: P tasks of one family config.
        points: Numbers of warm-up episodes, increasing from 0 or more. Beyond the episodes of the trials it was trained
            in, a policy is on its own.
        episodes: Trials, E.
        seed: Evaluation seed.
        greedy: Whether policies take their most likely action in the evaluation episode; otherwise they sample.
        warm_up: Seed of the warm-up's streams and draws; None for the one that goes with ``seed``.

    Raises:
        InputError: If the policies have no memory, the points do not increase, or the two seeds are one.
    """
    wanted = list(points)
    if not wanted or wanted != sorted(set(wanted)) or wanted[0] < 0:
        raise InputError(f"points are numbers of warm-up episodes, increasing from 0 or more, got {wanted}")
    before = warm_up_seed(seed) if warm_up is None else warm_up
    if before == seed:
        raise InputError(f"the warm-up's seed {before} is the evaluation's: policies would meet its episodes twice")
    if len(bundles) != len(tasks):
        raise InputError(f"{len(bundles)} policies for {len(tasks)} tasks; give one task a policy")
    policy = StackedPolicy(for_tasks(bundles, tasks))
    if not policy.carries:
        raise InputError(
            f"policies of kind {bundles[0].spec.kind!r} carry nothing from episode to episode, so warming up does "
            "nothing for them; evaluate them as they are"
        )
    trials = _Trials(
        tuple(tasks),
        Actor(policy, tasks, greedy=False, seed=before),
        {point: Actor(policy, tasks, greedy=greedy, seed=seed) for point in wanted},
    )
    parts = [trials.play(block, before, seed) for block in blocks(len(tasks), episodes)]
    scored, warmed = (tuple(Episodes.join(own) for own in zip(*side, strict=True)) for side in zip(*parts, strict=True))
    return InContext(tuple(wanted), scored, warmed)


@dataclass(frozen=True)
class _Trials:
    """Trials of the same policies on the same tasks: who warms up, and who is evaluated after how many episodes."""

    tasks: tuple[Task, ...]
    warming: Actor
    scoring: Mapping[int, Actor]

    def play(self, block: range, warm_up: int, seed: int) -> tuple[list[Episodes], list[Episodes]]:
        """Play a block of trials; return the evaluation episodes by point, and the warm-up episodes."""
        family, shape = family_of(self.tasks), (len(self.tasks), len(block))
        policy, last = self.warming.policy, max(self.scoring)
        env = place_episodes(family, self.tasks, block, warm_up)
        policy.begin(shape[1])
        scored, warmed = [], []
        for done in range(last + 1):
            if done in self.scoring:
                scored.append(self._score(block, seed, self.scoring[done]))
            if done < last:
                warmed.append(play_once(env, shape, self.warming.act, family.measures, self.warming))
                policy.next_episode()
        env.close()
        return scored, warmed

    def _score(self, block: range, seed: int, actor: Actor) -> Episodes:
        family, carried = family_of(self.tasks), actor.policy.carried()
        env = place_episodes(family, self.tasks, block, seed)
        played = play_once(env, (len(self.tasks), len(block)), actor.act, family.measures, actor)
        env.close()
        actor.policy.go_back(carried)
        return played
