"""Whether an exported policy says what the torch policy says, on random and on extreme inputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray

from roamrl.algorithms.bundle import ModuleSpec, PolicyBundle
from roamrl.algorithms.extras import append
from roamrl.algorithms.feedback import Feedback
from roamrl.algorithms.population.distributions import GaussianHead
from roamrl.algorithms.population.modules.build import from_bundles
from roamrl.envs.errors import InputError
from roamrl.platform.export import interface as ports
from roamrl.platform.export.interface import Interface, starting_inputs
from roamrl.platform.export.runtime import OnnxPolicy

TOLERANCE = 1e-4
"""Greatest difference accepted, relative to the greatest parameter of the row (to 1 where all are smaller)."""

_LARGEST = 1e6
"""Extreme observations are bounds of the space, where these are smaller, or this number."""

Values = Mapping[str, NDArray[Any]]


def check_parity(
    bundle: PolicyBundle, interface: Interface, policy: OnnxPolicy, rows: int = 64, seed: int = 0
) -> float:
    """Return the greatest difference between an exported policy and the torch policy, as :data:`TOLERANCE` has it.

    Random and extreme observations are played one step from random memories, feedback and tasks.

    Raises:
        InputError: If it exceeds the tolerance, or an action differs where its parameters leave no doubt.
    """
    inputs = probes(bundle.spec, interface, rows, seed)
    expected, found = torch_step(bundle, inputs), policy.step(inputs)
    worst = 0.0
    for name, wanted in expected.items():
        if found[name].shape != wanted.shape or found[name].dtype != wanted.dtype:
            raise InputError(
                f"the exported policy's {name!r} is {found[name].dtype} {found[name].shape}, the torch policy's "
                f"{wanted.dtype} {wanted.shape}; this is a fault of the exporter, nothing was written"
            )
        if name != ports.ACTION:
            worst = max(worst, _difference(found[name], wanted))
    if not worst <= TOLERANCE:
        raise InputError(
            f"the exported policy differs from the torch policy by {worst:.1e}, more than {TOLERANCE:.0e}; this is a "
            "fault of the exporter, nothing was written"
        )
    if _other_actions(bundle.spec, found[ports.ACTION], expected).any():
        raise InputError(
            "the exported policy takes other actions than the torch policy; this is a fault of the exporter, nothing "
            "was written"
        )
    return worst


def probes(spec: ModuleSpec, interface: Interface, rows: int, seed: int) -> dict[str, NDArray[Any]]:
    """Return inputs of N or more rows: normal numbers of several sizes, zeros, 1e6, the space's bounds."""
    rng = np.random.default_rng(seed)
    obs = _observations(spec, rng, rows)
    count = len(obs)
    inputs: dict[str, NDArray[Any]] = {ports.OBSERVATION: obs}
    for port in interface.inputs[1:]:
        sizes = (count, *(axis for axis in port.shape if isinstance(axis, int)))
        inputs[port.name] = _drawn(spec, port, sizes, rng)
    for name, start in starting_inputs(interface, count).items():
        inputs[name][::2] = start[::2]
    return inputs


def torch_step(bundle: PolicyBundle, inputs: Values) -> dict[str, NDArray[Any]]:
    """Return what the torch policy says to an exported policy's inputs, by the names of its outputs."""
    module, spec = from_bundles([bundle]), bundle.spec
    obs = inputs[ports.OBSERVATION]
    memory = torch.from_numpy(inputs[ports.STATE_IN])[None] if ports.STATE_IN in inputs else module.start_memory(1)
    with torch.inference_mode():
        read = torch.from_numpy(append(obs[None], _columns(spec, inputs)))
        logits, after = module.step(read, memory)
        action = module.head.to_env(module.head.greedy(logits).numpy())[0]
        outputs = {ports.ACTION: action}
        if isinstance(module.head, GaussianHead):
            mean, log_std = module.head.moments(logits)
            shape = (len(obs), *module.head.action_shape)
            outputs |= {ports.MEAN: mean.reshape(shape).numpy(), ports.LOG_STD: log_std.reshape(shape).numpy()}
        else:
            name = ports.ACTION_VALUES if spec.kind == "q" else ports.LOGITS
            flat = isinstance(spec.action_space, spaces.Discrete)
            outputs[name] = (logits[0] if flat else logits[0].reshape(len(obs), *module.head.action_shape)).numpy()
    return outputs | ({ports.STATE_OUT: after[0].numpy()} if module.memory_size else {})


def _columns(spec: ModuleSpec, inputs: Values) -> NDArray[np.float32]:
    """Return the extras of rows as a torch policy reads them, [1, N, C]."""
    rows = len(inputs[ports.OBSERVATION])
    parts = [np.zeros((1, rows, 0), np.float32)]
    if spec.extras.feedback:
        feedback = Feedback(spec, (1, rows))
        feedback.take(inputs[ports.LAST_ACTION][None], inputs[ports.LAST_REWARD][None])
        feedback.mark(inputs[ports.EPISODE_ENDED][None], np.zeros((1, rows), np.bool_))
        parts.append(feedback.columns[..., : spec.extras.feedback_columns])
    if spec.extras.noise:
        parts.append(inputs[ports.NOISE][None])
    if spec.extras.task == "number":
        parts.append(inputs[ports.TASK_NUMBER][None, :, None].astype(np.float32))
    if spec.extras.task == "context":
        parts.append(inputs[ports.CONTEXT][None])
    return np.concatenate(parts, axis=-1)


def _observations(spec: ModuleSpec, rng: np.random.Generator, rows: int) -> NDArray[np.float32]:
    space = spec.observation_space
    assert isinstance(space, spaces.Box)
    sizes = rng.choice([0.1, 1.0, 30.0], (rows, *(1,) * len(space.shape)))
    low, high = (np.clip(bound, -_LARGEST, _LARGEST).astype(np.float64) for bound in (space.low, space.high))
    extreme = [np.zeros(space.shape), low, high, np.full(space.shape, -_LARGEST), np.full(space.shape, _LARGEST)]
    obs = np.concatenate([rng.standard_normal((rows, *space.shape)) * sizes, np.stack(extreme)]).astype(np.float32)
    if spec.kind == "entity":
        obs[..., 0] = np.arange(space.shape[0]) < np.arange(len(obs))[:, None] % (space.shape[0] + 1)
        obs *= obs[..., :1]
    return obs


def _drawn(spec: ModuleSpec, port: ports.Port, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[Any]:
    """Return random values of an input beside the observation."""
    if port.name == ports.TASK_NUMBER:
        return rng.integers(-1, int(spec.model.get("tasks", 8)) + 1, shape)
    if port.name == ports.LAST_ACTION and isinstance(spec.action_space, spaces.Discrete):
        return int(spec.action_space.start) + rng.integers(0, int(spec.action_space.n), shape)
    if port.dtype in ("bool", "int8"):
        return rng.integers(0, 2, shape).astype(port.dtype)
    drawn = rng.standard_normal(shape).astype(port.dtype)
    return np.abs(drawn) if port.name == ports.STATE_IN and spec.kind == "latent" else drawn


def _difference(found: NDArray[Any], wanted: NDArray[Any]) -> float:
    """Return the greatest difference of rows [N, ..], each relative to its greatest number."""
    apart = np.abs(found.astype(np.float64) - wanted).reshape(len(wanted), -1).max(axis=1, initial=0.0)
    return float((apart / _largest(wanted)).max())


def _other_actions(spec: ModuleSpec, found: NDArray[Any], expected: Values) -> NDArray[np.bool_]:
    """Return which rows' actions differ by more than the tolerance on their parameters explains, [N]."""
    wanted = expected[ports.ACTION]
    apart = np.abs(found.astype(np.float64) - wanted).reshape(len(wanted), -1).max(axis=1)
    if ports.MEAN in expected:
        return np.asarray(apart > TOLERANCE * _largest(expected[ports.MEAN]))
    logits = expected[ports.ACTION_VALUES if spec.kind == "q" else ports.LOGITS]
    flat, least = logits.reshape(len(logits), -1), 2.0 * TOLERANCE * _largest(logits)
    if isinstance(spec.action_space, spaces.MultiBinary):
        return np.asarray((apart > 0) & (np.abs(flat).min(axis=1) > least))
    ordered = np.sort(flat, axis=1)
    lead = ordered[:, -1] - ordered[:, -2] if flat.shape[1] > 1 else np.full(len(flat), np.inf)
    return np.asarray((apart > 0) & (lead > least))


def _largest(values: NDArray[Any]) -> NDArray[np.float64]:
    """Return the greatest magnitude of each row [N, ..], at least 1."""
    greatest = np.abs(values.astype(np.float64)).reshape(len(values), -1).max(axis=1, initial=0.0)
    return np.asarray(np.maximum(greatest, 1.0))
