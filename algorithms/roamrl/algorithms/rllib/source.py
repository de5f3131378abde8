"""Where a learner is described: in a folder, or in memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from roamrl.algorithms.learner_spec import LearnerSpec
from roamrl.algorithms.rllib.learner_folder import read_learner
from roamrl.envs.errors import InputError


@dataclass(frozen=True)
class LearnerSource:
    """A learner by its folder or as it is; RLlib's many copies of a config share it.

    Attributes:
        folder: Folder written by :func:`roamrl.algorithms.rllib.learner_folder.write_learner`.
        spec: The learner itself.
    """

    folder: Path | None = None
    spec: LearnerSpec | None = None

    def __post_init__(self) -> None:
        if (self.folder is None) == (self.spec is None):
            raise InputError("a population needs its learner once: population(folder=PATH) or population(learner=SPEC)")
        if self.folder is not None and not self.folder.is_absolute():
            raise InputError(f"learner folder {self.folder} is relative; Tune's trials run elsewhere: make it absolute")

    def __deepcopy__(self, memo: dict[int, Any]) -> LearnerSource:
        return self

    def load(self) -> LearnerSpec:
        """Return the learner.

        Raises:
            InputError: If the folder holds none.
        """
        if self.spec is not None:
            return self.spec
        if self.folder is None:
            raise InputError("a learner source without folder and learner")
        return read_learner(self.folder)
