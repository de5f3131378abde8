"""RL^2 on Bernoulli bandits of five arms against rules that are known to be good, and one that is nearly optimal.

``python -m roamrl.platform.bench.bandits`` trains a recurrent policy for bandits of 10, 100 and 500 pulls each and
prints what it and the references of ``bandit-v1`` earn (Duan et al., "RL^2: fast reinforcement learning via slow
reinforcement learning", arXiv:1611.02779, 2016, sec. 3.1 and table 1). A trial is an episode of the family: all pulls
of one bandit, through which the policy remembers what it pulled and what that paid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from roamrl.algorithms.bundle import ModuleSpec, PolicyBundle
from roamrl.algorithms.feedback import with_feedback
from roamrl.algorithms.learner_spec import LearnerSpec, MemberSpec, PPOSettings, steady_phases
from roamrl.algorithms.population.acting import StackedPolicy
from roamrl.envs.batched import BatchedEnv
from roamrl.envs.episodes import Act, Watcher, play_once
from roamrl.envs.errors import InputError
from roamrl.envs.family import get_family
from roamrl.envs.known.bandit.optimum import MOST_PULLS, bayes_optimum
from roamrl.envs.reference import ActingReference
from roamrl.envs.task import Task
from roamrl.platform.cli.tables import Column, print_table

F64 = NDArray[np.float64]

FAMILY = "bandit-v1"
GITTINS = "gittins"
TRAINING_SEED, TEST_SEED, EPISODE_SEED = 1, 2, 3
"""Seeds of the bandits trained on, of those tested on, and of the luck that each of these has, whoever plays it."""


@dataclass(frozen=True)
class Training:
    """How RL^2 is trained for bandits of so many pulls.

    Attributes:
        pulls: Pulls of a trial, n.
        steps: Environment steps a seed.
        trials: Trials of an iteration.
        memory: Recurrent units.
        lr: Adam's step size.
        ppo: Settings of PPO; rewards are discounted by its gamma within a trial, beyond which nothing counts.
        bandits: Bandits trained on, drawn from the prior.
    """

    pulls: int
    steps: int
    trials: int = 512
    memory: int = 32
    lr: float = 0.01
    ppo: PPOSettings = field(default_factory=lambda: PPOSettings(gamma=1.0, gae_lambda=0.9))
    bandits: int = 8192


TRAININGS: Mapping[int, Training] = {
    training.pulls: training
    for training in (Training(10, 1_000_000), Training(100, 5_000_000), Training(500, 10_000_000))
}
"""How RL^2 is trained, by the pulls of a trial."""


@dataclass(frozen=True)
class Earned:
    """What a policy earns in a trial.

    Attributes:
        policy: Its name.
        regret: Mean over bandits of how much less than the best arm it is worth, summed over a trial's pulls.
        half_width: Half of the regret's 95 % interval: normal, over bandits and, where there are several, over seeds.
        by_seed: Regret of each training seed, [S]; of a reference a single number, of what is calculated none.
        best: What the best arm is worth in a trial, on the mean over the prior: n K / (K + 1) with K uniform arms.
    """

    policy: str
    regret: float
    half_width: float
    by_seed: F64
    best: float

    @property
    def reward(self) -> float:
        """Total reward of a trial to be expected over the prior.

        It is taken from the regret, since the best arm's worth is known: the luck of the draw of bandits, which is
        most of a mean reward's variance, falls out.
        """
        return self.best - self.regret

    @classmethod
    def of(cls, policy: str, regrets: F64, best: float) -> Earned:
        """Summarise the regrets [S, T] of S training seeds on T bandits."""
        seeds, bandits = regrets.shape
        variance = regrets.mean(axis=0).var(ddof=1) / bandits
        if seeds > 1:
            variance += regrets.mean(axis=1).var(ddof=1) / seeds
        half_width = 1.96 * float(np.sqrt(variance))
        return cls(policy, float(regrets.mean()), half_width, regrets.mean(axis=1), best)


def learner(training: Training, seeds: int) -> LearnerSpec:
    """Describe the training of some seeds, side by side, on bandits drawn from the prior."""
    family, config = get_family(FAMILY), {"pulls": training.pulls}
    observations, actions = family.spaces(family.config(config))
    model = {"hidden": [16], "memory": training.memory}
    tasks = family.sample(training.bandits, TRAINING_SEED, config=config)
    return LearnerSpec(
        with_feedback(ModuleSpec("gru", observations, actions, model)),
        tuple(MemberSpec(seed, tasks, lr=training.lr, entropy_coeff=0.0) for seed in range(seeds)),
        steady_phases(training.steps, training.trials, training.pulls),
        training.ppo,
    )


def train(training: Training, seeds: int) -> list[PolicyBundle]:
    """Train some seeds of RL^2 as a trial of a study does, in the Ray session that is running; return the policies."""
    from roamrl.platform.bench.population import Population

    spec = learner(training, seeds)
    population = Population("rl2", spec, iterations=spec.iterations)
    try:
        population.run()
        return list(population.algorithm.bundles())
    finally:
        population.close()


def table(policies: Sequence[PolicyBundle], pulls: int, bandits: int) -> list[Earned]:
    """Play the same bandits, which nobody trained on, by every reference and by trained policies.

    Args:
        policies: One policy a training seed; none for the references alone.
        pulls: Pulls of a trial.
        bandits: Bandits drawn from the prior; each is played once.

    Returns:
        Rows from the least to the greatest reward; among them, where it can be calculated, what no policy exceeds that
        does not know the arms.

    Raises:
        InputError: If there are too few bandits for an interval.
    """
    if bandits < 2:
        raise InputError(f"an interval over bandits needs at least 2 of them, got {bandits}")
    family, config = get_family(FAMILY), {"pulls": pulls}
    tasks = family.sample(bandits, TEST_SEED, config=config)
    arms = len(tasks[0].context["probabilities"])
    best = pulls * arms / (arms + 1.0)
    rows = []
    for name, reference in family.references(family.config(config)).items():
        if isinstance(reference, ActingReference):
            rows.append(Earned.of(name, _regrets(tasks, _choices_of(reference))[None], best))
    if pulls <= MOST_PULLS:
        rows.append(Earned("optimum", best - bayes_optimum(arms, pulls), 0.0, np.array([]), best))
    for greedy in (True, False) if policies else ():
        players = [_InRows(policy, greedy) for policy in policies]
        regrets = np.stack([_regrets(tasks, player.act, player) for player in players])
        rows.append(Earned.of("rl2, greedy" if greedy else "rl2, sampled", regrets, best))
    return sorted(rows, key=lambda row: row.reward)


def _choices_of(reference: ActingReference) -> Act:
    def act(_: NDArray[np.float32], env: BatchedEnv) -> NDArray[Any]:
        return reference.act(env)[:, None]

    return act


def _regrets(tasks: Sequence[Task], act: Act, watcher: Watcher | None = None) -> F64:
    """Return the regret of a trial on each bandit, [T], each with luck of its own, so that they are independent."""
    env = get_family(FAMILY).make_vec(tasks, len(tasks), EPISODE_SEED, "Disabled")
    shape = (len(tasks), 1)
    if watcher is not None:
        watcher.begin(shape)
    played = play_once(env, shape, act, ("regret",), watcher)
    env.close()
    return played.measures["regret"][:, 0] * get_family(FAMILY).episode_steps(tasks[0].config)


class _InRows:
    """One policy that plays all tasks at once, a task a row."""

    def __init__(self, policy: PolicyBundle, greedy: bool) -> None:
        self._policy = StackedPolicy([policy])
        self._greedy = greedy
        self._rng = np.random.default_rng(EPISODE_SEED)

    def begin(self, shape: tuple[int, int]) -> None:
        self._policy.begin(shape[0] * shape[1])

    def act(self, obs: NDArray[np.float32], env: BatchedEnv) -> NDArray[Any]:
        rows = obs.reshape(1, -1, *obs.shape[2:])
        return self._policy.act(rows, self._greedy, self._rng).reshape(obs.shape[:2])

    def after(self, rewards: F64, ended: NDArray[np.bool_]) -> None:
        self._policy.after(rewards.reshape(1, -1), ended.reshape(1, -1))


def print_rewards(rows: Sequence[Earned], pulls: int) -> None:
    """Print what policies earn in a trial, with 95 % intervals, and their reward over that of the Gittins index."""
    (nearly_optimal,) = (row.reward for row in rows if row.policy == GITTINS)
    columns = [Column("policy"), *(Column(name, "right") for name in ("reward", "regret", "of gittins", "seeds"))]
    cells = [
        (
            row.policy,
            f"{row.reward:.2f} ± {row.half_width:.2f}",
            f"{row.regret:.2f}",
            f"{row.reward / nearly_optimal:.3f}",
            " ".join(f"{row.best - regret:.2f}" for regret in row.by_seed) if len(row.by_seed) > 1 else "",
        )
        for row in rows
    ]
    print_table(columns, cells, title=f"{pulls} pulls, Gittins index discounted by {1.0 - 1.0 / max(2, pulls):g}")


def main(
    pulls: Annotated[list[int] | None, typer.Option(help="Pulls of a trial; may be given again.")] = None,
    seeds: Annotated[int, typer.Option(min=0, help="Training seeds; 0 for the references alone.")] = 3,
    bandits: Annotated[int, typer.Option(min=2, help="Bandits tested on.")] = 2000,
    steps: Annotated[int | None, typer.Option(min=1, help="Environment steps a seed instead of the plan's.")] = None,
) -> None:
    """Train RL^2 on Bernoulli bandits and print what it earns beside the rules that are known to be good."""
    from roamrl.cluster.session import ray_session

    with ray_session(num_cpus=2) if seeds else nullcontext():
        for number in pulls or sorted(TRAININGS):
            training = TRAININGS.get(number) or replace(TRAININGS[100], pulls=number)
            if steps is not None:
                training = replace(training, steps=steps)
            policies = train(training, seeds) if seeds else []
            print_rewards(table(policies, number, bandits), number)


if __name__ == "__main__":
    typer.run(main)
