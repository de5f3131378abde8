"""What the networks of all kinds are made of: standardised inputs, dense layers, task tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from roamrl.algorithms.population.modules.mlp import OBSERVATION_CLIP, OBSERVATION_EPSILON
from roamrl.platform.export.graph import Graph

Arrays = Mapping[str, NDArray[Any]]


class Layers:
    """Adds the layers of one policy to a graph.

    Attributes:
        graph: The graph.
        arrays: The policy's arrays, by the names of ``StackedModule.member_state``.
    """

    def __init__(self, graph: Graph, arrays: Arrays, activation: str) -> None:
        self.graph = graph
        self.arrays = arrays
        self._activation = activation

    def standardised(self, rows: str, raw: NDArray[np.bool_] | None = None) -> str:
        """Standardise rows [.., I] by the policy's statistics and clip them at 10 deviations.

        Args:
            rows: What is read.
            raw: Columns that stay as they are, [I].
        """
        mean = self.arrays["observations.mean"].astype(np.float32)
        scale = np.sqrt(self.arrays["observations.var"] + OBSERVATION_EPSILON).astype(np.float32)
        factor, limit = np.float32(1.0) / scale, np.full_like(mean, OBSERVATION_CLIP)
        if raw is not None:
            mean, factor = np.where(raw, np.float32(0), mean), np.where(raw, np.float32(1), factor)
            limit = np.where(raw, np.finfo(np.float32).max, limit)
        graph = self.graph
        centred = graph.op("Sub", rows, graph.constant(mean))
        scaled = graph.op("Mul", centred, graph.constant(factor))
        return graph.op("Max", graph.op("Min", scaled, graph.constant(limit)), graph.constant(-limit))

    def hidden(self, rows: str, layers: Sequence[str], first_addend: str | None = None) -> str:
        """Return the last activations [.., H] of hidden layers on rows [.., I].

        Args:
            rows: Inputs.
            layers: Names of the layers.
            first_addend: What else is added to the first layer's pre-activation.
        """
        for number, layer in enumerate(layers):
            rows = self.dense(rows, layer)
            if number == 0 and first_addend is not None:
                rows = self.graph.op("Add", rows, first_addend)
            rows = self.activation(rows)
        return rows

    def dense(self, rows: str, layer: str) -> str:
        """Return rows W + b, [.., H]."""
        return self.affine(rows, self.arrays[f"{layer}.weight"], self.arrays[f"{layer}.bias"])

    def affine(self, rows: str, weight: NDArray[Any], bias: NDArray[Any]) -> str:
        """Return rows W + b, [.., H], of given arrays."""
        return self.graph.op("Add", self.product(rows, weight), self.graph.constant(bias))

    def product(self, rows: str, weight: NDArray[Any]) -> str:
        """Return rows W, [.., H]."""
        return self.graph.op("MatMul", rows, self.graph.constant(weight))

    def activation(self, rows: str) -> str:
        """Apply the policy's activation."""
        match self._activation:
            case "tanh":
                return self.graph.op("Tanh", rows)
            case "relu":
                return self.graph.op("Relu", rows)
            case "silu":
                return self.graph.op("Mul", rows, self.graph.op("Sigmoid", rows))
        raise AssertionError(f"a policy with the activation {self._activation!r} was built")

    def of_task(self, numbers: str, table: NDArray[Any]) -> str:
        """Return each row's entry of a table [K, ..] by task numbers [N] int64; the mean for unknown tasks."""
        graph, count = self.graph, len(table)
        extended = np.concatenate([table, table.mean(axis=0, keepdims=True, dtype=np.float64)], dtype=np.float32)
        last = graph.constant(count, "int64")
        below = graph.op("Less", numbers, graph.constant(0, "int64"))
        unknown = graph.op("Or", below, graph.op("GreaterOrEqual", numbers, last))
        return graph.op("Gather", graph.constant(extended), graph.op("Where", unknown, last, numbers), axis=0)
