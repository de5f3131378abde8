"""Policy bundles as ONNX models."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

import numpy as np
import onnx

from roamrl.algorithms.bundle import ModuleSpec, PolicyBundle
from roamrl.algorithms.population.modules.build import from_bundles
from roamrl.algorithms.population.modules.inner_rates import KIND as MLP_WITH_RATES
from roamrl.envs.errors import unknown_name
from roamrl.platform.export.entities import add_entities
from roamrl.platform.export.feedforward import add_action_values, add_conditioned, add_mlp, add_multihead
from roamrl.platform.export.graph import Graph
from roamrl.platform.export.interface import METADATA_PREFIX, Interface, interface_of
from roamrl.platform.export.layers import Arrays
from roamrl.platform.export.recurrent import add_gru, add_latent

KINDS: Mapping[str, Callable[[Graph, ModuleSpec, Arrays], None]] = {
    "mlp": add_mlp,
    MLP_WITH_RATES: add_mlp,
    "multihead": add_multihead,
    "conditioned": add_conditioned,
    "entity": add_entities,
    "gru": add_gru,
    "latent": add_latent,
    "q": add_action_values,
}
"""What adds a policy of each module kind to a graph."""


def policy_model(bundle: PolicyBundle, metadata: Mapping[str, str]) -> tuple[onnx.ModelProto, Interface]:
    """Return a policy as an ONNX model of one step, and its interface.

    The graph is written from the policy's arrays, not traced from its torch module: acting needs none of the
    in-place operations, hand-written gradients and data-dependent shapes that make training fast, and a dozen plain
    operators run anywhere. That both compute the same is for :mod:`roamrl.platform.export.parity` to check.

    Args:
        bundle: The policy.
        metadata: What is written into the model beside its interface, by name without prefix.

    Raises:
        InputError: If the policy's kind or spaces cannot be exported, or its arrays do not fit its kind.
    """
    spec = bundle.spec
    if spec.kind not in KINDS:
        raise unknown_name("module kind that can be exported", spec.kind, KINDS)
    module = from_bundles([bundle])
    interface = interface_of(spec, module.memory_size)
    graph = Graph()
    KINDS[spec.kind](graph, spec, {name: np.asarray(array) for name, array in bundle.arrays.items()})
    model = graph.model(interface.inputs, interface.outputs, "policy")
    stated = {"interface": json.dumps(interface.to_json()), "module_kind": spec.kind, **metadata}
    onnx.helper.set_model_props(model, {METADATA_PREFIX + name: value for name, value in sorted(stated.items())})
    return model, interface
