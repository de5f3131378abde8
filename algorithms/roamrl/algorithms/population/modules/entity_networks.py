"""What an ``entity`` module computes: the same network for every entity, what they tell each other, and the outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional

from roamrl.algorithms.population.distributions import NEVER, ActionHead, BernoulliHead
from roamrl.algorithms.population.modules.dense import NONLINEARITIES, Activation, Named
from roamrl.algorithms.population.modules.layout import Layout, Slot
from roamrl.algorithms.population.modules.mlp import MLPConfig, dense_slots, hidden_slots
from roamrl.algorithms.population.modules.set_functions import (
    Attend,
    attention,
    explicit_attention,
    fused_attention,
    max_of_others,
    mean_of_others,
    pooled_mean,
)
from roamrl.envs.errors import InputError, unknown_name

Interaction = Literal["none", "deepsets", "attention"]


@dataclass(frozen=True)
class EntityConfig:
    """Settings of an ``entity`` module.

    Attributes:
        body: Hidden layers of an entity's embedding, activation, normalisation, as of an ``mlp``; what reads the
            embeddings of several entities is one more layer of the last width.
        interaction: What an entity's action depends on beside its own row: nothing (decentralised execution), the mean
            and the greatest of the others' embeddings, or attention to them.
        attention_heads: Heads of the attention.
    """

    body: MLPConfig
    interaction: Interaction = "none"
    attention_heads: int = 2

    @classmethod
    def from_json(cls, model: Mapping[str, Any]) -> EntityConfig:
        """Check a spec's ``model``.

        Raises:
            InputError: If a key is unknown or a value is out of its range.
        """
        own = {name: model[name] for name in ("interaction", "attention_heads") if name in model}
        known = {*MLPConfig.__dataclass_fields__, "interaction", "attention_heads"}
        for name in model:
            if name not in known:
                raise unknown_name("entity setting", str(name), known)
        config = cls(MLPConfig.from_json({name: value for name, value in model.items() if name not in own}), **own)
        if config.interaction not in get_args(Interaction):
            raise unknown_name("interaction", str(config.interaction), get_args(Interaction))
        heads, width = config.attention_heads, config.body.hidden[-1]
        if isinstance(heads, bool) or not isinstance(heads, int) or heads < 1:
            raise InputError(f"attention has at least one head, got attention_heads {heads!r}")
        if config.interaction == "attention" and width % heads:
            raise InputError(
                f"the last hidden layer's {width} units cannot be shared among {heads} attention heads; set "
                "attention_heads to one of its divisors"
            )
        return config


@dataclass(frozen=True)
class Cells:
    """What the networks read.

    Attributes:
        features: Rows of all entities, [P, N * E, F], without the column that says who is present.
        presence: 1 for those present, 0 for absent ones, [P, N, E].
        sizes: log(1 + number of those present), [P, N, 1].
    """

    features: Tensor
    presence: Tensor
    sizes: Tensor

    @classmethod
    def of(cls, prepared: Tensor) -> Cells:
        """Take prepared observations [P, N, E, 1 + F] apart."""
        presence = prepared[..., 0].contiguous()
        features = prepared[..., 1:].reshape(prepared.shape[0], -1, prepared.shape[3] - 1)
        return cls(features, presence, presence.sum(dim=-1, keepdim=True).log1p())

    def by_cell(self, rows: Tensor) -> Tensor:
        """Return rows of entities [P, N * E, H] as [P, N, E, H]."""
        return rows.unflatten(1, self.presence.shape[1:])


@dataclass(frozen=True)
class Arithmetic:
    """How dense layers and attention are computed.

    Attributes:
        add_product: From b, x [p, n, I] and W [p, I, H] to b + x W.
        activation: From pre-activation to activation.
        attend: What computes the heads of an attention.
    """

    add_product: Callable[[Tensor, Tensor, Tensor], Tensor]
    activation: Callable[[Tensor], Tensor]
    attend: Attend

    @classmethod
    def in_place(cls, activation: Activation) -> Arithmetic:
        """Return what takes the fewest calls and buffers; it can be differentiated once."""
        return cls(torch.baddbmm, NONLINEARITIES[activation].apply, fused_attention)

    @classmethod
    def fusible(cls, activation: Activation) -> Arithmetic:
        """Return what a compiler can fuse with what follows, and what has derivatives of any order."""
        return cls(_product_plus_base, NONLINEARITIES[activation].plain, explicit_attention)

    def layer(self, named: Named, name: str, *inputs: Tensor) -> Tensor:
        """Return a dense layer, before its activation, of inputs [p, n, I_k] that stand side by side."""
        result = named[f"{name}.bias"][:, None]
        weights = named[f"{name}.weight"].split([part.shape[-1] for part in inputs], dim=1)
        for part, weight in zip(inputs, weights, strict=True):
            result = self.add_product(result, part, weight)
        return result


def _product_plus_base(base: Tensor, inputs: Tensor, weight: Tensor) -> Tensor:
    return torch.bmm(inputs, weight) + base


@dataclass(frozen=True)
class EntityNetworks:
    """Actor and critic on prepared observations [p, N, E, 1 + F]; it holds no weights.

    An entity's embedding is that of its own row. The actor reads it alone or with what the others tell; where actions
    are one choice an entity, each gets its logit from there, otherwise the cell gets its logits from the pooled
    embeddings. The critic always reads the pooled embeddings of all.

    Attributes:
        config: Settings.
        layout: Where parameters lie.
        head: How logits become actions.
        arithmetic: How dense layers and attention are computed.
    """

    config: EntityConfig
    layout: Layout
    head: ActionHead
    arithmetic: Arithmetic

    def logits_and_values(self, prepared: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits [p, N, A] and standardised values [p, N]; A is E, or what the cell's own action takes."""
        cells, named = Cells.of(prepared), self.layout.views(weights)
        actors = self._embed(cells, named, "actor")
        critics = actors if self.config.body.shared_trunk else self._embed(cells, named, "critic")
        return self._logits(cells, actors, named), self._values(cells, critics, named)

    def logits(self, prepared: Tensor, weights: Tensor) -> Tensor:
        """Return logits [p, N, A]."""
        cells, named = Cells.of(prepared), self.layout.views(weights)
        return self._logits(cells, self._embed(cells, named, "actor"), named)

    def values(self, prepared: Tensor, weights: Tensor) -> Tensor:
        """Return standardised values [p, N]."""
        cells, named = Cells.of(prepared), self.layout.views(weights)
        return self._values(cells, self._embed(cells, named, "critic"), named)

    def _embed(self, cells: Cells, named: Named, net: str) -> Tensor:
        """Return embeddings [p, N * E, H] of the entities' own rows."""
        rows, net = cells.features, "trunk" if self.config.body.shared_trunk else net
        for layer in range(len(self.config.body.hidden)):
            rows = self.arithmetic.activation(self.arithmetic.layer(named, f"{net}.{layer}", rows))
        return rows

    def _logits(self, cells: Cells, embeddings: Tensor, named: Named) -> Tensor:
        if self.config.interaction != "none":
            embeddings = self._joined(cells, embeddings, named)
        if isinstance(self.head, BernoulliHead):
            own = cells.by_cell(self.arithmetic.layer(named, "actor.head", embeddings))[..., 0]
            return own.masked_fill(cells.presence == 0.0, NEVER)
        pooled = self._pooled(cells, embeddings, named, "actor.pooled")
        logits = self._output(pooled, named, "actor.head")
        return self.head.with_log_std(logits, named["actor.log_std"]) if self.head.log_stds else logits

    def _values(self, cells: Cells, embeddings: Tensor, named: Named) -> Tensor:
        pooled = self._pooled(cells, embeddings, named, "critic.pooled")
        return self._output(pooled, named, "critic.head")[..., 0]

    def _joined(self, cells: Cells, embeddings: Tensor, named: Named) -> Tensor:
        """Return [p, N * E, H]: each entity's embedding together with what the others tell it."""
        if self.config.interaction == "deepsets":
            own = cells.by_cell(embeddings)
            told = [pool(own, cells.presence).flatten(1, 2) for pool in (mean_of_others, max_of_others)]
        else:
            asked = cells.by_cell(torch.bmm(embeddings, named["actor.attention.weight"]))
            queries, keys, values = asked.chunk(3, dim=-1)
            heads, attend = self.config.attention_heads, self.arithmetic.attend
            told = [attention(queries, keys, values, cells.presence, heads, attend).flatten(1, 2)]
        sizes = cells.sizes[:, :, None].expand(-1, -1, cells.presence.shape[2], -1).flatten(1, 2)
        return self.arithmetic.activation(self.arithmetic.layer(named, "actor.joint", embeddings, *told, sizes))

    def _pooled(self, cells: Cells, embeddings: Tensor, named: Named, layer: str) -> Tensor:
        """Return one more layer [p, N, H] of what all embeddings come to and how many they are."""
        mean = pooled_mean(cells.by_cell(embeddings), cells.presence)
        return self.arithmetic.activation(self.arithmetic.layer(named, layer, mean, cells.sizes))

    def _output(self, features: Tensor, named: Named, layer: str) -> Tensor:
        """Return an output layer [p, N, A]; its memory lies as [p, A, N], as softmax likes it."""
        weight, bias = named[f"{layer}.weight"], named[f"{layer}.bias"]
        return self.arithmetic.add_product(bias[:, :, None], weight.mT, features.mT).mT


def entity_slots(config: EntityConfig, features: int, head: ActionHead) -> list[Slot]:
    """Return the slots of an entity module on rows of so many features (presence apart)."""
    width = config.body.hidden[-1]
    slots = hidden_slots(config.body, features)
    if config.interaction == "deepsets":
        slots += dense_slots("actor.joint", 3 * width + 1, width, trunk=True)
    elif config.interaction == "attention":
        slots.append(Slot("actor.attention.weight", (width, 3 * width), trunk=True))  # softmax ignores a bias of keys
        slots += dense_slots("actor.joint", 2 * width + 1, width, trunk=True)
    each = isinstance(head, BernoulliHead)
    if not each:
        slots += dense_slots("actor.pooled", width + 1, width, trunk=True)
    slots += dense_slots("actor.head", width, 1 if each else head.outputs, trunk=False)
    if head.log_stds:
        slots.append(Slot("actor.log_std", (head.log_stds,), trunk=False))
    slots += dense_slots("critic.pooled", width + 1, width, trunk=True)
    return slots + dense_slots("critic.head", width, 1, trunk=False)


def fill_absent(logits: Tensor, head: ActionHead, entities: int) -> Tensor:
    """Return logits of one choice an entity with as many entities as the space has; the others never act."""
    if not isinstance(head, BernoulliHead) or logits.shape[-1] == entities:
        return logits
    return functional.pad(logits, (0, entities - logits.shape[-1]), value=NEVER)


def without_absent(rows: Tensor) -> Tensor:
    """Return a view of rows [P, N, E, O] without the last entities that are absent from every cell; at least one."""
    there = (rows[..., 0] > 0.0).flatten(0, 1).any(dim=0).nonzero()
    return rows[:, :, : int(there[-1]) + 1 if len(there) else 1]
