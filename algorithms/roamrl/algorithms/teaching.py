"""Teaching: finished policies that act for a learner or are imitated by it, by schedules over its own steps."""

from __future__ import annotations

from dataclasses import dataclass

from roamrl.algorithms.bundle import PolicyBundle
from roamrl.envs.errors import InputError


@dataclass(frozen=True)
class Fade:
    """A number over a member's environment steps: 0 at first, then held, then falling linearly.

    With x the steps made: 0 for x < ``after``; ``start`` for the next ``held`` steps; from there linearly to ``end``
    over ``fading`` steps; ``end`` ever after.

    Attributes:
        start: Value when it sets in.
        end: Value at last.
        after: Environment steps before it sets in.
        held: Environment steps it stays at ``start``.
        fading: Environment steps it takes from ``start`` to ``end``.
    """

    start: float = 0.0
    end: float = 0.0
    after: int = 0
    held: int = 0
    fading: int = 0

    def __post_init__(self) -> None:
        if min(self.start, self.end) < 0:
            raise InputError(f"a schedule's values must not be negative, got {self.start} and {self.end}")
        if min(self.after, self.held, self.fading) < 0:
            raise InputError(f"a schedule's steps must not be negative, got {(self.after, self.held, self.fading)}")

    def at(self, steps: int) -> float:
        """Return the value when ``steps`` environment steps have been made."""
        beyond = steps - self.after - self.held
        if steps < self.after:
            return 0.0
        if beyond < 0:
            return self.start
        if beyond >= self.fading:
            return self.end
        return self.start + (self.end - self.start) * beyond / self.fading


@dataclass(frozen=True)
class Teaching:
    """What a member's teachers do for it.

    Attributes:
        teachers: Finished policies on the member's own observation and action spaces; their modules may be of another
            size than the member's.
        by_task: Whether teacher i knows the i-th task of the member's pool, and is listened to there alone; otherwise
            all are, evenly.
        guide: Probability that a step's action is a teacher's (a teacher drawn evenly), within 0..1.
        imitate: Weight of the cross-entropy H(teachers' policy || member's policy) in the loss.
        reinforce_from: Environment steps before which the member only imitates: the policy's part of the
            reinforcement loss and the entropy bonus are left out (the critic learns from the start).
    """

    teachers: tuple[PolicyBundle, ...]
    guide: Fade = Fade()
    imitate: Fade = Fade()
    reinforce_from: int = 0
    by_task: bool = False

    def __post_init__(self) -> None:
        if not self.teachers:
            raise InputError("teaching needs at least one teacher")
        if max(self.guide.start, self.guide.end) > 1:
            raise InputError(f"the probability that a teacher acts lies within 0..1, got {self.guide}")
        if self.by_task and max(self.guide.start, self.guide.end) > 0:
            raise InputError("teachers by task are imitated and do not act: leave 'guide' at 0")
        if self.reinforce_from < 0:
            raise InputError(f"reinforce_from counts environment steps, got {self.reinforce_from}")
