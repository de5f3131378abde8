"""Stacked multilayer perceptrons that are told the task by its number: as one of K, or as a learned embedding."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

from roamrl.algorithms.bundle import ModuleSpec, PolicyBundle
from roamrl.algorithms.extras import Extras
from roamrl.algorithms.population.modules.dense import differentiable_outputs
from roamrl.algorithms.population.modules.layout import Slot
from roamrl.algorithms.population.modules.mlp import (
    MLPConfig,
    StackedMLP,
    make_nets,
    mlp_slots,
    standardised,
    with_log_std,
)
from roamrl.algorithms.population.modules.multihead import task_numbers
from roamrl.algorithms.population.modules.stacked import Evaluate, StackedModule
from roamrl.envs.errors import InputError, unknown_name

Code = Literal["one-hot", "embedding"]

_MOST = 4096
EMBEDDING = "task.embedding"
"""Name of the parameter that holds the tasks' learned codes."""


@dataclass(frozen=True)
class ConditionedConfig(MLPConfig):
    """Settings of a ``conditioned`` module beside those of an ``mlp``.

    Attributes:
        tasks: Tasks that have a code, K.
        code: One of K, or a learned vector.
        width: Numbers of a learned vector.
    """

    tasks: int = 1
    code: Code = "one-hot"
    width: int = 8

    @property
    def code_width(self) -> int:
        """Numbers by which the networks are told the task."""
        return self.tasks if self.code == "one-hot" else self.width

    @classmethod
    def from_json(cls, model: Mapping[str, Any]) -> ConditionedConfig:
        """Check a spec's ``model``.

        Raises:
            InputError: If a key is unknown or a value is out of its range.
        """
        known = [field.name for field in fields(cls)]
        for name in model:
            if name not in known:
                raise unknown_name("conditioned setting", str(name), known)
        own = {name: model[name] for name in ("tasks", "code", "width") if name in model}
        body = MLPConfig.from_json({name: value for name, value in model.items() if name not in own})
        config = cls(**asdict(body), **own)
        if config.code not in get_args(Code):
            raise unknown_name("task code", str(config.code), get_args(Code))
        for name in ("tasks", "width"):
            value = getattr(config, name)
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _MOST:
                raise InputError(f"the conditioned setting {name!r} is a whole number in 1..{_MOST}, got {value!r}")
        return config


class StackedConditioned(StackedMLP):
    """P multilayer perceptrons on flat observations and the code of the task.

    A task without a number (-1) gets the mean of all codes.
    """

    config: ConditionedConfig

    def __init__(self, spec: ModuleSpec, members: int) -> None:
        space = spec.observation_space
        if not isinstance(space, spaces.Box) or len(space.shape) != 1:
            raise InputError(f"the module kind 'conditioned' reads flat Box observations, got {space!r}")
        if spec.extras != Extras("number"):
            raise InputError(
                "the module kind 'conditioned' reads the number of the task: give its spec extras=Extras('number')"
            )
        self.config = ConditionedConfig.from_json(spec.model)
        self.observation_size = math.prod(space.shape)
        self.nets = make_nets(self.config)
        slots = mlp_slots(self.config, self.observation_size + self.config.code_width, spec)
        if self.config.code == "embedding":
            slots.append(Slot(EMBEDDING, (self.config.tasks, self.config.width), trunk=True))
        StackedModule.__init__(self, spec, members, slots, self.observation_size)

    @torch.no_grad()
    def initialise(self, member: int, generator: torch.Generator) -> None:
        """Draw orthogonal weights as an ``mlp`` does, and embeddings from a normal distribution of deviation 1."""
        super().initialise(member, generator)
        if self.config.code == "embedding":
            own = self._member_tensors(member)[EMBEDDING]
            own.copy_(torch.randn(own.shape, generator=generator))

    def prepare(self, obs: Tensor) -> Tensor:
        """Standardise observations [P, N, O + 1] and append the one-of-K code, [P, N, O + K]."""
        flat, codes = obs[..., :-1].to(self.weights.dtype), self.config.tasks
        numbers = task_numbers(obs, codes)
        known = torch.nn.functional.one_hot(numbers, codes + 1)[..., :codes].to(flat.dtype)
        code = torch.where((numbers == codes)[..., None], 1.0 / codes, known)
        shown = standardised(flat, self.observations) if self.config.normalise else flat
        return torch.cat([shown, code], dim=-1)

    def observe(self, obs: Tensor, held: Tensor | None = None) -> None:
        """Take observations [P, N, O + 1] into the running statistics, except for members that are held ([P] bool)."""
        if self.config.normalise:
            self.observations.update(obs[..., :-1], held)

    def evaluate(self, prepared: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits [p, N, A] and standardised values [p, N] of prepared observations [p, N, O + K]."""
        if self.config.code == "one-hot":
            return super().evaluate(prepared, weights)
        return self.differentiable()(prepared, weights)

    def differentiable(self) -> Evaluate:
        """Return :meth:`evaluate` by torch's own operations; it holds none of the members."""
        if self.config.code == "one-hot":
            return super().differentiable()
        nets, layout, head, size = self.nets, self.layout, self.head, self.observation_size

        def evaluate(prepared: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
            inputs = _embedded(prepared, layout.views(weights)[EMBEDDING], size)
            logits, values = differentiable_outputs(inputs, weights, layout, nets)
            return with_log_std(head, layout, logits.mT, weights), values.squeeze(1)

        return evaluate

    def prepared_logits(self, prepared: Tensor) -> Tensor:
        """Return logits [P, N, A] of prepared observations [P, N, O + K]."""
        return super().prepared_logits(self._inputs(prepared))

    def prepared_values(self, prepared: Tensor) -> Tensor:
        """Return standardised values [P, N] of prepared observations [P, N, O + K]."""
        return super().prepared_values(self._inputs(prepared))

    def _inputs(self, prepared: Tensor) -> Tensor:
        if self.config.code == "one-hot":
            return prepared
        return _embedded(prepared, self.layout.views(self.weights)[EMBEDDING], self.observation_size)


def _embedded(prepared: Tensor, embeddings: Tensor, size: int) -> Tensor:
    """Replace the one-of-K codes behind ``size`` numbers by their embeddings [p, K, width]."""
    return torch.cat([prepared[..., :size], torch.bmm(prepared[..., size:], embeddings)], dim=-1)


def for_a_new_task(bundle: PolicyBundle) -> PolicyBundle:
    """Return a conditioned policy as it meets a task that it has no code for.

    With embeddings it stays conditioned, on one task, whose embedding is the mean of those learned: what few episodes
    can change. With one-of-K codes it becomes an ``mlp``, the mean code taken into the biases of the first layers.

    Raises:
        InputError: If the policy is not a conditioned one.
    """
    if bundle.spec.kind != "conditioned":
        raise InputError(f"only a conditioned policy has task codes, got kind {bundle.spec.kind!r}")
    config = ConditionedConfig.from_json(bundle.spec.model)
    arrays: dict[str, NDArray[Any]] = dict(bundle.arrays)
    space, actions = bundle.spec.observation_space, bundle.spec.action_space
    if config.code == "embedding":
        arrays[EMBEDDING] = arrays[EMBEDDING].mean(axis=0, keepdims=True, dtype=np.float32)
        model = {**bundle.spec.model, "tasks": 1}
        return PolicyBundle(ModuleSpec("conditioned", space, actions, model, Extras("number")), arrays)
    size = math.prod(space.shape or ())
    for net in make_nets(config):
        weight, bias = f"{net.hidden[0]}.weight", f"{net.hidden[0]}.bias"
        arrays[bias] = arrays[bias] + arrays[weight][size:].mean(axis=0, dtype=np.float32)
        arrays[weight] = np.ascontiguousarray(arrays[weight][:size])
    body = {field.name: getattr(config, field.name) for field in fields(MLPConfig)}
    return PolicyBundle(ModuleSpec("mlp", space, actions, body), arrays)
