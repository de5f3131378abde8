"""Graphs of policies on sets of stations or users: entity, with any number of them."""

from __future__ import annotations

import math

from gymnasium import spaces

from roamrl.algorithms.bundle import ModuleSpec
from roamrl.algorithms.population.distributions import NEVER
from roamrl.algorithms.population.modules.entity_networks import EntityConfig
from roamrl.platform.export.actions import add_actions
from roamrl.platform.export.graph import Graph
from roamrl.platform.export.layers import Arrays, Layers
from roamrl.platform.export.reading import inputs_with_extras

_FAR = 1e9


def add_entities(graph: Graph, spec: ModuleSpec, arrays: Arrays) -> None:
    """Add an ``entity``: its arrays do not depend on how many there are, and neither does the graph."""
    _Entities(graph, spec, arrays).add()


class _Entities:
    """The graph of one policy; rows are [N, E, .], who is present [N, E, 1]."""

    def __init__(self, graph: Graph, spec: ModuleSpec, arrays: Arrays) -> None:
        self.graph, self.spec, self.arrays = graph, spec, arrays
        self.config = EntityConfig.from_json(spec.model)
        self.layers = Layers(graph, arrays, self.config.body.activation)
        rows = inputs_with_extras(graph, spec)
        size = spec.input_shape[1]
        self.present, _ = graph.split(rows, [1, size - 1])
        if self.config.body.normalise:
            rows = graph.op("Mul", self.layers.standardised(rows), self.present)
        _, self.features = graph.split(rows, [1, size - 1])
        self.count = graph.total(self.present, 1)
        self.size = graph.op("Log", graph.op("Add", self.count, graph.constant(1.0)))

    def add(self) -> None:
        graph, config = self.graph, self.config
        net = "trunk" if config.body.shared_trunk else "actor"
        own = self.layers.hidden(self.features, [f"{net}.{layer}" for layer in range(len(config.body.hidden))])
        if config.interaction != "none":
            own = self._joined(own)
        if isinstance(self.spec.action_space, spaces.MultiBinary):
            absent = graph.op("Equal", self.present, graph.constant(0.0))
            logits = graph.op("Where", absent, graph.constant(NEVER), self.layers.dense(own, "actor.head"))
            add_actions(graph, self.spec, self.arrays, graph.squeeze(logits, 2))
            return
        mean = graph.op("Div", self._total(own), self._at_least_one(self.count))
        pooled = self.layers.dense(graph.concat(mean, self.size), "actor.pooled")
        last = self.layers.dense(self.layers.activation(pooled), "actor.head")
        add_actions(graph, self.spec, self.arrays, graph.squeeze(last, 1))

    def _joined(self, own: str) -> str:
        """Return [N, E, H]: each entity's embedding together with what the others tell it."""
        told = [self._mean_of_others(own), self._max_of_others(own)]
        if self.config.interaction == "attention":
            told = [self._attended(own)]
        sizes = self.graph.op("Add", self.graph.op("Mul", self.present, self.graph.constant(0.0)), self.size)
        return self.layers.activation(self.layers.dense(self.graph.concat(own, *told, sizes), "actor.joint"))

    def _mean_of_others(self, own: str) -> str:
        others = self._at_least_one(self.graph.op("Sub", self.count, self.present))
        return self.graph.op("Div", self.graph.op("Sub", self._total(own), own), others)

    def _max_of_others(self, own: str) -> str:
        """Return the greatest number another has: x1 - max(0, x - x2), x1 >= x2 the two greatest; 0 without any."""
        graph = self.graph
        absent = graph.op("Sub", graph.constant(1.0), self.present)
        numbers = graph.op("Sub", own, graph.op("Mul", absent, graph.constant(_FAR)))
        first = graph.op("ReduceMax", numbers, axes=[1], keepdims=1)
        is_first = graph.cast(graph.op("Equal", numbers, first), "float32")
        others = graph.op("Sub", numbers, graph.op("Mul", is_first, graph.constant(_FAR)))
        shared = graph.op("Greater", graph.total(is_first, 1), graph.constant(1.5))
        second = graph.op("Where", shared, first, graph.op("ReduceMax", others, axes=[1], keepdims=1))
        beyond = graph.op("Relu", graph.op("Sub", own, second))
        several = graph.op("Greater", self.count, graph.constant(1.5))
        return graph.op("Where", several, graph.op("Sub", first, beyond), graph.constant(0.0))

    def _attended(self, own: str) -> str:
        """Return softmax(q k' / sqrt(d)) v by head, over the present (Vaswani et al., NIPS 2017, eq. 1)."""
        graph, heads, width = self.graph, self.config.attention_heads, self.config.body.hidden[-1]
        asked = graph.split(self.layers.product(own, self.arrays["actor.attention.weight"]), [width] * 3)
        queries, keys, values = (
            graph.op("Transpose", graph.reshape(part, 0, 0, heads, width // heads), perm=perm)
            for part, perm in zip(asked, ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]), strict=True)
        )
        scale = graph.constant(1.0 / math.sqrt(width // heads))
        scores = graph.op("Mul", graph.op("MatMul", queries, keys), scale)
        far = graph.op("Mul", graph.op("Sub", self.present, graph.constant(1.0)), graph.constant(_FAR))
        row = graph.unsqueeze(graph.op("Transpose", far, perm=[0, 2, 1]), 1)
        shares = graph.op("Softmax", graph.op("Add", scores, row), axis=-1)
        taken = graph.op("Transpose", graph.op("MatMul", shares, values), perm=[0, 2, 1, 3])
        return graph.reshape(taken, 0, 0, width)

    def _total(self, own: str) -> str:
        """Return the sum over the present, [N, 1, H]."""
        return self.graph.op("MatMul", self.graph.op("Transpose", self.present, perm=[0, 2, 1]), own)

    def _at_least_one(self, count: str) -> str:
        return self.graph.op("Max", count, self.graph.constant(1.0))
