"""A trial played step by step through named inputs and outputs is the trial that the torch policy plays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from roamrl.algorithms.bundle import ModuleSpec
from roamrl.algorithms.population.acting import StackedPolicy
from roamrl.algorithms.population.modules.entity import with_entities
from roamrl.platform.export import interface as ports
from roamrl.platform.export.interface import starting_inputs
from roamrl.platform.export.parity import torch_step
from roamrl.platform.export.policy_model import policy_model
from roamrl.platform.export.runtime import OnnxPolicy

ROWS, STEPS, LENGTH = 5, 12, 4


def test_a_trial_of_several_episodes(carrying_spec: ModuleSpec, make_policy: Callable) -> None:
    spec, rng = carrying_spec, np.random.default_rng(7)
    bundle = make_policy(spec)
    model, interface = policy_model(bundle, {})
    exported, expected = OnnxPolicy(model.SerializeToString()), StackedPolicy([bundle])
    expected.begin(ROWS)
    carried = starting_inputs(interface, ROWS)
    for step in range(STEPS):
        obs = rng.standard_normal((ROWS, *spec.observation_space.shape)).astype(np.float32)
        found = exported.step({ports.OBSERVATION: obs, **carried})
        wanted = expected.act(obs[None])[0]
        np.testing.assert_allclose(found[ports.ACTION], wanted, rtol=1e-4, atol=1e-4)
        assert found[ports.ACTION].dtype == wanted.dtype
        rewards, ended = rng.standard_normal(ROWS), np.full(ROWS, step % LENGTH == LENGTH - 1)
        expected.after(rewards[None], ended[None])
        expected.next_episode()
        carried[ports.STATE_IN] = found[ports.STATE_OUT]
        if spec.extras.feedback:
            given = {
                ports.LAST_ACTION: found[ports.ACTION],
                ports.LAST_REWARD: rewards.astype(np.float32),
                ports.EPISODE_ENDED: ended,
            }
            carried |= given


@pytest.mark.parametrize("count", [1, 2, 17])
def test_sets_of_another_size_than_in_training(entity_spec: ModuleSpec, count: int, make_policy: Callable) -> None:
    bundle = make_policy(entity_spec)
    policy = OnnxPolicy(policy_model(bundle, {})[0].SerializeToString())
    rng = np.random.default_rng(count)
    obs = rng.uniform(0.0, 3.0, (8, count, bundle.spec.observation_space.shape[1])).astype(np.float32)
    obs[..., 0] = np.arange(count) < rng.integers(0, count + 1, (8, 1))
    inputs = {ports.OBSERVATION: obs * obs[..., :1]}
    if bundle.spec.extras.contexts:
        inputs[ports.CONTEXT] = rng.standard_normal((8, 3)).astype(np.float32)
    expected = torch_step(with_entities(bundle, count), inputs)
    for output, values in policy.step(inputs).items():
        np.testing.assert_allclose(values, expected[output], rtol=2e-4, atol=1e-4)


def test_no_last_action_is_none_of_them(specs: dict[str, ModuleSpec], make_policy: Callable) -> None:
    """A Discrete action's feedback is one of n, and nothing at all at the beginning of a trial."""
    spec = specs["gru-feedback-discrete-from-3"]
    bundle = make_policy(replace(spec, model={**spec.model, "normalise": False}))
    model, interface = policy_model(bundle, {})
    policy = OnnxPolicy(model.SerializeToString())
    inputs = {**starting_inputs(interface, 1), ports.OBSERVATION: np.ones((1, 5), np.float32)}
    assert inputs[ports.LAST_ACTION] == 2
    logits = {
        last: policy.step({**inputs, ports.LAST_ACTION: np.array([last])})[ports.LOGITS][0] for last in range(1, 8)
    }
    assert all((logits[last] == logits[2]).all() for last in (1, 7))
    assert all((logits[last] != logits[2]).any() for last in (3, 4, 5, 6))
