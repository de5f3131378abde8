"""Stacked dense networks with a gradient written out: a third of autograd's calls, and buffers used again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from roamrl.algorithms.population.modules.layout import Layout

Activation = Literal["tanh", "relu", "silu"]
Named = Mapping[str, Tensor]


@dataclass(frozen=True)
class Nonlinearity:
    """An activation and its derivative, both allowed to overwrite their first argument.

    Attributes:
        apply: From pre-activation to activation.
        backward: From the gradient of the activation, and what is kept, to that of the pre-activation.
        plain: From pre-activation to activation, overwriting nothing.
        keeps_input: Whether the derivative is taken from the pre-activation instead of the activation.
    """

    apply: Callable[[Tensor], Tensor]
    backward: Callable[[Tensor, Tensor], Tensor]
    plain: Callable[[Tensor], Tensor]
    keeps_input: bool = False


_aten = torch.ops.aten
NONLINEARITIES: Mapping[Activation, Nonlinearity] = {
    "tanh": Nonlinearity(
        torch.tanh_, lambda gradient, kept: _aten.tanh_backward(gradient, kept, grad_input=gradient), torch.tanh
    ),
    "relu": Nonlinearity(
        torch.relu_, lambda gradient, kept: _aten.threshold_backward(gradient, kept, 0, grad_input=gradient), torch.relu
    ),
    "silu": Nonlinearity(
        torch.nn.functional.silu,
        lambda gradient, kept: _aten.silu_backward(gradient, kept, grad_input=gradient),
        torch.nn.functional.silu,
        keeps_input=True,
    ),
}


@dataclass(frozen=True)
class Net:
    """A stack of hidden layers with output layers on top.

    Attributes:
        hidden: Names of the hidden layers; each has a ``.weight`` [p, in, out] and a ``.bias`` [p, out].
        outputs: Names of the output layers, all fed by the last hidden layer.
        activation: What follows each hidden layer.
    """

    hidden: tuple[str, ...]
    outputs: tuple[str, ...]
    activation: Activation

    def features(self, inputs: Tensor, named: Named) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Return the last activations [p, n, H], all activations, and what their derivatives are taken from."""
        rule = NONLINEARITIES[self.activation]
        activations, kept = [], []
        for layer in self.hidden:
            inputs = torch.baddbmm(named[f"{layer}.bias"][:, None], inputs, named[f"{layer}.weight"])
            if rule.keeps_input:
                kept.append(inputs)
            inputs = rule.apply(inputs)
            activations.append(inputs)
        return inputs, activations, kept if rule.keeps_input else activations


def output(features: Tensor, named: Named, layer: str) -> Tensor:
    """Return an output layer of features [p, n, H], transposed: [p, A, n].

    Softmax over a middle axis is vectorised; over a last axis of a dozen numbers it is twenty times slower.
    """
    return torch.baddbmm(named[f"{layer}.bias"][:, :, None], named[f"{layer}.weight"].mT, features.mT)


def dense_outputs(inputs: Tensor, weights: Tensor, layout: Layout, nets: Sequence[Net]) -> tuple[Tensor, ...]:
    """Return all output layers of some nets, each [p, A, n].

    Args:
        inputs: [p, n, O]; gets no gradient.
        weights: [p, D]; gets a gradient, once (not twice) differentiable.
        layout: Where the nets' parameters lie in a row of weights.
        nets: The nets.
    """
    result: tuple[Tensor, ...] = _DenseNets.apply(inputs, weights, layout, tuple(nets))
    return result


def differentiable_outputs(inputs: Tensor, weights: Tensor, layout: Layout, nets: Sequence[Net]) -> tuple[Tensor, ...]:
    """Return what :func:`dense_outputs` returns by torch's own operations, for a compiler to fuse.

    Products and biases stay apart: a compiler adds the bias together with what follows it.
    """
    named = layout.views(weights)
    outputs = []
    for net in nets:
        features = differentiable_features(inputs, named, net)
        outputs += [
            torch.bmm(named[f"{layer}.weight"].mT, features.mT) + named[f"{layer}.bias"][:, :, None]
            for layer in net.outputs
        ]
    return tuple(outputs)


def differentiable_features(inputs: Tensor, named: Named, net: Net) -> Tensor:
    """Return a net's last activations [p, n, H] by torch's own operations."""
    activation = NONLINEARITIES[net.activation].plain
    for layer in net.hidden:
        inputs = activation(torch.bmm(inputs, named[f"{layer}.weight"]) + named[f"{layer}.bias"][:, None])
    return inputs


class _DenseNets(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: FunctionCtx, inputs: Tensor, weights: Tensor, layout: Layout, nets: tuple[Net, ...]
    ) -> tuple[Tensor, ...]:
        named = layout.views(weights)
        outputs, saved = [], []
        for net in nets:
            features, activations, kept = net.features(inputs, named)
            outputs += [output(features, named, layer) for layer in net.outputs]
            saved += [*activations, *kept]
        ctx.save_for_backward(inputs, weights, *saved)
        ctx.layout, ctx.nets = layout, nets  # type: ignore[attr-defined]
        return tuple(outputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        inputs, weights, *saved = ctx.saved_tensors
        named = ctx.layout.views(weights)
        result = torch.zeros_like(weights)
        filled = ctx.layout.views(result)
        outer, inner = iter(gradients), iter(saved)
        for net in ctx.nets:
            activations = [next(inner) for _ in net.hidden]
            kept = [next(inner) for _ in net.hidden]
            gradient = _through_outputs(net, activations[-1], [next(outer) for _ in net.outputs], named, filled)
            _through_hidden(net, [inputs, *activations], kept, gradient, named, filled)
        return None, result, None, None


def _through_outputs(net: Net, features: Tensor, gradients: Sequence[Tensor], named: Named, filled: Named) -> Tensor:
    """Fill the output layers' gradients and return that of the features."""
    total: Tensor | None = None
    for layer, gradient in zip(net.outputs, gradients, strict=True):
        torch.bmm(features.mT, gradient.mT, out=filled[f"{layer}.weight"])
        torch.sum(gradient, dim=2, out=filled[f"{layer}.bias"])
        weight = named[f"{layer}.weight"].mT
        total = torch.bmm(gradient.mT, weight) if total is None else total.baddbmm_(gradient.mT, weight)
    assert total is not None
    return total


def _through_hidden(
    net: Net, inputs: Sequence[Tensor], kept: Sequence[Tensor], gradient: Tensor, named: Named, filled: Named
) -> None:
    """Fill the hidden layers' gradients, from the last to the first; ``gradient`` is used up."""
    rule = NONLINEARITIES[net.activation]
    for number in reversed(range(len(net.hidden))):
        layer = net.hidden[number]
        gradient = rule.backward(gradient, kept[number])
        torch.bmm(inputs[number].mT, gradient, out=filled[f"{layer}.weight"])
        torch.sum(gradient, dim=1, out=filled[f"{layer}.bias"])
        if number:
            gradient = torch.bmm(gradient, named[f"{layer}.weight"].mT)
