"""Adam for a stacked population: one flat buffer, everything else per member."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from roamrl.envs.errors import InputError

_NORM_EPSILON = 1e-6


class StackedAdam:
    """Adam (Kingma and Ba, 2015) on weights [P, D] with step sizes, norm bounds and update counts per member.

    A member whose loss or gradient is not finite is left as it is, moments and update count included. Parameters may be
    frozen until their member has learned from a number of environment steps; the member's moments then start anew.

    Attributes:
        weights: [P, D], updated in place.
        first_moment: [P, D].
        second_moment: [P, D].
        updates: Updates made, [P] float32.
        skipped: Updates skipped, [P] int64.
        env_steps: Environment steps learned from, [P] int64.
    """

    def __init__(self, weights: Tensor, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8) -> None:
        members, device = weights.shape[0], weights.device
        self.weights = weights
        self.beta1, self.beta2, self.epsilon = beta1, beta2, epsilon
        self.first_moment = torch.zeros_like(weights, requires_grad=False)
        self.second_moment = torch.zeros_like(weights, requires_grad=False)
        self.updates = torch.zeros(members, device=device)
        self.skipped = torch.zeros(members, dtype=torch.int64, device=device)
        self.env_steps = torch.zeros(members, dtype=torch.int64, device=device)
        self._frozen: Tensor | None = None
        self._frozen_until = torch.zeros_like(self.env_steps)
        self._frozen_now: Tensor | None = None

    def freeze(self, frozen: Tensor, until: Tensor) -> None:
        """Freeze parameters ([P, D] bool) until each member has learned from so many environment steps ([P] int64)."""
        self._frozen = frozen.to(self.weights.device)
        self._frozen_until = until.to(self.weights.device)
        self._find_frozen()

    def held(self) -> tuple[Tensor, Tensor]:
        """Return which members have frozen parameters now, and which have all frozen ([P] bool each)."""
        if self._frozen_now is None:
            none = torch.zeros_like(self.env_steps, dtype=torch.bool)
            return none, none
        return self._frozen_now.any(dim=1), self._frozen_now.all(dim=1)

    @torch.no_grad()
    def step(self, gradient: Tensor, loss: Tensor, lr: Tensor, max_norm: Tensor) -> Tensor:
        """Make one update and return the gradients' norms before clipping, [P].

        Args:
            gradient: [P, D]; used up (overwritten).
            loss: [P]; only whether it is finite matters.
            lr: Step sizes, [P].
            max_norm: Bounds on each member's gradient norm, [P].
        """
        if self._frozen_now is not None:
            gradient.masked_fill_(self._frozen_now, 0.0)
        norm = torch.linalg.vector_norm(gradient, dim=1)
        taken = torch.isfinite(norm + loss)
        self.updates += taken
        self.skipped += ~taken
        gradient.mul_((max_norm / (norm + _NORM_EPSILON)).clamp_(max=1.0)[:, None])
        buffers = [rows.unbind(0) for rows in (self.weights, gradient, self.first_moment, self.second_moment)]
        for size, members in _by_step_size(lr.tolist(), taken.tolist()).items():
            weights, gradients, firsts, seconds = ([rows[member] for member in members] for rows in buffers)
            torch._fused_adam_(
                weights,
                gradients,
                firsts,
                seconds,
                [],
                [self.updates[member] for member in members],
                lr=size,
                beta1=self.beta1,
                beta2=self.beta2,
                weight_decay=0.0,
                eps=self.epsilon,
                amsgrad=False,
                maximize=False,
            )
        return norm

    @torch.no_grad()
    def advance(self, env_steps: int) -> None:
        """Count environment steps that every member has learned from, and release members whose freeze is over."""
        waiting = self.env_steps < self._frozen_until
        self.env_steps += env_steps
        if self._frozen_now is None:
            return
        released = waiting & (self.env_steps >= self._frozen_until)
        self.first_moment.masked_fill_(released[:, None], 0.0)
        self.second_moment.masked_fill_(released[:, None], 0.0)
        self.updates.masked_fill_(released, 0.0)
        self._find_frozen()

    def state_dict(self) -> dict[str, Tensor]:
        """Return the optimiser's tensors; what is frozen until when is the learner's specification, not state."""
        return {name: getattr(self, name).clone() for name in _STATE}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from :meth:`state_dict`.

        Raises:
            InputError: If a tensor is missing, unknown, or of another shape.
        """
        if set(state) != set(_STATE):
            raise InputError(f"an optimiser's state has {', '.join(_STATE)}; got {', '.join(sorted(state))}")
        for name in _STATE:
            own = getattr(self, name)
            if state[name].shape != own.shape:
                raise InputError(f"optimiser state {name!r} is {list(state[name].shape)}, expected {list(own.shape)}")
            own.copy_(state[name])
        self._find_frozen()

    def _find_frozen(self) -> None:
        self._frozen_now = None
        if self._frozen is not None:
            frozen = self._frozen & (self.env_steps < self._frozen_until)[:, None]
            self._frozen_now = frozen if bool(frozen.any()) else None


def _by_step_size(step_sizes: list[float], taken: list[bool]) -> dict[float, list[int]]:
    """Group the members that make an update by their step size: torch's fused kernel takes one a call."""
    groups: dict[float, list[int]] = {}
    for member, (size, own) in enumerate(zip(step_sizes, taken, strict=True)):
        if own:
            groups.setdefault(size, []).append(member)
    return groups


_STATE = ("first_moment", "second_moment", "updates", "skipped", "env_steps")
