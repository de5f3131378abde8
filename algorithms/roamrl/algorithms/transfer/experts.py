"""What every transfer from single-task experts has in common: one expert a source task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Final, TypeVar

from roamrl.algorithms.learner_spec import MemberSpec
from roamrl.algorithms.strategy import PretrainOn, Strategy, StrategyConfig
from roamrl.algorithms.strategy_needs import MEMORYLESS, Needs
from roamrl.envs.task import Task

C = TypeVar("C", bound=StrategyConfig)

ASKED_WITHOUT_MEMORY: Final = Needs(
    modules=MEMORYLESS, cannot="cannot ask experts about single observations of the learner's"
)
"""Who listens to experts needs such as answer without a history of their own."""


class ExpertPerSource(Strategy[C]):
    """Trains one expert a source task; how a target draws on them is the strategy's own."""

    pretrains_on: ClassVar[PretrainOn] = "sources"

    def pretrain(self, tasks: Sequence[Task], base: MemberSpec) -> tuple[MemberSpec, ...]:
        """Return one member a source task."""
        return tuple(replace(base, tasks=(task,)) for task in tasks)
