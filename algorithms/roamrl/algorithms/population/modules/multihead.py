"""Stacked multilayer perceptrons with output layers of each task: for the policy, for the value, or for both."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor, nn

from roamrl.algorithms.bundle import ModuleSpec, PolicyBundle
from roamrl.algorithms.extras import Extras
from roamrl.algorithms.population.by_task import TaskRows
from roamrl.algorithms.population.modules.dense import Net, differentiable_features
from roamrl.algorithms.population.modules.layout import Slot
from roamrl.algorithms.population.modules.mlp import MLPConfig, hidden_slots, make_nets, standardised, with_log_std
from roamrl.algorithms.population.modules.stacked import Evaluate, StackedModule
from roamrl.algorithms.population.modules.task_statistics import TaskStatistics
from roamrl.envs.errors import InputError, unknown_name

_EPSILON = 1e-8
_MOST_TASKS = 4096


@dataclass(frozen=True)
class MultiheadConfig(MLPConfig):
    """Settings of a ``multihead`` module beside those of an ``mlp``.

    Attributes:
        tasks: Tasks that have output layers of their own, K.
        actor_heads: Whether each task has its own output layer of the policy; otherwise all share one.
        critic_heads: Whether each task has its own output layer of the value and its own statistics of returns.
    """

    tasks: int = 1
    actor_heads: bool = True
    critic_heads: bool = True

    @classmethod
    def from_json(cls, model: Mapping[str, Any]) -> MultiheadConfig:
        """Check a spec's ``model``.

        Raises:
            InputError: If a key is unknown or a value is out of its range.
        """
        own = {name: model[name] for name in ("tasks", "actor_heads", "critic_heads") if name in model}
        known = [field.name for field in fields(cls)]
        for name in model:
            if name not in known:
                raise unknown_name("multihead setting", str(name), known)
        body = MLPConfig.from_json({name: value for name, value in model.items() if name not in own})
        config = cls(**asdict(body), **own)
        if isinstance(config.tasks, bool) or not isinstance(config.tasks, int) or not 1 <= config.tasks <= _MOST_TASKS:
            raise InputError(f"a multihead module has heads for 1 to {_MOST_TASKS} tasks, got {config.tasks!r}")
        for name in ("actor_heads", "critic_heads"):
            if not isinstance(getattr(config, name), bool):
                raise InputError(f"the multihead setting {name!r} is true or false, got {getattr(config, name)!r}")
        return config


class StackedMultihead(StackedModule):
    """P multilayer perceptrons that read the number of the task and end in that task's own output layers.

    A task without a number (-1) gets the mean of all heads. With ``critic_heads`` the returns of each task are
    standardised by statistics of their own, and each update of these rescales the task's output layer so that what it
    says in units of return stays the same (PopArt: van Hasselt et al., NIPS 2016; Hessel et al., AAAI 2019).
    """

    returns: TaskStatistics  # type: ignore[assignment]

    def __init__(self, spec: ModuleSpec, members: int) -> None:
        if not isinstance(spec.observation_space, spaces.Box):
            raise InputError(f"the module kind 'multihead' reads Box observations, got {spec.observation_space!r}")
        if spec.extras != Extras("number"):
            raise InputError(
                "the module kind 'multihead' reads the number of the task: give its spec extras=Extras('number')"
            )
        if len(spec.observation_space.shape) != 1:
            raise InputError(f"the module kind 'multihead' reads flat observations, got {spec.observation_space.shape}")
        self.config = MultiheadConfig.from_json(spec.model)
        self.observation_size = math.prod(spec.observation_space.shape)
        self.nets: tuple[Net, ...] = make_nets(self.config)
        super().__init__(spec, members, self._slots(spec), self.observation_size)
        self.returns = TaskStatistics(members, self.config.tasks if self.config.critic_heads else 1)

    def _slots(self, spec: ModuleSpec) -> list[Slot]:
        from roamrl.algorithms.population.distributions import action_head

        config, head = self.config, action_head(spec.action_space)
        heads = {"actor": config.actor_heads, "critic": config.critic_heads}
        outputs = {"actor": head.outputs, "critic": 1}
        slots = hidden_slots(config, self.observation_size)
        for net in ("actor", "critic"):
            count = config.tasks if heads[net] else 1
            slots.append(Slot(f"{net}.head.weight", (count, config.hidden[-1], outputs[net]), trunk=False))
            slots.append(Slot(f"{net}.head.bias", (count, outputs[net]), trunk=False))
            if net == "actor" and head.log_stds:
                slots.append(Slot("actor.log_std", (head.log_stds,), trunk=False))
        return slots

    @torch.no_grad()
    def initialise(self, member: int, generator: torch.Generator) -> None:
        """Draw orthogonal weights as an ``mlp`` does; every task's head is drawn for itself."""
        gains = {"actor.head.weight": 0.01, "critic.head.weight": 1.0}
        own = self._member_tensors(member)
        for slot in self.layout.slots:
            fresh = torch.zeros(slot.shape)
            if slot.name.endswith(".weight"):
                for matrix in fresh if fresh.ndim == 3 else (fresh,):
                    nn.init.orthogonal_(matrix, gains.get(slot.name, math.sqrt(2.0)), generator=generator)
            own[slot.name].copy_(fresh)

    def prepare(self, obs: Tensor) -> Tensor:
        """Standardise observations [P, N, O + 1]; the task's number stays as it is."""
        flat = obs.to(self.weights.dtype)
        if not self.config.normalise:
            return flat
        return torch.cat([standardised(flat[..., :-1], self.observations), flat[..., -1:]], dim=-1)

    def observe(self, obs: Tensor, held: Tensor | None = None) -> None:
        """Take observations [P, N, O + 1] into the running statistics, except for members that are held ([P] bool)."""
        if self.config.normalise:
            self.observations.update(obs[..., :-1], held)

    def evaluate(self, prepared: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits [p, N, A] and standardised values [p, N] of prepared observations [p, N, O + 1]."""
        return self._outputs(prepared, weights, ("actor", "critic"))

    def differentiable(self) -> Evaluate:
        """Refuse: what sorts rows by task has shapes that depend on the data.

        Raises:
            InputError: Always.
        """
        raise InputError("the module kind 'multihead' cannot be compiled; set 'compiled: false' under 'ppo'")

    def prepared_logits(self, prepared: Tensor) -> Tensor:
        """Return logits [P, N, A] of prepared observations [P, N, O + 1]."""
        return self._outputs(prepared, self.weights, ("actor",))[0]

    def prepared_values(self, prepared: Tensor) -> Tensor:
        """Return standardised values [P, N] of prepared observations [P, N, O + 1]."""
        return self._outputs(prepared, self.weights, ("critic",))[1]

    def _outputs(self, prepared: Tensor, weights: Tensor, asked: tuple[str, ...]) -> tuple[Tensor, Tensor]:
        named = self.layout.views(weights)
        inputs = prepared[..., :-1]
        tasks = task_numbers(prepared, self.config.tasks)
        rows = TaskRows.of(tasks, self.config.tasks + 1)
        features = {
            net: differentiable_features(inputs, named, self.nets[0 if net == "actor" else -1])
            for net in (asked if len(self.nets) > 1 else asked[:1])
        }
        found = []
        for net in ("actor", "critic"):
            if net not in asked:
                found.append(inputs.new_zeros(0))
                continue
            own = features.get(net, next(iter(features.values())))
            found.append(_head(own, named[f"{net}.head.weight"], named[f"{net}.head.bias"], rows))
        logits, values = found
        if "actor" in asked:
            logits = with_log_std(self.head, self.layout, logits, weights)
        return logits, values.squeeze(-1)

    def observe_returns(self, returns: Tensor, obs: Tensor, held: Tensor | None = None) -> None:
        """Take returns [P, N] into the statistics of their tasks; what the critic says in units of return stays."""
        before = self.returns.shift_and_scale(_EPSILON)
        self.returns.update(returns, self._return_tasks(obs), held)
        after = self.returns.shift_and_scale(_EPSILON)
        with torch.no_grad():
            named = self.layout.views(self.weights.detach())
            weight, bias = named["critic.head.weight"], named["critic.head.bias"]
            weight.mul_((before[1] / after[1])[..., None, None])
            bias.copy_((bias * before[1][..., None] + (before[0] - after[0])[..., None]) / after[1][..., None])

    def standardise_returns(self, returns: Tensor, obs: Tensor) -> Tensor:
        """Return the returns [P, N] of observations [P, N, O + 1] in the units of their tasks' critics."""
        shift, scale = self._by_row(obs)
        return (returns - shift) / scale

    def in_return_units(self, values: Tensor, obs: Tensor) -> Tensor:
        """Return the critics' values [P, N] of observations [P, N, O + 1] in units of return."""
        shift, scale = self._by_row(obs)
        return values * scale + shift

    def _return_tasks(self, obs: Tensor) -> Tensor:
        numbers = task_numbers(obs, self.config.tasks)
        return numbers if self.config.critic_heads else torch.zeros_like(numbers)

    def _by_row(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        shift, scale = self.returns.shift_and_scale(_EPSILON)
        if not self.config.critic_heads:
            return shift, scale
        known = [torch.cat([each, each.mean(dim=1, keepdim=True)], dim=1) for each in (shift, scale)]
        numbers = task_numbers(obs, self.config.tasks)
        return known[0].gather(1, numbers), known[1].gather(1, numbers)


def task_numbers(obs: Tensor, tasks: int) -> Tensor:
    """Return the task of each row from the last column, [P, N] int64; K stands for a task without a number."""
    numbers = obs[..., -1].long()
    return torch.where((numbers < 0) | (numbers >= tasks), tasks, numbers)


def _head(features: Tensor, weight: Tensor, bias: Tensor, rows: TaskRows) -> Tensor:
    """Return the output [p, n, A] of each row's own head, of weights [p, K, H, A]; the last task gets their mean."""
    if weight.shape[1] == 1:
        return torch.baddbmm(bias, features, weight[:, 0])
    weights = torch.cat([weight, weight.mean(dim=1, keepdim=True)], dim=1).flatten(0, 1)
    biases = torch.cat([bias, bias.mean(dim=1, keepdim=True)], dim=1).flatten(0, 1)
    return rows.collect(torch.baddbmm(biases[:, None], rows.spread(features), weights))


def single_head(bundle: PolicyBundle, task: int | None = None) -> PolicyBundle:
    """Return a multihead policy as an ``mlp``: with one task's heads, or with the mean of all.

    Args:
        bundle: A policy of kind ``multihead``.
        task: Number of the task; None for the mean of the policy's logits and of the values over all heads.

    Raises:
        InputError: If the policy is of another kind, or has no such task.
    """
    config = MultiheadConfig.from_json(bundle.spec.model)
    if bundle.spec.kind != "multihead":
        raise InputError(f"only a multihead policy has heads to choose from, got kind {bundle.spec.kind!r}")
    if task is not None and not 0 <= task < config.tasks:
        raise InputError(f"task {task} has no head: there are heads for tasks 0..{config.tasks - 1}")
    arrays: dict[str, NDArray[Any]] = dict(bundle.arrays)

    def chosen(name: str) -> slice:
        return slice(task, None if task is None else task + 1) if arrays[name].shape[0] > 1 else slice(None)

    for name in ("actor.head.weight", "actor.head.bias"):
        arrays[name] = arrays[name][chosen(name)].mean(axis=0, dtype=np.float32)
    own = chosen("critic.head.weight")
    mean, var = arrays["returns.mean"], arrays["returns.var"]
    shift, scale = (mean[own], np.sqrt(var[own] + _EPSILON)) if len(mean) > 1 else (mean, np.sqrt(var + _EPSILON))
    new_shift, new_var = shift.mean(), (scale**2).mean() + shift.var()
    new_scale = np.sqrt(new_var)
    weight, bias = arrays["critic.head.weight"][own], arrays["critic.head.bias"][own]
    arrays["critic.head.weight"] = ((weight * scale[:, None, None]).mean(axis=0) / new_scale).astype(np.float32)
    arrays["critic.head.bias"] = (
        ((bias * scale[:, None] + shift[:, None]).mean(axis=0) - new_shift) / new_scale
    ).astype(np.float32)
    arrays["returns.mean"] = np.array([new_shift])
    arrays["returns.var"] = np.array([new_var - _EPSILON])
    arrays["returns.count"] = np.asarray(arrays["returns.count"].sum())
    model = {field.name: getattr(config, field.name) for field in fields(MLPConfig)}
    spec = ModuleSpec("mlp", bundle.spec.observation_space, bundle.spec.action_space, model)
    return PolicyBundle(spec, arrays)
