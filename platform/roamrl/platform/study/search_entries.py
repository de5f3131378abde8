"""What a study file may say under ``search``: which settings are tried, how they are drawn and compared."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field, model_validator

from roamrl.envs.canonical import JSON, canonical_json
from roamrl.platform.study.learning_entries import Entry

MemberSetting = Literal["lr", "clip", "entropy_coeff", "max_grad_norm", "gamma"]
"""What each member of a population has for itself, and so can be searched within one trial."""

FORMS = ("choice", "grid", "uniform", "loguniform", "randint")


class SpaceEntry(Entry):
    """Values that one setting may have, in exactly one form.

    Attributes:
        choice: One of these, each as likely.
        grid: Each of these, with every combination of the other grids.
        uniform: A number between two.
        loguniform: A number between two, drawn evenly on a logarithmic scale.
        randint: A whole number between two, both included.
    """

    choice: tuple[JSON, ...] | None = None
    grid: tuple[JSON, ...] | None = None
    uniform: tuple[float, float] | None = None
    loguniform: tuple[float, float] | None = None
    randint: tuple[int, int] | None = None

    @property
    def form(self) -> str:
        """Name of the form it is given in."""
        return next(name for name in FORMS if getattr(self, name) is not None)

    @property
    def listed(self) -> tuple[JSON, ...]:
        """The values of a choice or a grid; empty for ranges."""
        return self.choice or self.grid or ()

    @property
    def ends(self) -> tuple[float, float]:
        """Least and greatest value of a range.

        Raises:
            ValueError: If the values are listed.
        """
        ends = self.uniform or self.loguniform or self.randint
        if ends is None:
            raise ValueError("listed values have no ends")
        return ends

    def contains(self, value: JSON) -> bool:
        """Whether a value is one of the space's."""
        if self.listed:
            return value in self.listed
        low, high = self.ends
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and low <= value <= high and (self.randint is None or value == int(value))

    @model_validator(mode="after")
    def _one_sound_form(self) -> SpaceEntry:
        given = [name for name in FORMS if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"a space has exactly one of: {', '.join(FORMS)}; got {given or 'none'}")
        if given[0] in ("choice", "grid"):
            values = [canonical_json(value) for value in self.listed]
            if len(values) < 2 or len(set(values)) < len(values):
                raise ValueError(f"{given[0]} lists at least two different values")
            return self
        low, high = self.ends
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise ValueError(f"{given[0]} goes from a number to a greater one, got [{low:g}, {high:g}]")
        if self.loguniform and low <= 0:
            raise ValueError(f"loguniform has no values at or below 0, got [{low:g}, {high:g}]; use uniform")
        return self


class SearchBudgetEntry(Entry):
    """How much a search may take.

    Attributes:
        trials: Settings tried, the study's own among them as the first. Not given, a grid is tried in full, and 16
            where something is drawn.
        steps: Environment steps a member; None for those of the arm's pretraining.
        wall_s: Seconds after which no trial goes on; None for no limit.
        reports: Scores on ``val`` that a full trial has, evenly spaced; at each it can be stopped. Population-based
            training scores at every exchange instead.
    """

    trials: int | None = Field(None, ge=2)
    steps: int | None = Field(None, ge=1)
    wall_s: float | None = Field(None, gt=0)
    reports: int = Field(8, ge=1)


class HalvingEntry(Entry):
    """Asynchronous successive halving (Li et al., "A system for massively parallel hyperparameter tuning", 2020).

    Attributes:
        grace: Reports that every trial makes before it may be stopped.
        reduction: At each rung one trial in so many goes on.
    """

    grace: int = Field(1, ge=1)
    reduction: float = Field(3.0, gt=1)


class ExchangeEntry(Entry):
    """Population-based training within one population (Jaderberg et al., 2017).

    Attributes:
        interval: Iterations between two exchanges.
        fraction: Share of the members that take over others, and share that are taken over.
        resample: Probability that a setting is then drawn anew instead of scaled.
        factors: What it is scaled by, one of the two; of a discount, its horizon 1 / (1 - gamma).
    """

    interval: int = Field(10, ge=1)
    fraction: float = Field(0.25, gt=0, le=0.5)
    resample: float = Field(0.25, ge=0, le=1)
    factors: tuple[float, float] = (0.8, 1.25)

    @model_validator(mode="after")
    def _down_and_up(self) -> ExchangeEntry:
        if not 0 < self.factors[0] < 1 < self.factors[1]:
            raise ValueError(f"pbt.factors are one below 1 and one above, got {list(self.factors)}")
        return self


class SearchEntry(Entry):
    """A search over the settings of one arm's pretraining; ``roamrl run`` takes no notice of it.

    Attributes:
        arm: The arm.
        space: Values by dotted path, as ``--set`` takes them; every trial is a learner of its own.
        members: Values of what members have for themselves; all are members of one trial's population.
        scheduler: What ends trials early: nothing, successive halving (``asha``) or the rule of the median; or, within
            a population, what lets worse members take over better ones (``pbt``).
        algorithm: How values are drawn: independently, or where earlier trials did well (``optuna``).
        budget: How much it may take.
        metric: Split whose mean score is compared; the study's ``val``, and no other.
        concurrency: Trials at a time; None takes one a CPU.
        seed: Seed of what is drawn, and with the study's of training.
        asha: Successive halving.
        pbt: Population-based training.
    """

    arm: str
    space: dict[str, SpaceEntry] = Field(default_factory=dict)
    members: dict[MemberSetting, SpaceEntry] = Field(default_factory=dict)
    scheduler: Literal["none", "asha", "median", "pbt"] = "none"
    algorithm: Literal["random", "optuna"] = "random"
    budget: SearchBudgetEntry = SearchBudgetEntry()
    metric: str | None = None
    concurrency: int | None = Field(None, ge=1)
    seed: int = Field(0, ge=0)
    asha: HalvingEntry = HalvingEntry()
    pbt: ExchangeEntry = ExchangeEntry()

    @property
    def spaces(self) -> Mapping[str, SpaceEntry]:
        """What is searched, by path or by the name of a member's setting."""
        return self.space or {str(name): space for name, space in self.members.items()}

    @model_validator(mode="after")
    def _parts_fit(self) -> SearchEntry:
        if bool(self.space) == bool(self.members):
            raise ValueError("search either a 'space' (a trial each) or 'members' (one population), and not both")
        if self.members:
            self._check_members()
        elif self.scheduler == "pbt":
            raise ValueError("scheduler 'pbt' exchanges members of one population: search 'members', not 'space'")
        if self.algorithm == "optuna":
            self._check_optuna()
        if self.scheduler == "asha" and self.asha.grace > self.budget.reports:
            raise ValueError(f"asha.grace {self.asha.grace} is more than budget.reports {self.budget.reports}")
        return self

    def _check_members(self) -> None:
        if self.scheduler in ("asha", "median"):
            raise ValueError(
                f"members of a population train together, and {self.scheduler!r} stops trials one by one; use "
                "'pbt' or 'none', or search a 'space'"
            )
        if self.algorithm != "random":
            raise ValueError("the members of a population are drawn before any of them has a score: algorithm 'random'")
        for name, space in self.members.items():
            if space.randint or any(isinstance(v, bool) or not isinstance(v, int | float) for v in space.listed):
                raise ValueError(
                    f"members.{name} takes numbers by choice, grid, uniform or loguniform (to YAML 1e-3 is a word and "
                    "1.0e-3 a number)"
                )

    def _check_optuna(self) -> None:
        for path, space in self.space.items():
            if space.grid:
                raise ValueError(f"algorithm 'optuna' walks no grid ({path}); use choice, or algorithm 'random'")
            if any(not isinstance(value, int | float | str) for value in space.listed):
                raise ValueError(f"algorithm 'optuna' chooses among numbers and words ({path}); use algorithm 'random'")

    def check_names(self, arms: Sequence[str], targets: Sequence[str], val: str) -> None:
        """Check what the search names against the study.

        Raises:
            ValueError: If there is no such arm, or scores would be compared where results are reported.
        """
        if self.arm not in arms:
            raise ValueError(f"search.arm {self.arm!r} is no arm of the study, which has {sorted(arms)}")
        if self.metric in (None, val):
            return
        if self.metric in targets:
            raise ValueError(
                f"search.metric: split {self.metric!r} is a target; settings chosen on it would have seen it, and what "
                f"is then reported there would be too good to be true. Choose on val, which is {val!r}"
            )
        raise ValueError(f"search.metric: choices are made on val, which is {val!r} here, got {self.metric!r}")
