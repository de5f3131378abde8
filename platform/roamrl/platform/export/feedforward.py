"""Graphs of policies on flat observations without memory: mlp, mlp_rates, multihead, conditioned, q."""

from __future__ import annotations

import math

import numpy as np

from roamrl.algorithms.bundle import ModuleSpec
from roamrl.algorithms.population.modules.action_values import ActionValueConfig
from roamrl.algorithms.population.modules.conditioned import EMBEDDING, ConditionedConfig
from roamrl.algorithms.population.modules.mlp import MLPConfig, make_nets
from roamrl.algorithms.population.modules.multihead import MultiheadConfig
from roamrl.platform.export import interface as ports
from roamrl.platform.export.actions import add_actions
from roamrl.platform.export.graph import Graph
from roamrl.platform.export.layers import Arrays, Layers
from roamrl.platform.export.reading import flat_inputs


def add_mlp(graph: Graph, spec: ModuleSpec, arrays: Arrays) -> None:
    """Add an ``mlp`` (``mlp_rates`` too: nothing a policy does depends on its inner rates)."""
    config = MLPConfig.from_json(spec.model)
    layers = Layers(graph, arrays, config.activation)
    rows = flat_inputs(graph, spec)
    rows = layers.standardised(rows) if config.normalise else rows
    features = layers.hidden(rows, make_nets(config)[0].hidden)
    add_actions(graph, spec, arrays, layers.dense(features, "actor.head"))


def add_multihead(graph: Graph, spec: ModuleSpec, arrays: Arrays) -> None:
    """Add a ``multihead``: each row meets the output layer of its task, or the mean of all."""
    config = MultiheadConfig.from_json(spec.model)
    layers = Layers(graph, arrays, config.activation)
    rows = flat_inputs(graph, spec, with_task=False)
    rows = layers.standardised(rows) if config.normalise else rows
    features = layers.hidden(rows, make_nets(config)[0].hidden)
    weight, bias = arrays["actor.head.weight"], arrays["actor.head.bias"]
    if len(weight) == 1:
        add_actions(graph, spec, arrays, layers.affine(features, weight[0], bias[0]))
        return
    own_weight, own_bias = (layers.of_task(ports.TASK_NUMBER, table) for table in (weight, bias))
    product = graph.squeeze(graph.op("MatMul", graph.unsqueeze(features, 1), own_weight), 1)
    add_actions(graph, spec, arrays, graph.op("Add", product, own_bias))


def add_conditioned(graph: Graph, spec: ModuleSpec, arrays: Arrays) -> None:
    """Add a ``conditioned``; what a task's code adds to the first layer is worked out beforehand, a row a task."""
    config = ConditionedConfig.from_json(spec.model)
    layer = make_nets(config)[0].hidden[0]
    weight, size = arrays[f"{layer}.weight"], math.prod(spec.observation_space.shape or ())
    added = weight[size:]
    if config.code == "embedding":
        added = (arrays[EMBEDDING].astype(np.float64) @ added.astype(np.float64)).astype(np.float32)
    layers = Layers(graph, {**arrays, f"{layer}.weight": weight[:size]}, config.activation)
    rows = flat_inputs(graph, spec, with_task=False)
    rows = layers.standardised(rows) if config.normalise else rows
    features = layers.hidden(rows, make_nets(config)[0].hidden, layers.of_task(ports.TASK_NUMBER, added))
    add_actions(graph, spec, arrays, layers.dense(features, "actor.head"))


def add_action_values(graph: Graph, spec: ModuleSpec, arrays: Arrays) -> None:
    """Add a ``q``: the greatest of its own network's values and its experts'."""
    config = ActionValueConfig.from_json(spec.model)
    rows = flat_inputs(graph, spec)
    own = dict(arrays)
    if config.reward_weights is not None:
        own["q.0.weight"] = arrays["q.0.weight"].copy()
        own["q.0.weight"][slice(*config.reward_weights)] = 0.0
    layers = Layers(graph, own, config.body.activation)
    best = _values(layers, config, "q", layers.standardised(rows) if config.body.normalise else rows, rows)
    for number in range(config.experts):
        best = graph.op("Max", best, _values(layers, config, f"expert{number}", rows, rows))
    add_actions(graph, spec, arrays, best)


def _values(layers: Layers, config: ActionValueConfig, net: str, read: str, shown: str) -> str:
    """Return a network's values [N, A] of what it reads; weights of the reward's parts stand in what is shown."""
    graph = layers.graph
    features = layers.hidden(read, [f"{net}.{layer}" for layer in range(len(config.body.hidden))])
    parts = layers.dense(features, f"{net}.head")
    where = config.reward_weights
    if where is None:
        return parts
    bounds = (graph.constant([bound], "int64") for bound in where)
    weights = graph.unsqueeze(graph.op("Slice", shown, *bounds, graph.constant([-1], "int64")), 2)
    by_part = graph.reshape(parts, 0, -1, where[1] - where[0])
    return graph.squeeze(graph.op("MatMul", by_part, weights), 2)
