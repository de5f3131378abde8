"""Families: parametric sets of Markov decision processes, and where to find them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from roamrl.envs.batched import BatchedEnv
from roamrl.envs.canonical import JSON
from roamrl.envs.context import ContextSpace
from roamrl.envs.errors import InputError, unknown_name
from roamrl.envs.placement import Placement
from roamrl.envs.reference import Reference
from roamrl.envs.reward import RewardParts
from roamrl.envs.scalar import ScalarEnv
from roamrl.envs.split import Split
from roamrl.envs.task import Task
from roamrl.envs.tuned_reference import TunedReference


class Family(ABC):
    """A parametric set of MDPs that share spaces and physics.

    Attributes:
        name: Short name, e.g. ``slicing``.
        version: Raised whenever behaviour changes.
        about: One line for people.
        measures: Step measures the environments report, in table order.
        scored_greedily: Whether policies are scored at their most likely action. Not where good behaviour is random by
            nature: who transmits with a probability below a half would never transmit.
    """

    name: str
    version: int
    about: str
    measures: tuple[str, ...]
    scored_greedily: bool = True

    @property
    def id(self) -> str:
        """Versioned name, e.g. ``slicing-v1``."""
        return f"{self.name}-v{self.version}"

    @abstractmethod
    def config(self, overrides: Mapping[str, JSON] | None = None) -> dict[str, JSON]:
        """Return a full config: the given values checked, defaults for the rest."""

    @abstractmethod
    def context_space(self, config: Mapping[str, JSON]) -> ContextSpace:
        """Return the context table under a full config."""

    @abstractmethod
    def spaces(self, config: Mapping[str, JSON]) -> tuple[spaces.Box, spaces.Space[Any]]:
        """Return the observation and action space of one sub-environment."""

    @abstractmethod
    def episode_steps(self, config: Mapping[str, JSON]) -> int:
        """Return the number of steps of an episode (the most there can be, where episodes end early)."""

    def typical_episode_steps(self, config: Mapping[str, JSON]) -> int:
        """Return the steps in which an episode mostly ends; adaptation is planned, and memory set aside, for so many.

        All there can be by default. A family that says fewer has episodes of different lengths: while a policy adapts,
        each of its sub-environments plays one and then waits, and one that takes longer is cut.
        """
        return self.episode_steps(config)

    @abstractmethod
    def make_placed(
        self, placement: Placement, autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP
    ) -> BatchedEnv:
        """Make a batched environment whose rows have the placement's seeds, indices and tasks."""

    @abstractmethod
    def references(self, config: Mapping[str, JSON]) -> Mapping[str, Reference]:
        """Return the references under a full config by name; the first of each role stands for it in scores."""

    @abstractmethod
    def splits(self, config: Mapping[str, JSON]) -> Mapping[str, Split]:
        """Return the published splits for a full config (those of the default and of named variants)."""

    @abstractmethod
    def features(self, task: Task) -> NDArray[np.float64]:
        """Return the numbers by which contexts are compared (nearest expert), scaled to about one, [D]."""

    def sources(self, config: Mapping[str, JSON]) -> str:
        """Return what identifies the code that returns depend on; cached returns of references hold as long as it."""
        from roamrl.envs.compiled import sources_of

        return sources_of(type(self).__module__)

    def reward_parts(self, config: Mapping[str, JSON]) -> RewardParts | None:
        """Return the parts of the reward where it is a weighed sum of some; None otherwise.

        Environments of a family that has parts implement :meth:`~roamrl.envs.batched.BatchedEnv.keep_reward_parts`.
        """
        return None

    def tuned_classical(self, task: Task, episodes: int, seed: int) -> TunedReference | None:
        """Return the classical policy with its few numbers tuned on episodes of one task: an arm of few samples.

        All candidates together play no more than ``episodes`` episodes, each once and on a stream of its own, as a live
        network does not repeat its traffic; :func:`~roamrl.envs.live_search.search_live` is such a search. With too few
        for one its numbers are those that were tuned on ``val``, and so they are with none.

        Args:
            task: The task.
            episodes: Most episodes of the task to play.
            seed: Seed of their streams and of the search; never the evaluation's.

        Returns:
            None where the family has no classical policy with numbers to tune, as by default.
        """
        return None

    def task(self, context: Mapping[str, JSON] | None = None, config: Mapping[str, JSON] | None = None) -> Task:
        """Make a task from what differs from the defaults.

        Raises:
            InputError: If a name is unknown or a value is refused.
        """
        full = self.config(config)
        return Task(self.id, full, self.context_space(full).resolve(context or {}))

    def sample(
        self,
        count: int,
        seed: int,
        *,
        config: Mapping[str, JSON] | None = None,
        outside: Sequence[str] = (),
        fixed: Mapping[str, JSON] | None = None,
    ) -> tuple[Task, ...]:
        """Draw tasks from the training ranges; variables in ``outside`` from their out-of-distribution range."""
        full = self.config(config)
        space = self.context_space(full)
        rng = np.random.default_rng(seed)
        return tuple(Task(self.id, full, space.sample(rng, outside=outside, fixed=fixed)) for _ in range(count))

    def reference(self, config: Mapping[str, JSON], role: str) -> Reference:
        """Return the reference that stands for a role, or the one of that name.

        Raises:
            InputError: If there is none.
        """
        references = self.references(config)
        for reference in references.values():
            if reference.role == role:
                return reference
        if role in references:
            return references[role]
        raise unknown_name("reference", role, references)

    def make_vec(
        self,
        tasks: Sequence[Task],
        num_envs: int | None = None,
        seed: int = 0,
        autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP,
    ) -> BatchedEnv:
        """Make a batched environment; row i plays task i (modulo their number)."""
        return self.make_placed(Placement.spread(tasks, num_envs, seed), autoreset_mode)

    def make(self, task: Task, seed: int = 0, index: int = 0) -> ScalarEnv:
        """Make the one-cell environment that equals row ``index`` of a batch with that seed."""
        placement = Placement(np.array([seed], np.int64), np.array([index], np.int64), ((task,),), 1)
        return ScalarEnv(self.make_placed(placement, AutoresetMode.DISABLED))


_loaded: dict[str, Family] = {}


def family_names() -> list[str]:
    """Return the ids of all families, our own and those of other packages (entry points ``roamrl.families``)."""
    return sorted({point.name for point in entry_points(group="roamrl.families")})


def register_family(family: Family) -> None:
    """Make a family known in this process; one for all processes is an entry point of the group ``roamrl.families``.

    Raises:
        InputError: If another family has that id.
    """
    if family.id in family_names() or _loaded.get(family.id, family) is not family:
        raise InputError(f"there is a family {family.id!r} already; raise the version, or choose another name")
    _loaded[family.id] = family


def get_family(family_id: str) -> Family:
    """Return the family of that id.

    Raises:
        InputError: If no installed package offers it, or what it offers is no family.
    """
    if family_id not in _loaded:
        found = [point for point in entry_points(group="roamrl.families") if point.name == family_id]
        if not found:
            raise unknown_name("family", family_id, family_names())
        family = found[0].load()
        if not isinstance(family, Family):
            raise InputError(f"entry point {found[0].value} of roamrl.families is no Family; export an instance")
        _loaded[family_id] = family
    return _loaded[family_id]


def family_of(tasks: Sequence[Task]) -> Family:
    """Return the family of tasks that share one.

    Raises:
        InputError: If there is none or more than one.
    """
    names = {task.family for task in tasks}
    if len(names) != 1:
        raise InputError(f"tasks of one family are needed, got {sorted(names) or 'no task'}")
    return get_family(names.pop())
