"""The environment runner: dense rollouts of all members over one vector environment."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import ray
from gymnasium import spaces
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.core import COMPONENT_RL_MODULE, DEFAULT_AGENT_ID, DEFAULT_MODULE_ID
from ray.rllib.env import INPUT_ENV_SINGLE_SPACES, INPUT_ENV_SPACES
from ray.rllib.env.env_runner import EnvRunner
from ray.rllib.utils.annotations import override
from ray.rllib.utils.checkpoints import Checkpointable
from ray.rllib.utils.metrics import (
    EPISODE_RETURN_MEAN,
    NUM_AGENT_STEPS_SAMPLED,
    NUM_AGENT_STEPS_SAMPLED_LIFETIME,
    NUM_ENV_STEPS_SAMPLED,
    NUM_ENV_STEPS_SAMPLED_LIFETIME,
    NUM_EPISODES,
    NUM_EPISODES_LIFETIME,
    WEIGHTS_SEQ_NO,
)

from roamrl.algorithms.learner_spec import LearnerSpec, MemberSpec
from roamrl.algorithms.population.acting import behaviour_generators, noise_generators
from roamrl.algorithms.population.modules.build import build_module
from roamrl.algorithms.population.rollout import Rollout
from roamrl.algorithms.population.teachers import Teachers
from roamrl.algorithms.rllib.environment_guard import EnvironmentGuard
from roamrl.algorithms.rllib.environments import make_rows
from roamrl.algorithms.rllib.exploration import EpsilonGreedy
from roamrl.algorithms.rllib.guidance import Guidance
from roamrl.algorithms.rllib.module import PopulationModule
from roamrl.algorithms.rllib.play import Behaviour, Player
from roamrl.algorithms.rllib.recorder import PlayStats
from roamrl.algorithms.rllib.task_returns import TaskReturns, tasks_told_apart
from roamrl.envs.errors import InputError

MEASURES = "measures"
TASK_RETURNS = "task_episode_returns_mean"
"""Mean returns by task in a result, by the task's number among all of the learner's (as in ``learner.json``)."""
PLAYER = "player"


def _share(worker: int, workers: int, members: int) -> slice:
    """Return the members that runner ``worker`` (1..n; 0 is the local one) of n plays."""
    if worker == 0 or workers == 0:
        return slice(0, members)
    return slice((worker - 1) * members // workers, worker * members // workers)


def _task_numbers(spec: LearnerSpec) -> NDArray[np.int64]:
    """Return the number of each member's tasks among all of the learner's, [P, K]; -1 where it has fewer."""
    every = dict.fromkeys(task for member in spec.members for task in member.tasks)
    number = {task: place for place, task in enumerate(every)}
    found = np.full((len(spec.members), tasks_told_apart(spec)), -1, np.int64)
    if found.size:
        for own, member in zip(found, spec.members, strict=True):
            own[: len(member.tasks)] = [number[task] for task in member.tasks]
    return found


class BatchEnvRunner(EnvRunner, Checkpointable):
    """Plays the learner's rollout plan, one iteration a call.

    It honours RLlib's contract for weights (``weights_seq_no``), spaces, metrics and checkpoints; what it returns is
    one :class:`~roamrl.algorithms.population.rollout.Rollout` in a list, RLlib's place for episodes. Its state holds
    the environment, so that a resumed run goes on in the middle of its episodes.

    One of n remote runners plays a share of the members; the local one plays all.

    Attributes:
        spec: The learner with the members that play here.
        share: Which of the stacked policies are theirs.
        stats: What the members did in the last iteration played.
        tasks: K, by which returns are told apart; 0 for not at all.
    """

    config: Any
    env: Any
    metrics: Any

    def __init__(self, *, config: AlgorithmConfig, **kwargs: Any) -> None:
        super().__init__(config=config, **kwargs)
        whole = self.config.source().load()
        self._population = len(whole.members) * whole.policies_per_member
        self.tasks = tasks_told_apart(whole)
        members = _share(self.worker_index, self.config.num_env_runners, len(whole.members))
        self.share = slice(members.start * whole.policies_per_member, members.stop * whole.policies_per_member)
        self._members = members
        self.spec = whole.of_members(members)
        self._gammas = np.array(self.spec.member_gammas)
        self._task_numbers = _task_numbers(whole)[members]
        self.module: PopulationModule | None = None
        self.player: Player | None = None
        self.stats: PlayStats | None = None
        self._weights_seq_no = 0
        self._unreported: list[tuple[int, PlayStats]] = []
        self.make_module()

    def __repr__(self) -> str:
        """Return what Ray's dashboard calls the process."""
        return f"{type(self).__name__}(members {self._members.start} to {self._members.stop - 1})"

    @override(EnvRunner)
    def make_module(self) -> None:
        """Build the stacked module."""
        spec = self.config.get_rl_module_spec(spaces=self.get_spaces(), inference_only=True)
        module: PopulationModule = spec.build()
        if self.share != slice(0, self._population):
            module.stacked = build_module(self.spec.module, self._seeds())
        self.module = module

    def _seeds(self) -> list[int]:
        """Return the seeds of those who play here."""
        return [member.seed for member in self.spec.members]

    @override(EnvRunner)
    def sample(self, *, iteration: int) -> list[Rollout]:  # type: ignore[override]
        """Play iteration ``iteration`` (0-based) of the plan.

        What the members did in it is in ``stats`` afterwards.
        """
        phase = self.spec.phase_of(iteration)
        player = self._player_for(phase.envs_per_member)
        if phase.whole_episodes:
            player.start(iteration)
        elif not player.started or iteration == 0 or self.spec.phase_of(iteration - 1) is not phase:
            player.start(self.spec.member_steps(iteration))
        rollout, self.stats = player.play(
            self._stacked(), phase.length, self._gammas, self.spec.member_steps(iteration)
        )
        self._count(rollout, self.stats)
        return [rollout]

    def set_gammas(self, gammas: NDArray[np.float64]) -> None:
        """Give the members other discounts from the next step on; ``gammas`` are those of all the learner's, [P]."""
        self._gammas = gammas[self._members]

    def _count(self, rollout: Rollout, stats: PlayStats) -> None:
        self.num_env_steps_sampled_lifetime += rollout.agent_steps
        self._unreported.append((rollout.agent_steps, stats))

    def _stacked(self) -> Any:
        if self.module is None:
            raise InputError("the runner has no module; call make_module() first")
        return self.module.stacked

    def _player_for(self, envs_per_member: int) -> Player:
        if self.player is None or self.player.envs_per_member != envs_per_member:
            if self.player is None:
                seeds = self._seeds()
                noise, behaviour = noise_generators(seeds), self._behaviour(seeds)
            else:
                noise, behaviour = self.player.noise, self.player.behaviour
                self.player.close()
            rows = make_rows(self.spec, envs_per_member, self.config.env, self.config.env_config)
            self.player = Player(rows, noise, envs_per_member, behaviour, self.tasks, self._guard(self.spec.members))
            self.env = rows.env
        return self.player

    def _guard(self, members: Sequence[MemberSpec]) -> EnvironmentGuard:
        """Return what tells of the faults of an environment that these members play."""
        config = self.config
        return EnvironmentGuard(members, config.environment_patience_s, config.source().folder, config.env)

    def _behaviour(self, seeds: list[int]) -> Behaviour | None:
        if self.spec.dqn is not None:
            return EpsilonGreedy(self.spec.dqn.epsilon, behaviour_generators(seeds))
        teachers = Teachers.of(self.spec)
        return None if teachers is None else Guidance(teachers, behaviour_generators(seeds))

    @override(EnvRunner)
    def get_spaces(self) -> dict[str, tuple[spaces.Space[Any], spaces.Space[Any]]]:
        """Return one sub-environment's spaces, and those of all members together, which the module has."""
        single = (self.spec.module.observation_space, self.spec.module.action_space)
        members = self._population
        stacked = (batch_space(single[0], members), batch_space(single[1], members))
        return {INPUT_ENV_SPACES: stacked, INPUT_ENV_SINGLE_SPACES: single, DEFAULT_MODULE_ID: stacked}

    @override(EnvRunner)
    def get_metrics(self) -> dict[str, Any]:
        """Report everything sampled since the last call."""
        if self._unreported:
            self._log(sum(steps for steps, _ in self._unreported), [stats for _, stats in self._unreported])
            self._unreported.clear()
        return self.metrics.reduce()

    def _log(self, steps: int, stats: list[PlayStats]) -> None:
        episodes = sum(int(one.ended.sum()) for one in stats)
        sums = {
            NUM_ENV_STEPS_SAMPLED: steps,
            NUM_EPISODES: episodes,
            (NUM_AGENT_STEPS_SAMPLED, DEFAULT_AGENT_ID): steps,
        }
        for key, value in sums.items():
            self.metrics.log_value(key, value, reduce="sum")
        self.metrics.log_value(NUM_ENV_STEPS_SAMPLED_LIFETIME, steps, reduce="lifetime_sum", with_throughput=True)
        self.metrics.log_value((NUM_AGENT_STEPS_SAMPLED_LIFETIME, DEFAULT_AGENT_ID), steps, reduce="lifetime_sum")
        self.metrics.log_value(NUM_EPISODES_LIFETIME, episodes, reduce="lifetime_sum")
        if episodes:
            mean = sum(float(one.return_sum.sum()) for one in stats) / episodes
            self.metrics.log_value(EPISODE_RETURN_MEAN, mean, window=1)
        for name in stats[-1].measures:
            level = float(np.mean([one.measures[name] for one in stats]))
            self.metrics.log_value((MEASURES, name), level, window=1)
        by_task = [one.tasks for one in stats if one.tasks is not None]
        if by_task:
            self._log_tasks(by_task)
        self._log_env_steps(self._metrics_num_env_steps_sampled, steps)

    def _log_tasks(self, returns: list[TaskReturns]) -> None:
        ended = np.sum([one.ended for one in returns], axis=0)
        total = np.sum([one.return_sum for one in returns], axis=0)
        for number in np.unique(self._task_numbers[ended > 0]):
            own = self._task_numbers == number
            mean = float(total[own].sum() / ended[own].sum())
            self.metrics.log_value((TASK_RETURNS, str(number)), mean, window=1)

    @override(Checkpointable)
    def get_state(
        self,
        components: str | Collection[str] | None = None,
        *,
        not_components: str | Collection[str] | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Return counters, the player's state (environment, action noise), and the weights if asked for."""
        state: dict[str, Any] = {NUM_ENV_STEPS_SAMPLED_LIFETIME: self.num_env_steps_sampled_lifetime}
        if self.player is not None and self._check_component(PLAYER, components, not_components):
            state[PLAYER] = self.player.state()
        if self.module is not None and self._check_component(COMPONENT_RL_MODULE, components, not_components):
            state[COMPONENT_RL_MODULE] = self.module.get_state(**kwargs)
            state[WEIGHTS_SEQ_NO] = self._weights_seq_no
        return state

    @override(Checkpointable)
    def set_state(self, state: Mapping[str, Any]) -> None:
        """Take over counters, player and weights, whichever are there.

        Weights are taken whenever their number differs from the last ones' (a restored run may go back), or is 0.
        """
        if COMPONENT_RL_MODULE in state and self.module is not None:
            number = state.get(WEIGHTS_SEQ_NO, 0)
            if number == 0 or number != self._weights_seq_no:
                weights = state[COMPONENT_RL_MODULE]
                weights = ray.get(weights) if isinstance(weights, ray.ObjectRef) else weights
                whole = weights.get(DEFAULT_MODULE_ID, weights)
                self.module.set_state({name: array[self.share] for name, array in whole.items()})
            self._weights_seq_no = number
        if NUM_ENV_STEPS_SAMPLED_LIFETIME in state:
            self.num_env_steps_sampled_lifetime = state[NUM_ENV_STEPS_SAMPLED_LIFETIME]
        if PLAYER in state:
            self._player_for(state[PLAYER]["envs_per_member"]).restore(state[PLAYER])

    @override(Checkpointable)
    def get_ctor_args_and_kwargs(self) -> tuple[tuple[()], dict[str, Any]]:
        """Return what a new runner is made from."""
        return (), {"config": self.config}

    @override(Checkpointable)
    def get_checkpointable_components(self) -> list[tuple[str, Any]]:
        """Return the module."""
        return [(COMPONENT_RL_MODULE, self.module)]

    @override(EnvRunner)
    def assert_healthy(self) -> None:
        """Check that the module is built; the environment is made when the first phase is played."""
        self._stacked()

    @override(EnvRunner)
    def stop(self) -> None:
        """Close the environment."""
        if self.player is not None:
            self.player.close()
            self.player = None
