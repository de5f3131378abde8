"""Policies of sets among other numbers of entities: teachers, and batches without those that are absent."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from roamrl.algorithms.bundle import ModuleSpec, PolicyBundle
from roamrl.algorithms.learner_spec import LearnerSpec, MemberSpec, PPOSettings, steady_phases
from roamrl.algorithms.population.batch import build_batch
from roamrl.algorithms.population.fit import fit
from roamrl.algorithms.population.members import MemberHyper
from roamrl.algorithms.population.modules.build import build_module, to_bundle
from roamrl.algorithms.population.modules.entity import for_spaces
from roamrl.algorithms.population.optimiser import StackedAdam
from roamrl.algorithms.population.rollout import Rollout
from roamrl.algorithms.population.teachers import Teachers
from roamrl.algorithms.teaching import Teaching
from roamrl.envs.errors import InputError
from roamrl.envs.mac import MAC

FEW, MANY = 4, 9
INTERACTIONS = ["none", "deepsets", "attention"]


def module_spec(entities: int, interaction: str = "deepsets", **config: Any) -> ModuleSpec:
    observation, action = MAC.spaces(MAC.config({"n_max": entities, "history": 2, **config}))
    return ModuleSpec("entity", observation, action, {"hidden": [8], "interaction": interaction})


def policy(entities: int, **config: Any) -> PolicyBundle:
    module = build_module(module_spec(entities, **config), [3])
    with torch.no_grad():
        module.weights.add_(torch.randn(module.weights.shape, generator=torch.Generator().manual_seed(1)), alpha=0.3)
    return to_bundle(module, 0)


def cells(entities: int, present: int, *shape: int) -> np.ndarray:
    size = module_spec(entities).input_shape[1]
    obs = np.random.default_rng(0).random((*shape, entities, size), np.float32)
    obs[..., 0] = np.arange(entities) < np.random.default_rng(1).integers(1, present + 1, shape)[..., None]
    return obs * obs[..., :1]


@pytest.mark.parametrize(("taught", "teaching"), [(MANY, FEW), (FEW, MANY)])
def test_a_teacher_says_the_same_among_another_number_of_entities(taught: int, teaching: int) -> None:
    teacher = policy(teaching)
    member = MemberSpec(1, teaching=Teaching((teacher,)))
    teachers = Teachers.of(LearnerSpec(module_spec(taught), (member,), steady_phases(8, 2, 4)))
    assert teachers is not None
    obs = cells(taught, FEW, 1, 20)
    own = build_module(module_spec(teaching), [0])
    own.load_member_state(0, teacher.arrays, "all")
    room = min(taught, teaching)
    padded = np.zeros((1, 20, teaching, obs.shape[-1]), np.float32)
    padded[:, :, :room] = obs[:, :, :room]
    found, wanted = teachers.logits(torch.from_numpy(obs))[:, 0], own.logits(torch.from_numpy(padded))
    assert found.shape[-1] == taught
    torch.testing.assert_close(found[..., :room], wanted[..., :room], rtol=1e-5, atol=1e-6)


def test_what_differs_in_more_than_the_number_is_refused() -> None:
    wanted = module_spec(MANY)
    with pytest.raises(InputError, match="number of entities apart"):
        for_spaces(policy(FEW, history=3), wanted.observation_space, wanted.action_space)
    flat = replace(wanted, kind="mlp")
    with pytest.raises(InputError, match="must be the same: take"):
        for_spaces(PolicyBundle(flat, {}), module_spec(FEW).observation_space, module_spec(FEW).action_space)
    same = policy(MANY)
    assert for_spaces(same, wanted.observation_space, wanted.action_space) is same


def rollout_of(obs: np.ndarray, steps: int, entities: int) -> Rollout:
    rng, shape = np.random.default_rng(5), obs.shape[:3]
    none = np.zeros(shape, np.bool_)
    return Rollout(
        obs=obs[:steps],
        actions=rng.integers(0, 2, (steps, *shape[1:], entities)),
        logp=rng.normal(-2, 0.1, (steps, *shape[1:])).astype(np.float32),
        rewards=rng.normal(size=(steps, *shape[1:])).astype(np.float32),
        terminated=none[:steps],
        truncated=none[:steps],
        discounts=np.full((steps, *shape[1:]), 0.9, np.float32),
        last_obs=obs[steps],
        final_at=np.zeros((0, 3), np.int64),
        final_obs=np.zeros((0, *obs.shape[3:]), np.float32),
    )


@pytest.mark.parametrize("interaction", INTERACTIONS)
def test_learning_without_the_absent_is_learning_with_them(interaction: str) -> None:
    members = (MemberSpec(1), MemberSpec(2))
    rollout = rollout_of(cells(MANY, FEW, 13, 2, 6), 12, MANY)
    learned = []
    for crop in (True, False):
        module = build_module(module_spec(MANY, interaction), [1, 2])
        batch = build_batch(module, rollout, PPOSettings())
        assert batch.obs.shape[2] == FEW
        if not crop:
            obs = torch.from_numpy(rollout.obs.swapaxes(0, 1).reshape(2, 72, *rollout.obs.shape[3:]))
            assert torch.equal(obs[:, :, :FEW], batch.obs) and not obs[:, :, FEW:].any()
            batch = replace(batch, obs=obs)
        generator = torch.Generator().manual_seed(0)
        fit(module, StackedAdam(module.weights), batch, MemberHyper.of(members), PPOSettings(), generator)
        learned.append(module.member_state(0) | {f"second {k}": v for k, v in module.member_state(1).items()})
    for name, array in learned[0].items():
        np.testing.assert_array_equal(array, learned[1][name], err_msg=name)


def test_a_compiled_gradient_keeps_one_shape() -> None:
    rollout = rollout_of(cells(MANY, FEW, 13, 2, 6), 12, MANY)
    batch = build_batch(build_module(module_spec(MANY), [1, 2]), rollout, PPOSettings(compiled=True))
    assert batch.obs.shape[2] == MANY
