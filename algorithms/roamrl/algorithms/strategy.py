"""What a strategy is: a way to generalise, with a config and two phases, pretrain and adapt."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from importlib.metadata import entry_points
from typing import Any, ClassVar, Generic, Literal, TypeVar

from roamrl.algorithms.bundle import ModuleSpec, PolicyBundle
from roamrl.algorithms.learner_spec import AlgorithmName, MemberSpec, TaskGradientUse
from roamrl.algorithms.strategy_needs import Needs
from roamrl.envs.errors import InputError, unknown_name
from roamrl.envs.reward import RewardParts
from roamrl.envs.task import Task

PretrainOn = Literal["nothing", "sources", "targets"]


@dataclass(frozen=True)
class Setting:
    """What a learner finds: what its module may have to be built for.

    Attributes:
        tasks: Tasks in its pool; 1 where it meets a target.
        contexts: Numbers in a task's context as ``Family.features`` tells it.
        parts: What the family's reward weighs, if it weighs parts.
        sources: Policies a member draws on; 0 while it trains on its own.
        adapting: Whether it meets a target.
    """

    tasks: int = 1
    contexts: int = 0
    parts: RewardParts | None = None
    sources: int = 0
    adapting: bool = False


@dataclass(frozen=True)
class StrategyConfig:
    """Settings of a strategy; each strategy has a frozen subclass, saved with every expert it makes."""


C = TypeVar("C", bound=StrategyConfig)


class Strategy(ABC, Generic[C]):
    """A way to generalise: which members to train on source tasks, and with what a learner meets a target.

    A strategy describes learners and never runs them: whoever calls it stacks the members of many targets and seeds
    into populations.

    Attributes:
        name: Name in studies and tables.
        about: One line for people.
        paper: Where it comes from.
        config_class: Its config.
        pretrains_on: Whose tasks :meth:`pretrain` gets: nobody's, the source tasks, or the targets themselves.
        adapts: Whether it learns on the target within the adaptation budget.
        in_context: Whether its policies adapt on the target by what they carry from episode to episode, learning
            nothing there.
        algorithm: What its learners learn by.
        consolidates: Whether one more policy is made of the pretrained ones before any target is met.
        task_gradients: What its pretraining does with the gradients of each task.
        needs: What it needs of a family and of the study's module; without it :meth:`module` refuses.
    """

    name: ClassVar[str]
    about: ClassVar[str]
    paper: ClassVar[str]
    config_class: ClassVar[type[StrategyConfig]]
    pretrains_on: ClassVar[PretrainOn]
    adapts: ClassVar[bool] = True
    in_context: ClassVar[bool] = False
    algorithm: ClassVar[AlgorithmName] = "ppo"
    consolidates: ClassVar[bool] = False
    task_gradients: ClassVar[TaskGradientUse] = "none"
    needs: ClassVar[Needs] = Needs()

    def __init__(self, config: C) -> None:
        self.config = config

    def module(self, base: ModuleSpec, setting: Setting) -> ModuleSpec:
        """Return the module of its learners, after checking that the strategy can work with what there is.

        Args:
            base: The study's module on the family's spaces.
            setting: What the learners find.

        Raises:
            InputError: If the strategy cannot work with these spaces, this module or this reward; the message says why
                not, and what to do instead.
        """
        self.needs.check(self.name, base, setting)
        return self.own_module(base, setting)

    def own_module(self, base: ModuleSpec, setting: Setting) -> ModuleSpec:
        """Return the module of its learners where what it ``needs`` is there; the study's own by default.

        Args:
            base: The study's module on the family's spaces.
            setting: What the learners find.

        Raises:
            InputError: If one of the strategy's settings asks for more than ``needs`` does, and it is not there.
        """
        return base

    def pretrain(self, tasks: Sequence[Task], base: MemberSpec) -> tuple[MemberSpec, ...]:
        """Return the members to train before any target is met; none by default.

        Args:
            tasks: Source tasks (or the targets, by ``pretrains_on``).
            base: Seed and step sizes to build on.
        """
        return ()

    def consolidate(self, tasks: Sequence[Task], experts: Sequence[PolicyBundle], base: MemberSpec) -> MemberSpec:
        """Return the member that becomes the one policy, for strategies that ``consolidate``.

        Args:
            tasks: Source tasks.
            experts: The pretrained policy of each task, in their order.
            base: Seed and step sizes to build on.
        """
        raise InputError(f"strategy {self.name!r} makes no one policy of those it trains")

    @abstractmethod
    def adapt(self, target: Task, sources: Sequence[PolicyBundle], base: MemberSpec) -> MemberSpec:
        """Return the learner that meets a target.

        Args:
            target: The task to adapt to.
            sources: Policies to draw on, the chosen one first; empty for strategies that pretrain on nothing.
            base: Seed and step sizes to build on.

        Raises:
            InputError: If the strategy does not adapt, or lacks a source it needs.
        """


def one_source(strategy: str, sources: Sequence[PolicyBundle]) -> PolicyBundle:
    """Return the first source.

    Raises:
        InputError: If there is none.
    """
    if not sources:
        raise InputError(f"strategy {strategy!r} adapts an expert and was given none; pretrain or choose one")
    return sources[0]


_loaded: dict[str, type[Strategy[Any]]] = {}


def strategy_names() -> list[str]:
    """Return the names of all strategies, our own and those of other packages (entry points ``roamrl.strategies``)."""
    return sorted({point.name for point in entry_points(group="roamrl.strategies")})


def get_strategy(name: str) -> type[Strategy[Any]]:
    """Return the strategy of that name.

    Raises:
        InputError: If no installed package offers it, or what it offers is no strategy.
    """
    if name not in _loaded:
        found = [point for point in entry_points(group="roamrl.strategies") if point.name == name]
        if not found:
            raise unknown_name("strategy", name, strategy_names())
        loaded = found[0].load()
        if not (isinstance(loaded, type) and issubclass(loaded, Strategy)):
            raise InputError(f"entry point {found[0].value} of roamrl.strategies is no Strategy class")
        _loaded[name] = loaded
    return _loaded[name]


def make_strategy(name: str, settings: Mapping[str, Any]) -> Strategy[Any]:
    """Make a strategy from its name and settings.

    Raises:
        InputError: If the name or a setting is unknown.
    """
    strategy = get_strategy(name)
    known = [field.name for field in fields(strategy.config_class)]
    for key in settings:
        if key not in known:
            raise unknown_name(f"setting of strategy {name!r}", key, known)
    return strategy(strategy.config_class(**settings))
