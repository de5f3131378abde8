"""What a policy's networks read: the observation, and the extras beside it as columns."""

from __future__ import annotations

import numpy as np
from gymnasium import spaces

from roamrl.algorithms.bundle import ModuleSpec
from roamrl.platform.export import interface as ports
from roamrl.platform.export.graph import Graph


def flat_inputs(graph: Graph, spec: ModuleSpec, *, with_task: bool = True) -> str:
    """Return what a policy reads at a step, flattened to [N, I].

    Args:
        graph: The graph.
        spec: The policy's module.
        with_task: Whether what is said of the task is among it.
    """
    axes = spec.observation_space.shape or ()
    inputs = inputs_with_extras(graph, spec, with_task=with_task)
    return inputs if len(axes) == 1 else graph.op("Flatten", inputs, axis=1)


def inputs_with_extras(graph: Graph, spec: ModuleSpec, *, with_task: bool = True) -> str:
    """Return the observation [N, *O] with the extras at its last axis; each of several rows gets them."""
    parts = extra_columns(graph, spec, with_task=with_task)
    if not parts:
        return ports.OBSERVATION
    columns = graph.concat(*parts)
    between = len(spec.observation_space.shape or ()) - 1
    if between:
        shape = graph.op("Shape", ports.OBSERVATION, start=0, end=-1)
        wide = graph.op("Concat", shape, graph.constant([1], "int64"), axis=0)
        columns = graph.op("Expand", graph.unsqueeze(columns, *range(1, between + 1)), wide)
    return graph.concat(ports.OBSERVATION, columns)


def extra_columns(graph: Graph, spec: ModuleSpec, *, with_task: bool = True) -> list[str]:
    """Return the extras as columns [N, C] each: feedback, noise, what is said of the task."""
    extras = spec.extras
    parts = _feedback(graph, spec) if extras.feedback else []
    if extras.noise:
        parts.append(ports.NOISE)
    if with_task and extras.task == "number":
        parts.append(graph.unsqueeze(graph.cast(ports.TASK_NUMBER, "float32"), 1))
    if with_task and extras.task == "context":
        parts.append(ports.CONTEXT)
    return parts


def _feedback(graph: Graph, spec: ModuleSpec) -> list[str]:
    space = spec.action_space
    if isinstance(space, spaces.Discrete):
        numbers = int(space.start) + np.arange(int(space.n))
        last = graph.op("Equal", graph.unsqueeze(ports.LAST_ACTION, 1), graph.constant(numbers, "int64"))
    else:
        last = graph.op("Flatten", ports.LAST_ACTION, axis=1)
    reward = graph.unsqueeze(ports.LAST_REWARD, 1)
    return [graph.cast(last, "float32"), reward, graph.unsqueeze(graph.cast(ports.EPISODE_ENDED, "float32"), 1)]
