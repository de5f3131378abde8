"""The gradient of the loss as one compiled program: forward, loss, backward and statistics fused by torch.compile.

What it costs: with actor and critic of two hidden layers each, a program that this machine has not compiled before
takes 45 s of one core, most of it g++ (50 to 95 s by the clock on a core shared with other work); one that another
process left in the cache takes 6 s (17 s on a busy core), and further ones 1 s each. A program is made for each shape
of a block: one a phase, or more where its minibatches differ by a row or its members cannot be cut into blocks of one
size.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from roamrl.algorithms.learner_spec import PPOSettings
from roamrl.algorithms.population.distributions import ActionHead
from roamrl.algorithms.population.gradient import LOSS_STATISTICS, BlockGradient
from roamrl.algorithms.population.losses import LossWeights, Minibatch, surrogate_loss
from roamrl.algorithms.population.modules.stacked import Evaluate, StackedModule
from roamrl.envs.errors import InputError

BACKEND = "inductor"
"""The compiler behind ``torch.compile``."""

_SHAPES = 64
_programs: dict[tuple[str, str, float], BlockGradient] = {}


def compiled_gradient(module: StackedModule, ppo: PPOSettings) -> BlockGradient:
    """Return what :func:`~roamrl.algorithms.population.gradient.plain_gradient` returns, compiled.

    Equal to it up to rounding. The program belongs to the module's spec, not to its members: learners of one spec in a
    process share it, and processes share compiled code in ``TORCHINDUCTOR_CACHE_DIR``, unless set the folder
    ``inductor`` of ``ROAMRL_CACHE`` (else of ``~/.cache/roamrl``).

    Raises:
        InputError: On the first call with rows of a new shape, if compiling fails, as without a C++ compiler.
    """
    key = (BACKEND, json.dumps(module.spec.to_json(), sort_keys=True), ppo.value_coeff)
    if key not in _programs:
        _programs[key] = _program(module.differentiable(), module.head, ppo.value_coeff)
    return _programs[key]


def _program(evaluate: Evaluate, head: ActionHead, value_coeff: float) -> BlockGradient:
    def summed_loss(weights: Tensor, columns: tuple[Tensor, ...], by: LossWeights) -> tuple[Tensor, Tensor]:
        rows = Minibatch(*columns)
        logits, values = evaluate(rows.prepared, weights)
        logp, entropies = head.differentiable_log_prob_and_entropy(logits, rows.actions)
        imitation = None if rows.imitation is None else head.cross_entropy(rows.imitation, logits)
        loss, parts = surrogate_loss(logp, entropies, values, imitation, rows, by, value_coeff)
        return loss.sum(), torch.stack([loss.detach(), *(parts[name] for name in LOSS_STATISTICS[1:])])

    compiled = _compile(torch.func.grad(summed_loss, has_aux=True))

    def gradient(weights: Tensor, rows: Minibatch, by: LossWeights) -> tuple[Tensor, Tensor]:
        try:
            with torch.no_grad():
                return compiled(weights.detach(), rows.columns, by)
        except _compiler_errors() as error:
            raise InputError(_explanation(error)) from error

    return gradient


def _compile(function: Callable[..., tuple[Tensor, Tensor]]) -> Callable[..., tuple[Tensor, Tensor]]:
    root = os.environ.get("ROAMRL_CACHE")
    folder = Path(root) if root else Path.home() / ".cache" / "roamrl"
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(folder / "inductor"))
    options = {"cpp.use_decompose_tanh": True} if BACKEND == "inductor" else None
    compiler: Any = torch.compile  # its overloads lack the last two settings
    compiled: Callable[..., tuple[Tensor, Tensor]] = compiler(
        function,
        fullgraph=True,
        dynamic=False,
        backend=BACKEND,
        options=options,
        recompile_limit=_SHAPES,
        isolate_recompiles=True,
    )
    return compiled


def _compiler_errors() -> tuple[type[Exception], ...]:
    """Return what a failing compilation raises; imported late, since the compiler takes seconds to import."""
    from torch._dynamo.exc import FailOnRecompileLimitHit, TorchDynamoException
    from torch._inductor.exc import CppCompileError, InvalidCxxCompiler

    return TorchDynamoException, FailOnRecompileLimitHit, CppCompileError, InvalidCxxCompiler


def _explanation(error: Exception) -> str:
    reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return (
        f"the loss could not be compiled ({reason[:300]}): on a CPU this needs a C++ compiler (g++ or clang++, or the "
        "one that CXX names) and Python's headers, on CUDA Triton; install them, or set 'compiled: false' under 'ppo'"
    )
