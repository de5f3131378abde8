"""Graphs of policies with memory: gru, latent."""

from __future__ import annotations

import numpy as np

from roamrl.algorithms.bundle import ModuleSpec
from roamrl.algorithms.feedback import raw_columns
from roamrl.algorithms.population.modules.gru import GRUConfig
from roamrl.algorithms.population.modules.latent import LatentConfig
from roamrl.algorithms.population.modules.mlp import MLPConfig, make_nets
from roamrl.platform.export import interface as ports
from roamrl.platform.export.actions import add_actions
from roamrl.platform.export.graph import Graph
from roamrl.platform.export.layers import Arrays, Layers
from roamrl.platform.export.reading import flat_inputs


def add_gru(graph: Graph, spec: ModuleSpec, arrays: Arrays) -> None:
    """Add a ``gru``: one step of gated recurrent units (Cho et al., EMNLP 2014, as ``torch.nn.GRU`` has them)."""
    config = GRUConfig.from_json(spec.model)
    layers = Layers(graph, arrays, config.body.activation)
    rows = _prepared(graph, spec, layers, config.body)
    features = layers.hidden(rows, [f"encoder.{layer}" for layer in range(len(config.body.hidden))])
    thirds = [config.memory] * 3
    reset, update, new = graph.split(layers.dense(features, "gru.input"), thirds)
    own_reset, own_update, recalled = graph.split(layers.dense(ports.STATE_IN, "gru.memory"), thirds)
    reset = graph.op("Sigmoid", graph.op("Add", reset, own_reset))
    update = graph.op("Sigmoid", graph.op("Add", update, own_update))
    new = graph.op("Tanh", graph.op("Add", new, graph.op("Mul", reset, recalled)))
    kept = graph.op("Mul", update, graph.op("Sub", ports.STATE_IN, new))
    memory = graph.op("Add", new, kept)
    graph.name(memory, ports.STATE_OUT)
    add_actions(graph, spec, arrays, layers.dense(memory, "actor.head"))


def add_latent(graph: Graph, spec: ModuleSpec, arrays: Arrays) -> None:
    """Add a ``latent``: the belief about the task takes in a transition, actor and critic read a draw from it.

    The memory holds the sums of the factors' precisions and of their means weighed by them, the observation last read
    and whether there was one (:mod:`roamrl.algorithms.population.modules.latent`).
    """
    config, extras = LatentConfig.from_json(spec.model), spec.extras
    layers = Layers(graph, arrays, config.body.activation)
    latent, seen = config.latent, spec.input_shape[0] - extras.columns
    rows = _prepared(graph, spec, layers, config.body)
    columns = [seen, extras.feedback_columns - 1, 1, latent, extras.task_columns]
    now, fed_back, ended, noise, told = graph.split(rows, columns)
    sums, before, known = graph.split(ports.STATE_IN, [2 * latent, seen, 1])
    going_on = graph.op("Sub", graph.constant(1.0), ended)
    transitions = graph.concat(before, fed_back, ended, graph.op("Mul", going_on, now))
    hidden = layers.hidden(transitions, [f"encoder.{layer}" for layer in range(len(config.encoder))])
    raw, means = graph.split(layers.dense(hidden, "encoder.factors"), [latent, latent])
    precisions = graph.op("Softplus", raw)
    factors = graph.concat(precisions, graph.op("Mul", precisions, means))
    sums = graph.op("Add", sums, graph.op("Mul", known, factors))
    one = graph.op("Add", graph.op("Mul", known, graph.constant(0.0)), graph.constant(1.0))
    graph.name(graph.concat(sums, now, one), ports.STATE_OUT)
    total, weighed = graph.split(sums, [latent, latent])
    precision = graph.op("Add", graph.constant(1.0), total)
    spread = graph.op("Div", noise, graph.op("Sqrt", precision))
    drawn = graph.op("Add", graph.op("Div", weighed, precision), spread)
    read = graph.concat(*(part for part in (now, told, drawn) if part))
    features = layers.hidden(read, make_nets(config.body)[0].hidden)
    add_actions(graph, spec, arrays, layers.dense(features, "actor.head"))


def _prepared(graph: Graph, spec: ModuleSpec, layers: Layers, body: MLPConfig) -> str:
    """Return what is read, [N, I], standardised but for bits and noise."""
    rows = flat_inputs(graph, spec)
    if not body.normalise:
        return rows
    return layers.standardised(rows, np.asarray(raw_columns(spec)))
