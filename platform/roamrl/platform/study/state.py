"""A run in progress: what its stages hand on to each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from roamrl.platform.evaluation.references import ReferenceReturns
from roamrl.platform.store.store import ExpertStore
from roamrl.platform.study.folder import Failure, RunFolder
from roamrl.platform.study.progress import Progress
from roamrl.platform.study.schema import Study
from roamrl.platform.study.tasks import NamedTask
from roamrl.platform.study.tuning import Choice
from roamrl.platform.study.units import Chosen, Member, Origin


@dataclass(frozen=True)
class Dropped:
    """A task left out because its references lie too close together."""

    task_name: str
    split: str
    gap: float


@dataclass
class RunState:
    """A run in progress.

    Attributes:
        study: The study.
        folder: Its folder.
        store: Where experts go, and come from.
        progress: Told of the run's course.
        splits: Tasks of every split.
        references: Reference returns by task id.
        policies: Pretrained members of every arm, with where they come from.
        chosen: Source of each (task id, repetition), by arm, for arms that choose one.
        choices: Step sizes chosen on val, by arm.
        failures: Units that failed.
        dropped: Tasks left out.
    """

    study: Study
    folder: RunFolder
    store: ExpertStore
    progress: Progress
    splits: Mapping[str, Sequence[NamedTask]]
    references: dict[str, ReferenceReturns] = field(default_factory=dict)
    policies: dict[str, list[tuple[Origin, Member]]] = field(default_factory=dict)
    chosen: dict[str, dict[tuple[str, int], Chosen]] = field(default_factory=dict)
    choices: dict[str, Choice] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)

    @property
    def targets(self) -> list[NamedTask]:
        """Tasks of all target splits that tell policies apart."""
        return [named for split in self.study.targets for named in self.splits[split] if self._kept(named)]

    @property
    def val(self) -> list[NamedTask]:
        """Tasks of val that tell policies apart."""
        return [named for named in self.splits[self.study.val] if self._kept(named)]

    @property
    def traces(self) -> Path | None:
        """The run's recordings, if it has any."""
        return self.folder.traces_file if self.folder.traces_file.exists() else None

    def _kept(self, named: NamedTask) -> bool:
        return named.task.id in self.references
