"""Gated recurrent units of P members over whole sequences, with backpropagation through time written out.

    r_t = sigma(x^r_t + W_r h_t-1 + b_r),  z_t = sigma(x^z_t + W_z h_t-1 + b_z),
    n_t = tanh(x^n_t + r_t * (W_n h_t-1 + b_n)),  h_t = (1 - z_t) * n_t + z_t * h_t-1

(Cho et al., EMNLP 2014, in the form of ``torch.nn.GRU``, whose reset gate multiplies the product with the memory).
x_t = W_x o_t + b_x is linear in the step's input and is taken of all steps at once, before the recurrence.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable


def gru_step(gates: Tensor, memory: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return the memory after a step, [p, H, n].

    Args:
        gates: What the input adds to the gates r, z and n, [p, 3H, n].
        memory: The memory before, [p, H, n].
        weight: [p, H, 3H].
        bias: [p, 3H].
    """
    return _step(gates, memory, weight.mT, bias[:, :, None])[0]


def gru_scan(gates: Tensor, memory: Tensor, starts: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return the memories after every step, [L, p, H, s].

    Args:
        gates: What the inputs add to the gates r, z and n, [L, p, 3H, s]; gets a gradient.
        memory: The memory before the first step, [p, H, s]; gets none.
        starts: Whether the memory is zero before a step, [L, p, s] bool.
        weight: [p, H, 3H]; gets a gradient.
        bias: [p, 3H]; gets a gradient.
    """
    result: Tensor = _Scan.apply(gates, memory, starts, weight, bias)
    return result


def _step(gates: Tensor, memory: Tensor, turned: Tensor, bias: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the next memory, the gates r and z in one, n, and the memory's part of n before r."""
    size = memory.shape[1]
    own = torch.baddbmm(bias, turned, memory)
    both = torch.sigmoid(gates[:, : 2 * size] + own[:, : 2 * size])
    recalled = own[:, 2 * size :]
    new = torch.addcmul(gates[:, 2 * size :], both[:, :size], recalled).tanh_()
    return torch.lerp(new, memory, both[:, size:]), both, new, recalled


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: FunctionCtx, gates: Tensor, memory: Tensor, starts: Tensor, weight: Tensor, bias: Tensor
    ) -> Tensor:
        turned, column = weight.mT, bias[:, :, None]
        fresh = starts.flatten(1).any(dim=1).tolist()
        kept, befores, memories = [], [], []
        for step, own in enumerate(gates.unbind(0)):
            if fresh[step]:
                memory = memory.masked_fill(starts[step][:, None], 0.0)
            befores.append(memory)
            memory, *rest = _step(own, memory, turned, column)
            memories.append(memory)
            kept += rest
        ctx.save_for_backward(weight, starts, *befores, *kept)
        ctx.fresh = fresh  # type: ignore[attr-defined]
        return torch.stack(memories)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor | None, ...]:
        weight, starts, *saved = ctx.saved_tensors
        steps, size = len(ctx.fresh), weight.shape[1]
        befores, kept = saved[:steps], saved[steps:]
        of_inputs = weight.new_empty(steps, weight.shape[0], 3 * size, outer.shape[-1])
        of_own = torch.empty_like(of_inputs)
        gradient = torch.zeros_like(outer[0])
        for step in reversed(range(steps)):
            both, new, recalled = kept[3 * step : 3 * step + 3]
            reset, update = both[:, :size], both[:, size:]
            gradient = gradient + outer[step]
            through = torch.ops.aten.tanh_backward(gradient * (1.0 - update), new)
            mixed = torch.cat([through * recalled, gradient * (befores[step] - new)], dim=1)
            of_gates = torch.ops.aten.sigmoid_backward(mixed, both)
            of_inputs[step, :, : 2 * size] = of_gates
            of_inputs[step, :, 2 * size :] = through
            of_own[step, :, : 2 * size] = of_gates
            torch.mul(through, reset, out=of_own[step, :, 2 * size :])
            gradient = torch.baddbmm(gradient * update, weight, of_own[step])
            if ctx.fresh[step]:
                gradient = gradient.masked_fill(starts[step][:, None], 0.0)
        own = of_own.permute(1, 2, 0, 3).flatten(2)
        before = torch.stack(befores).permute(1, 2, 0, 3).flatten(2)
        return of_inputs, None, None, torch.bmm(before, own.mT), own.sum(dim=2)
