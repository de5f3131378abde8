"""Adaptation to tasks whose episodes differ in length: as many as the plan says, and nothing else is learned."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from roamrl.algorithms.bundle import ModuleSpec
from roamrl.algorithms.learner_spec import (
    DQNSettings,
    LearnerSpec,
    MemberSpec,
    PPOSettings,
    episode_phases,
    steady_phases,
)
from roamrl.algorithms.population.acting import noise_generators
from roamrl.algorithms.population.batch import Batch, build_batch
from roamrl.algorithms.population.modules.build import build_module
from roamrl.algorithms.population.rollout import WAITING, Rollout
from roamrl.algorithms.rllib.environments import WaitingEnv, make_rows
from roamrl.algorithms.rllib.play import Player
from roamrl.algorithms.rllib.recorder import PlayStats
from roamrl.envs.errors import InputError
from roamrl.envs.mac import MAC

CONFIG = {"n_max": 6, "history": 2, "episode_slots": 120}
CONTEXTS = [{"stations": 2, "arrival": "saturated"}, {"stations": 5, "arrival": "poisson", "load": 3.0}]
TASKS = [MAC.task(context, CONFIG) for context in CONTEXTS]
LENGTH = MAC.typical_episode_steps(MAC.config(CONFIG))


def learner(members: int = 2, **changes: Any) -> LearnerSpec:
    observation, action = MAC.spaces(MAC.config(CONFIG))
    spec: dict[str, Any] = {
        "module": ModuleSpec("entity", observation, action, {"hidden": [8]}),
        "members": tuple(MemberSpec(7 + i, (TASKS[i],)) for i in range(members)),
        "phases": episode_phases([0, 4], LENGTH, 4)[0],
    }
    return LearnerSpec(**{**spec, **changes})


def play(spec: LearnerSpec, iterations: int = 1) -> tuple[Any, list[tuple[Rollout, PlayStats]]]:
    seeds = [member.seed for member in spec.members]
    module, envs = build_module(spec.module, seeds), spec.phases[0].envs_per_member
    player = Player(make_rows(spec, envs), noise_generators(seeds), envs)
    played = []
    for iteration in range(iterations):
        player.start(iteration)
        played.append(player.play(module, spec.phases[0].length, 0.99))
    player.close()
    return module, played


def test_a_plan_of_four_episodes_plays_four_each_time_and_no_more() -> None:
    assert LENGTH == 60
    _, played = play(learner(), 2)
    for rollout, stats in played:
        assert stats.ended.tolist() == [4, 4]
        assert rollout.truncated.sum(axis=0).tolist() == [[1] * 4] * 2
        ends = rollout.truncated.argmax(axis=0)
        assert len(np.unique(ends)) > 1 and ends.max() < LENGTH - 1
        assert rollout.played is not None and rollout.tasks is not None
        np.testing.assert_array_equal(rollout.played.sum(axis=0), ends + 1)
        assert (rollout.tasks[rollout.played] == 0).all() and (rollout.tasks[~rollout.played] == WAITING).all()
        assert not rollout.rewards[~rollout.played].any()
    assert not np.array_equal(played[0][0].rewards, played[1][0].rewards)


def test_what_they_played_is_what_the_environment_gives_row_by_row() -> None:
    _, ((rollout, stats),) = play(learner())
    for member, task in enumerate(TASKS):
        env = MAC.make_vec([task], 4, seed=7 + member, autoreset_mode="Disabled")
        obs, _ = env.reset()
        returns, over = np.zeros(4), np.zeros(4, np.bool_)
        for step in range(LENGTH):
            np.testing.assert_array_equal(rollout.obs[step, member], obs)
            obs, rewards, _, truncated, _ = env.step(rollout.actions[step, member].astype(np.int8))
            returns += rewards * ~over
            over |= truncated
        assert stats.return_sum[member] == pytest.approx(returns.sum())


def test_a_batch_holds_played_rows_alone_each_as_often_as_another_or_once_more() -> None:
    module, ((rollout, _),) = play(learner())
    batch = build_batch(module, rollout, PPOSettings())
    assert batch.rows == 4 * LENGTH
    assert rollout.played is not None
    for member in range(2):
        wanted = rollout.actions[:, member][rollout.played[:, member]]
        logp = rollout.logp[:, member][rollout.played[:, member]]
        counts = np.bincount(np.arange(batch.rows) * len(logp) // batch.rows)
        assert len(counts) == len(logp) and counts.max() - counts.min() <= 1 and counts.min() >= 1
        np.testing.assert_array_equal(batch.logp[member].numpy(), np.repeat(logp, counts))
        np.testing.assert_array_equal(batch.actions[member].numpy(), np.repeat(wanted, counts, axis=0))
        assert batch.advantages[member].mean().abs() < 1e-5
    assert batch.tasks is not None and (batch.tasks == 0).all()


def test_a_member_learns_from_the_same_rows_alone() -> None:
    def batch_of(spec: LearnerSpec) -> Batch:
        module, ((rollout, _),) = play(spec)
        return build_batch(module, rollout, PPOSettings())

    together, alone = batch_of(learner()), batch_of(learner(1))
    assert alone.rows == together.rows
    for name in ("logp", "advantages", "returns", "values"):
        own, other = getattr(alone, name)[0], getattr(together, name)[0]
        torch.testing.assert_close(own, other, rtol=1e-5, atol=1e-6)


def test_an_episode_that_takes_longer_than_planned_is_cut_and_not_counted() -> None:
    _, ((rollout, stats),) = play(learner(phases=episode_phases([0, 4], 5, 4)[0]))
    assert rollout.played is None and stats.ended.tolist() == [0, 0]


def test_pretraining_goes_on_from_episode_to_episode() -> None:
    _, ((rollout, stats),) = play(learner(phases=steady_phases(4 * LENGTH, 4, LENGTH)))
    assert rollout.played is None and (stats.ended > 4).all()


def test_what_cannot_leave_rows_out_is_refused() -> None:
    with pytest.raises(InputError, match="with DISABLED"):
        WaitingEnv(MAC.make_vec([TASKS[0]], 2))
    observation, action = MAC.spaces(MAC.config(CONFIG))
    spec = learner(algorithm="dqn", dqn=DQNSettings(), module=ModuleSpec("q", observation, action, {}))
    with pytest.raises(InputError, match="learn by PPO"):
        make_rows(spec, 4)


def test_a_state_kept_in_the_middle_is_gone_on_from() -> None:
    rows = make_rows(learner(), 4)
    rows.start(0)
    rng = np.random.default_rng(0)
    actions = rng.integers(0, 2, (LENGTH, 8, 6)).astype(np.int8)
    for action in actions[:14]:
        rows.env.step(action)
    other = make_rows(learner(), 4)
    other.start(1)
    other.restore(rows.state())
    numbers = rows.task_numbers()
    assert numbers is not None and (numbers == WAITING).any() and (numbers != WAITING).any()
    for action in actions[14:]:
        np.testing.assert_array_equal(rows.task_numbers(), other.task_numbers())
        for own, their in zip(rows.env.step(action)[:4], other.env.step(action)[:4], strict=True):
            np.testing.assert_array_equal(own, their)
