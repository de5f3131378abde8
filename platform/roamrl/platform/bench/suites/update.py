"""The update alone: its floating-point operations a second over those of bare ``torch.bmm`` on the same shapes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from roamrl.algorithms.learner_spec import LearnerSpec
from roamrl.algorithms.population.batch import build_batch
from roamrl.algorithms.population.fit import fit
from roamrl.algorithms.population.members import MemberHyper, start_population
from roamrl.algorithms.population.rollout import Rollout
from roamrl.platform.bench.measure import Row, compare, interleave
from roamrl.platform.bench.population import FAST, PLAIN, learner
from roamrl.platform.bench.settings import SHARED
from roamrl.platform.bench.suites import Effort
from roamrl.platform.bench.works import Work, toy_work

METRIC = "update FLOP/s/core"
MEMBERS, ENVS, LENGTH = 16, 16, 64
PLAIN_TARGET, COMPILED_TARGET = 0.35, 0.45


class Update:
    """Learns from the same rollout again and again."""

    def __init__(self, name: str, spec: LearnerSpec, rollout: Rollout) -> None:
        torch.set_num_threads(1)
        self.name = name
        self._module, self._optimiser = start_population(spec)
        self._hyper, self._ppo = MemberHyper.of(spec.members), spec.ppo
        self._batch = build_batch(self._module, rollout, spec.ppo)
        self._generator = torch.Generator().manual_seed(0)
        self._flops = update_flops(spec)

    def run(self) -> int:
        """Learn once; return the operations of its matrix products."""
        fit(self._module, self._optimiser, self._batch, self._hyper, self._ppo, self._generator)
        return self._flops

    def close(self) -> None:
        """Hold nothing."""


class Products:
    """Computes the matrix products of an update, and nothing else."""

    def __init__(self, name: str, spec: LearnerSpec) -> None:
        torch.set_num_threads(1)
        self.name = name
        rows = spec.phases[0].rows // SHARED.minibatches
        members = len(spec.members)
        self._layers = [
            (torch.randn(members, rows, i), torch.randn(members, i, o), torch.randn(members, rows, o), first)
            for i, o, first in _shapes(spec)
        ]
        self._flops = update_flops(spec)

    def run(self) -> int:
        """Multiply as often as an update does; return the operations."""
        for _ in range(SHARED.epochs * SHARED.minibatches):
            for inputs, weights, outputs, first in self._layers:
                torch.bmm(inputs, weights)
                torch.bmm(inputs.mT, outputs)
                if not first:
                    torch.bmm(outputs, weights.mT)
        return self._flops

    def close(self) -> None:
        """Hold nothing."""


def _shapes(spec: LearnerSpec) -> list[tuple[int, int, bool]]:
    """Return (inputs, outputs, whether it is the first) of every dense layer."""
    inputs = int(np.prod(spec.module.observation_space.shape or ()))
    actions = int(getattr(spec.module.action_space, "n", 0))
    hidden = [(i, o, n == 0) for n, (i, o) in enumerate(zip((inputs, *SHARED.hidden), SHARED.hidden, strict=False))]
    heads = [(SHARED.hidden[-1], actions, False), (SHARED.hidden[-1], 1, False)]
    trunks = 1 if spec.module.model.get("shared_trunk") else 2
    return hidden * trunks + heads


def update_flops(spec: LearnerSpec) -> int:
    """Return the floating-point operations of an iteration's matrix products: forward, weights, inputs."""
    rows = spec.phases[0].rows * SHARED.epochs * len(spec.members)
    return rows * sum(2 * i * o * (2 if first else 3) for i, o, first in _shapes(spec))


def noise_rollout(work: Work, members: int, envs: int, length: int) -> Rollout:
    """Fill a rollout with noise; one step in a hundred ends an episode, half of these by truncation."""
    rng = np.random.default_rng(0)
    shape = (length, members, envs)
    observation = work.observation_space.shape or ()
    actions = int(getattr(work.action_space, "n", 0))
    ended = rng.random(shape) < 0.01
    truncated = ended & (rng.random(shape) < 0.5)
    final_at = np.argwhere(truncated)
    return Rollout(
        obs=rng.normal(size=(*shape, *observation)).astype(np.float32),
        actions=rng.integers(actions, size=shape),
        logp=np.full(shape, -np.log(actions), np.float32),
        rewards=rng.normal(size=shape).astype(np.float32),
        terminated=ended & ~truncated,
        truncated=truncated,
        discounts=np.full(shape, 0.95, np.float32),
        last_obs=rng.normal(size=(members, envs, *observation)).astype(np.float32),
        final_at=final_at,
        final_obs=rng.normal(size=(len(final_at), *observation)).astype(np.float32),
    )


def update_rows(effort: Effort) -> Sequence[Row]:
    """Measure updates, plain and compiled, against their own matrix products."""
    effort.say("update: share of bare matrix products' speed")
    work = toy_work()
    rollout = noise_rollout(work, MEMBERS, ENVS, LENGTH)
    settings: list[tuple[str, dict[str, Any], bool, float | None]] = [
        ("plain", PLAIN, False, PLAIN_TARGET),
        ("compiled", PLAIN, True, COMPILED_TARGET),
        ("fast", FAST, True, None),
    ]
    rows = []
    for variant, model, compiled, target in settings:
        spec = learner(work, MEMBERS, ENVS, LENGTH, model=model, compiled=compiled)
        samples = interleave([Update(variant, spec, rollout), Products("bmm", spec)], effort.rounds, effort.seconds)
        notes = {"members": MEMBERS}
        rows.append(
            compare(samples, variant, "bmm", work="toy", metric=METRIC, variant=variant, target=target, notes=notes)
        )
    return rows
