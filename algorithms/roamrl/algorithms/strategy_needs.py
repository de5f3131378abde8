"""What a strategy needs of a family and of the study's module, declared; what lacks it is refused before it is trained.

``Strategy.needs`` says what is so whatever the settings are; what one of its settings asks for besides, a strategy
checks when it makes its module (:meth:`roamrl.algorithms.strategy.Strategy.own_module`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from gymnasium import spaces

from roamrl.algorithms.bundle import ModuleSpec
from roamrl.envs.errors import InputError

if TYPE_CHECKING:
    from roamrl.algorithms.strategy import Setting

ActionKind = Literal["discrete", "binary", "continuous"]
"""One of n (Discrete), n choices at once (MultiBinary), numbers (Box)."""

ANY_ACTIONS: Final[tuple[ActionKind, ...]] = get_args(ActionKind)

MEMORYLESS: Final = ("mlp", "entity")
"""Kinds of a study's module that act on the observation alone."""

UNDEMANDING: Final = "take another strategy: 'scratch', 'reuse' and 'joint' work with every family and module"


@dataclass(frozen=True)
class Needs:
    """What a strategy needs; by default nothing in particular.

    Attributes:
        actions: Kinds of actions it can learn.
        modules: Kinds of the study's module that it builds on; empty for all.
        flat: Whether observations must have one axis, and not several as those of a set of entities have.
        reward_parts: Whether the reward must be a weighed sum of parts, and its weights observed.
        cannot: What it cannot do with another module or other observations, as the rest of a sentence about it.
        instead: What to do where these are all there are.
    """

    actions: tuple[ActionKind, ...] = ANY_ACTIONS
    modules: tuple[str, ...] = ()
    flat: bool = False
    reward_parts: bool = False
    cannot: str = "does not work"
    instead: str = UNDEMANDING

    def describe(self) -> str:
        """Return what is needed in a few words, for tables."""
        words = [f"{_listed(self.actions)} actions"] if set(self.actions) != set(ANY_ACTIONS) else []
        words += ["flat observations"] if self.flat else []
        words += ["observed weights of the reward's parts"] if self.reward_parts else []
        words += [f"module {_listed(self.modules)}"] if self.modules else []
        return ", ".join(words) or "any family"

    def check(self, strategy: str, base: ModuleSpec, setting: Setting) -> None:
        """Check a study's module, on the family's spaces, and what its learners find against what is needed.

        Args:
            strategy: Whose needs they are, for the message.
            base: The study's module.
            setting: What the learners find.

        Raises:
            InputError: If something is missing; the message says why it is needed, and what to do instead.
        """
        self._check_actions(strategy, base.action_space)
        self._check_module(strategy, base)
        if self.reward_parts:
            _check_reward(strategy, setting)

    def _check_actions(self, strategy: str, space: spaces.Space[Any]) -> None:
        kind = action_kind(space)
        if kind not in self.actions:
            raise InputError(
                f"the family's actions are {kind}, {space!r}, and strategy {strategy!r} needs {_listed(self.actions)} "
                "ones; set them in the family's config where it offers them (slicing-v1: 'action: discrete'), or "
                f"{self.instead}"
            )

    def _check_module(self, strategy: str, base: ModuleSpec) -> None:
        shape = base.observation_space.shape or ()
        fits = not self.flat or len(shape) == 1
        if fits and (not self.modules or base.kind in self.modules):
            return
        seen = "" if fits else f" and observations of shape {list(shape)}"
        wanted = " on flat observations" if self.flat else ""
        kinds = _listed([repr(kind) for kind in self.modules]) if self.modules else "any kind"
        suggested = "entity" if len(shape) == 2 and "entity" in self.modules else next(iter(self.modules), base.kind)
        mend = f"set 'module: {{kind: {suggested}}}', or " if fits else ""
        raise InputError(
            f"strategy {strategy!r} {self.cannot} with a module of kind {base.kind!r}{seen}: it builds on a module of "
            f"kind {kinds}{wanted}; {mend}{self.instead}"
        )


def action_kind(space: spaces.Space[Any]) -> ActionKind:
    """Return the kind of an action space.

    Raises:
        InputError: If policies cannot act in it.
    """
    if isinstance(space, spaces.Discrete):
        return "discrete"
    if isinstance(space, spaces.MultiBinary):
        return "binary"
    if isinstance(space, spaces.Box):
        return "continuous"
    raise InputError(f"policies act in Discrete, MultiBinary and Box spaces, and the family's is {space!r}")


def _check_reward(strategy: str, setting: Setting) -> None:
    if setting.parts is None:
        raise InputError(
            f"strategy {strategy!r} needs a reward that weighs parts, and this family has none; use 'max_q', or tell "
            "the parts (Family.reward_parts)"
        )
    if setting.parts.weights_at is None:
        raise InputError(
            f"strategy {strategy!r} reads the reward's weights from the observation, which hides them here; give the "
            "arm 'config: {observed: [weights, ..]}', or use 'max_q'"
        )


def _listed(words: Sequence[str]) -> str:
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
