"""Stacked policies on a latent task variable that is inferred from the transitions of the trial so far.

Of n transitions c_i = (s, a, r, s') in the trial, the belief about the task is a product of independent Gaussian
factors and the prior N(0, I):

    q(z | c_1..n) = N(0, I) prod_i N(mu_i, 1 / lambda_i),  (mu_i, lambda_i) = f(c_i)
    precision = 1 + sum_i lambda_i,  mean = sum_i lambda_i mu_i / precision

(Rakelly et al., "Efficient off-policy meta-reinforcement learning via probabilistic context variables", ICML 2019, sec.
4.1; there the prior is no factor, and f gives variances). The order of the transitions does not matter. What a row
remembers is the two sums, so that a cumulative sum takes a recurrence's place, and the observation that the next
transition starts from. Actor and critic read z = mean + epsilon / sqrt(precision), with the episode's own epsilon of
:attr:`~roamrl.algorithms.extras.Extras.noise`: one draw from the belief an episode, narrowed as the episode goes on;
epsilon = 0, the belief's mean, where the policy acts greedily. s' of a transition that ended its episode is not known
and left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import torch
from gymnasium import spaces
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn import functional

from roamrl.algorithms.bundle import ModuleSpec
from roamrl.algorithms.feedback import raw_columns
from roamrl.algorithms.population.modules.dense import Net, differentiable_outputs
from roamrl.algorithms.population.modules.layout import Layout, Slot
from roamrl.algorithms.population.modules.memory import MemoryModule, Sequences
from roamrl.algorithms.population.modules.mlp import (
    MLPConfig,
    dense_slots,
    make_nets,
    mlp_slots,
    standardised,
    with_log_std,
)
from roamrl.envs.errors import InputError, unknown_name

_MOST = 64
_FIRST_PRECISION = math.log(math.expm1(0.05))
"""Bias of the factors' precisions: one transition at first says a twentieth of what the prior says."""


@dataclass(frozen=True)
class LatentConfig:
    """Settings of a ``latent`` module.

    Attributes:
        body: Hidden layers of actor and critic, activation, normalisation, as of an ``mlp``.
        latent: Numbers in z.
        encoder: Width of each hidden layer of f.
        kl_weight: Weight of KL(q || N(0, I)) in the loss, a mean over rows.
    """

    body: MLPConfig
    latent: int = 5
    encoder: tuple[int, ...] = (64, 64)
    kl_weight: float = 0.1

    @classmethod
    def from_json(cls, model: Mapping[str, Any]) -> LatentConfig:
        """Check a spec's ``model``.

        Raises:
            InputError: If a key is unknown or a value is out of its range.
        """
        own = {"latent", "encoder", "kl_weight"}
        body_names = {field.name for field in fields(MLPConfig)} - {"shared_trunk"}
        for name in model:
            if name not in own | body_names:
                raise unknown_name("latent setting", str(name), own | body_names)
        body = MLPConfig.from_json({name: value for name, value in model.items() if name in body_names})
        latent, weight = model.get("latent", cls.latent), model.get("kl_weight", cls.kl_weight)
        if isinstance(latent, bool) or not isinstance(latent, int) or not 1 <= latent <= _MOST:
            raise InputError(f"a latent variable has 1 to {_MOST} numbers, got {latent!r}")
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < math.inf:
            raise InputError(f"kl_weight is a number from 0, got {weight!r}")
        encoder = MLPConfig.from_json({"hidden": list(model.get("encoder", cls.encoder))}).hidden
        return cls(body, latent, encoder, float(weight))


class Belief(NamedTuple):
    """Beliefs about the task, one a row: mean and precision, [p, n, Z] each."""

    mean: Tensor
    precision: Tensor

    @classmethod
    def of(cls, sums: Tensor) -> Belief:
        """Return the beliefs after sums [p, n, 2Z] of precisions and of means weighed by them."""
        precisions, weighed = sums.chunk(2, dim=-1)
        return cls(weighed / (1.0 + precisions), 1.0 + precisions)

    def draw(self, noise: Tensor) -> Tensor:
        """Return z for standard normal noise [p, n, Z]."""
        return self.mean + noise * self.precision.rsqrt()

    def divergence(self) -> Tensor:
        """Return KL(q || N(0, I)), [p, n]."""
        return 0.5 * (self.mean.square() + 1.0 / self.precision - 1.0 + self.precision.log()).sum(dim=-1)


class StackedLatent(MemoryModule):
    """P policies on flat observations and an inferred latent variable.

    The encoder learns from the critic's loss, the policy's and the KL term. That term reaches the weights by their
    gradient; the loss that is reported is without it.
    """

    _raw: Tensor

    def __init__(self, spec: ModuleSpec, members: int) -> None:
        space, extras = spec.observation_space, spec.extras
        if not isinstance(space, spaces.Box) or len(space.shape) != 1:
            raise InputError(f"the module kind 'latent' reads flat Box observations, got {space!r}")
        self.config = LatentConfig.from_json(spec.model)
        latent = self.config.latent
        if not extras.feedback or extras.noise != latent:
            raise InputError(
                f"the module kind 'latent' infers {latent} numbers from feedback and draws them by noise: give it "
                f"with_feedback(spec, noise={latent}, trial_episodes=..)"
            )
        self.seen = space.shape[0]
        self.observation_size = spec.input_shape[0]
        self.told = extras.task_columns
        self.fed_back = extras.feedback_columns
        self.memory_size = 2 * latent + self.seen + 1
        encoder = tuple(f"encoder.{layer}" for layer in range(len(self.config.encoder)))
        self.encoder = Net(encoder, ("encoder.factors",), self.config.body.activation)
        self.nets = make_nets(self.config.body)
        super().__init__(spec, members, self._slots(spec), self.observation_size)
        self.register_buffer("_raw", torch.from_numpy(raw_columns(spec)), persistent=False)

    def _slots(self, spec: ModuleSpec) -> list[Slot]:
        config, slots = self.config, []
        inputs = 2 * self.seen + self.fed_back
        for layer, width, outputs in zip(self.encoder.hidden, (inputs, *config.encoder), config.encoder, strict=False):
            slots += dense_slots(layer, width, outputs, trunk=True)
        slots += dense_slots("encoder.factors", config.encoder[-1], 2 * config.latent, trunk=True)
        return slots + mlp_slots(config.body, self.seen + self.told + config.latent, spec)

    @torch.no_grad()
    def initialise(self, member: int, generator: torch.Generator) -> None:
        """Draw orthogonal weights: gain sqrt(2) in hidden layers, 0.01 for the policy, 1 for the value and the factors.

        Biases are zero, but those of the factors' precisions, which are small at first.
        """
        gains = {"actor.head.weight": 0.01, "critic.head.weight": 1.0, "encoder.factors.weight": 1.0}
        own = self._member_tensors(member)
        for slot in self.layout.slots:
            fresh = torch.zeros(slot.shape)
            if slot.name.endswith(".weight"):
                nn.init.orthogonal_(fresh, gains.get(slot.name, math.sqrt(2.0)), generator=generator)
            own[slot.name].copy_(fresh)
        own["encoder.factors.bias"][: self.config.latent] = _FIRST_PRECISION

    def prepare(self, obs: Tensor) -> Tensor:
        """Standardise what is read, [P, N, I], and clip it at 10 deviations; bits and noise stay as they are."""
        flat = obs.to(self.weights.dtype)
        if not self.config.body.normalise:
            return flat
        return torch.where(self._raw, flat, standardised(flat, self.observations))

    def observe(self, obs: Tensor, held: Tensor | None = None) -> None:
        """Take what was read, [P, N, I], into the running statistics, except for members that are held ([P] bool)."""
        if self.config.body.normalise:
            self.observations.update(obs, held)

    def belief(self, memory: Tensor) -> Belief:
        """Return what is believed of the task with memory [P, N, H]."""
        return Belief.of(memory[..., : 2 * self.config.latent])

    def step(self, obs: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits [P, N, A] of observations [P, N, I], and the memory [P, N, H] that they leave behind."""
        prepared = self.prepare(obs)
        memory = self._remember(prepared, memory)
        actor = self._outputs(prepared, self.belief(memory), self.weights, self.nets[:1])[0]
        return with_log_std(self.head, self.layout, actor.mT, self.weights), memory

    def step_values(self, obs: Tensor, memory: Tensor) -> Tensor:
        """Return values [P, N], in units of return, of observations [P, N, I] met with memory [P, N, H]."""
        prepared = self.prepare(obs)
        belief = self.belief(self._remember(prepared, memory))
        values = self._outputs(prepared, belief, self.weights, self.nets[1:])[0].squeeze(1)
        return self.in_return_units(values, obs)

    def evaluate(self, prepared: Any, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits [p, S * L, A] and standardised values [p, S * L] of :class:`Sequences`, weights [p, D]."""
        rows = prepared.inputs.flatten(1, 2)
        belief = Belief.of(self._sums(prepared, weights).flatten(1, 2))
        logits, values = self._outputs(rows, belief, weights, self.nets)
        penalty = self.config.kl_weight * belief.divergence().mean(dim=1)
        return with_log_std(self.head, self.layout, _penalised(logits, penalty).mT, weights), values.squeeze(1)

    @torch.no_grad()
    def unroll(self, sequences: Sequences) -> tuple[Tensor, Tensor]:
        """Return standardised values [P, S * L] and the memories after each step, [P, S, L, H]; without gradient."""
        rows = sequences.inputs.flatten(1, 2)
        sums = self._sums(sequences, self.weights)
        values = self._outputs(rows, Belief.of(sums.flatten(1, 2)), self.weights, self.nets[1:])[0]
        return values.squeeze(1), self._memory(sums, sequences.inputs)

    def _outputs(self, rows: Tensor, belief: Belief, weights: Tensor, nets: tuple[Net, ...]) -> tuple[Tensor, ...]:
        noise = self.seen + self.fed_back
        z = belief.draw(rows[..., noise : noise + self.config.latent])
        told = rows[..., noise + self.config.latent :]
        return differentiable_outputs(torch.cat([rows[..., : self.seen], told, z], dim=-1), weights, self.layout, nets)

    def _remember(self, prepared: Tensor, memory: Tensor) -> Tensor:
        """Return the memory [P, N, H] after reading [P, N, I]."""
        sums, before, known = self._parts(memory)
        factors = _factors(self._transitions(prepared, before), self.weights, self.layout, self.encoder)
        return self._memory(sums + known * factors, prepared)

    def _parts(self, memory: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the sums [.., 2Z], the observation last read [.., O], and whether there was one, [.., 1]."""
        sums, before, known = memory.split((2 * self.config.latent, self.seen, 1), dim=-1)
        return sums, before, known

    def _memory(self, sums: Tensor, prepared: Tensor) -> Tensor:
        """Return the memory of sums [.., 2Z] after reading [.., I]."""
        return torch.cat([sums, prepared[..., : self.seen], torch.ones_like(sums[..., :1])], dim=-1)

    def _transitions(self, prepared: Tensor, before: Tensor) -> Tensor:
        """Return what f reads of the transitions that led to what is read, [.., C]."""
        now, fed_back = prepared[..., : self.seen], prepared[..., self.seen : self.seen + self.fed_back]
        ended = fed_back[..., -1:]
        return torch.cat([before, fed_back, (1.0 - ended) * now], dim=-1)

    def _sums(self, sequences: Sequences, weights: Tensor) -> Tensor:
        """Return the sums over all transitions of the trial up to every step, [p, S, L, 2Z]."""
        inputs, starts = sequences.inputs, sequences.starts[..., None]
        first_sums, first_before, first_known = self._parts(sequences.memory)
        before = torch.cat([first_before[:, :, None], inputs[:, :, :-1, : self.seen]], dim=2)
        known = torch.cat([first_known[:, :, None], torch.ones_like(inputs[:, :, 1:, :1])], dim=2) * ~starts
        transitions = self._transitions(inputs, before)
        members, count, length, width = transitions.shape
        factors = _factors(transitions.reshape(members, count * length, width), weights, self.layout, self.encoder)
        totals = (known * factors.unflatten(1, (count, length))).cumsum(dim=2)
        steps = torch.arange(length, device=inputs.device).view(1, 1, -1, 1)
        began = torch.where(starts, steps, -1).cummax(dim=2).values
        dropped = totals.gather(2, began.clamp(min=0).expand_as(totals))
        return totals + torch.where(began < 0, first_sums[:, :, None], -dropped)


def _factors(transitions: Tensor, weights: Tensor, layout: Layout, encoder: Net) -> Tensor:
    """Return each transition's precisions and its means weighed by them, [p, n, 2Z], from what f reads, [p, n, C]."""
    (raw,) = differentiable_outputs(transitions, weights, layout, (encoder,))
    precisions, means = raw.mT.chunk(2, dim=-1)
    precisions = functional.softplus(precisions)
    return torch.cat([precisions, precisions * means], dim=-1)


def _penalised(logits: Tensor, penalty: Tensor) -> Tensor:
    """Return logits as they are, and add a penalty a member, [p], to whatever is minimised of them."""
    result: Tensor = _Penalty.apply(logits, penalty)
    return result


class _Penalty(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, logits: Tensor, penalty: Tensor) -> Tensor:
        ctx.save_for_backward(penalty)
        return logits.view_as(logits)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        (penalty,) = ctx.saved_tensors
        return gradient, torch.ones_like(penalty)
