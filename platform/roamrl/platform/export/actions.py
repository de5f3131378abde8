"""From the policy's last layer to ``action`` and the distribution's parameters."""

from __future__ import annotations

import numpy as np
from gymnasium import spaces

from roamrl.algorithms.bundle import ModuleSpec
from roamrl.algorithms.population.distributions import LARGEST_LOG_STD, SMALLEST_LOG_STD
from roamrl.platform.export import interface as ports
from roamrl.platform.export.graph import Graph
from roamrl.platform.export.layers import Arrays


def add_actions(graph: Graph, spec: ModuleSpec, arrays: Arrays, last: str) -> None:
    """Name the outputs of a policy whose last layer gives ``last``, [N, A].

    ``action`` is what the environment takes from the policy acting greedily: counted from the space's start, clipped to
    the Box, in the space's shape and dtype.
    """
    space = spec.action_space
    if isinstance(space, spaces.Discrete):
        graph.name(last, ports.ACTION_VALUES if spec.kind == "q" else ports.LOGITS)
        best = graph.op("ArgMax", last, axis=-1, keepdims=0)
        graph.name(graph.op("Add", best, graph.constant(space.start, "int64")) if space.start else best, ports.ACTION)
    elif isinstance(space, spaces.MultiBinary):
        shape = space.shape
        logits = last if len(shape) == 1 else graph.reshape(last, -1, *shape)
        graph.name(logits, ports.LOGITS)
        graph.name(graph.cast(graph.op("Greater", logits, graph.constant(0.0)), "int8"), ports.ACTION)
    else:
        assert isinstance(space, spaces.Box)
        _add_normal(graph, space, arrays, last)


def _add_normal(graph: Graph, space: spaces.Box, arrays: Arrays, last: str) -> None:
    mean = last if len(space.shape) == 1 else graph.reshape(last, -1, *space.shape)
    graph.name(mean, ports.MEAN)
    log_std = np.clip(arrays["actor.log_std"], SMALLEST_LOG_STD, LARGEST_LOG_STD).reshape(space.shape)
    graph.name(graph.op("Expand", graph.constant(log_std), graph.op("Shape", mean)), ports.LOG_STD)
    dtype = str(space.dtype)
    action = mean if dtype == "float32" else graph.cast(mean, dtype)
    action = graph.op("Max", action, graph.constant(space.low, dtype))
    graph.name(graph.op("Min", action, graph.constant(space.high, dtype)), ports.ACTION)
