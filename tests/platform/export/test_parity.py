"""Exported policies say what torch policies say: every module kind, every action space, every extra input."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest

from roamrl.algorithms.bundle import ModuleSpec
from roamrl.algorithms.population.modules.build import MODULE_KINDS
from roamrl.envs.errors import InputError
from roamrl.platform.export import interface as ports
from roamrl.platform.export.parity import TOLERANCE, check_parity, probes, torch_step
from roamrl.platform.export.policy_model import KINDS, policy_model
from roamrl.platform.export.runtime import OnnxPolicy


def test_every_module_kind_is_exported() -> None:
    assert set(KINDS) == set(MODULE_KINDS)


def test_parameters_memory_and_actions_agree(spec: ModuleSpec, make_policy: Callable) -> None:
    bundle = make_policy(spec)
    model, interface = policy_model(bundle, {})
    onnx.checker.check_model(model, full_check=True)
    policy = OnnxPolicy(model.SerializeToString())
    assert check_parity(bundle, interface, policy, rows=200, seed=3) <= TOLERANCE
    inputs = probes(spec, interface, 40, seed=5)
    assert {port.name for port in interface.inputs} == set(inputs)
    found, expected = policy.step(inputs), torch_step(bundle, inputs)
    assert list(found) == [port.name for port in interface.outputs] and set(found) == set(expected)
    assert np.mean(found["action"] == expected["action"]) > 0.9 or ports.MEAN in found
    assert all(np.asarray(action) in spec.action_space for action in found["action"]) or spec.kind == "entity"


def test_the_batch_axis_is_free_and_rows_do_not_touch(spec: ModuleSpec, make_policy: Callable) -> None:
    model, interface = policy_model(make_policy(spec), {})
    policy = OnnxPolicy(model.SerializeToString())
    inputs = probes(spec, interface, 9, seed=1)
    together = policy.step(inputs)
    for row in (0, 5, 8):
        alone = policy.step({name: values[row : row + 1] for name, values in inputs.items()})
        for name, values in alone.items():
            np.testing.assert_allclose(values[0], together[name][row], rtol=1e-4, atol=1e-4)


def test_another_policy_is_noticed(spec: ModuleSpec, make_policy: Callable) -> None:
    model, interface = policy_model(make_policy(spec, seed=1), {})
    with pytest.raises(InputError, match="differs from the torch policy"):
        check_parity(make_policy(spec, seed=2), interface, OnnxPolicy(model.SerializeToString()))
