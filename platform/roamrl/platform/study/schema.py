"""What a study file may say, checked; a key nobody knows is an error that names the nearest known one."""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import Field, model_validator

from roamrl.envs.canonical import JSON, content_hash
from roamrl.envs.family import get_family
from roamrl.platform.study.learning_entries import AdaptEntry, DQNEntry, Entry, ModuleEntry, PPOEntry, PretrainEntry
from roamrl.platform.study.search_entries import SearchEntry


class TaskEntry(Entry):
    """One task of the user's own.

    Attributes:
        name: What tables and figures call it.
        context: Context values that differ from the family's defaults; ``trace:NAME`` stands for a recording.
    """

    name: str
    context: dict[str, JSON] = Field(default_factory=dict)


class SplitEntry(Entry):
    """A set of tasks: listed, taken from the family's published splits, or sampled from its ranges.

    Attributes:
        tasks: Tasks written out.
        published: Name of a published split of the family config.
        variant: Family config variant whose published split it is; its contexts are met under the study's own config.
        first: Take only so many tasks of the published split.
        sample: Draw so many tasks from the training ranges.
        seed: Seed of the drawing.
        outside: Variables drawn from their out-of-distribution range.
        fixed: Context values that are not drawn.
    """

    tasks: tuple[TaskEntry, ...] = ()
    published: str | None = None
    variant: str | None = None
    first: int | None = Field(None, ge=1)
    sample: int | None = Field(None, ge=1)
    seed: int = 0
    outside: tuple[str, ...] = ()
    fixed: dict[str, JSON] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_form(self) -> SplitEntry:
        forms = [bool(self.tasks), self.published is not None, self.sample is not None]
        if sum(forms) != 1:
            raise ValueError("a split has exactly one of: tasks (a list), published (a name), sample (a number)")
        if (self.first is not None or self.variant is not None) and self.published is None:
            raise ValueError("'first' and 'variant' go with 'published'")
        return self


Choose = Literal["rotate", "all", "nearest", "random", "best-on-val", "probe", "predicted"]
"""How an arm chooses the source policy that a member starts from; those that choose are compared in the report."""


class ArmEntry(Entry):
    """One arm: a strategy and what it draws on.

    Attributes:
        strategy: Name of a strategy (``roamrl strategies``).
        settings: The strategy's own settings.
        variants: Settings tried on ``val``, each in place of or beside ``settings``; the best is taken.
        lr: Step sizes tried on ``val`` instead of the study's ``adapt.tune.lr``.
        sources: Split of the source tasks, for strategies that pretrain on some.
        choose: Which source policy a member draws on: ``rotate`` goes round all of them, ``all`` gives it one a source
            task, the nearest context first (for strategies that draw on several experts), ``random`` draws one,
            ``nearest`` takes the one whose context is nearest to the target's, ``best-on-val`` the one with the highest
            mean score on ``val``, ``probe`` the best in a few episodes on the target, ``predicted`` the one whose gain
            a regression on contexts foretells to be the highest.
        up_to: Target episodes at which its curve ends, one of the study's points; None for the last of them.
        probe_episodes: Target episodes that ``probe`` lets every source policy play; they count as target episodes.
        config: Family config overrides of this arm alone (e.g. more observed variables); physics must stay the same.
        module: Settings of the policy module that differ from the study's where the arm meets targets (a smaller
            student).
        pretrain: Pretraining settings that differ from the study's.
    """

    strategy: str
    settings: dict[str, Any] = Field(default_factory=dict)
    variants: tuple[dict[str, Any], ...] = ()
    lr: tuple[float, ...] = ()
    sources: str | None = None
    choose: Choose = "rotate"
    up_to: int | None = Field(None, ge=1)
    probe_episodes: int = Field(5, ge=1)
    config: dict[str, JSON] = Field(default_factory=dict)
    module: dict[str, JSON] = Field(default_factory=dict)
    pretrain: dict[str, Any] = Field(default_factory=dict)


class EvaluationEntry(Entry):
    """How policies are scored.

    Attributes:
        episodes: Episodes an evaluation along a curve.
        final_episodes: Episodes at a curve's ends and for references.
        seed: Evaluation seed, common to all arms.
        greedy: Whether policies take their most likely action; otherwise they sample. Not given it is as the family
            has it (``Family.scored_greedily``), which a study that was read says.
    """

    episodes: int = Field(100, ge=1)
    final_episodes: int = Field(500, ge=1)
    seed: int = 1_000_003
    greedy: bool | None = None

    @model_validator(mode="after")
    def _ends_count_more(self) -> EvaluationEntry:
        if self.final_episodes < self.episodes:
            raise ValueError("evaluation.final_episodes must not be below evaluation.episodes")
        return self


class MetricsEntry(Entry):
    """What the numbers of a report depend on besides the runs; every one is printed on its page (PROTOCOL 5 to 7).

    Attributes:
        window: Updates in the moving average of training returns.
        tolerance: Half-width of the band around the specialist, in score.
        initial_fraction: Share of the target steps over which the initial reward is taken.
        ceiling_fraction: Share of the specialist's score that n* asks for.
        negative_margin: Score by which a run is *clearly* below scratch; the bare share has no margin.
        resamples: Bootstrap resamples of tables.
        band_resamples: Bootstrap resamples of the bands of figures.
        confidence: Confidence of every interval.
        seed: Seed of the bootstrap.
    """

    window: int = Field(20, ge=1)
    tolerance: float = Field(0.1, gt=0)
    initial_fraction: float = Field(0.01, gt=0, le=1)
    ceiling_fraction: float = Field(0.95, gt=0)
    negative_margin: float = Field(0.02, ge=0)
    resamples: int = Field(2000, ge=100)
    band_resamples: int = Field(500, ge=100)
    confidence: float = Field(0.95, gt=0, lt=1)
    seed: int = 0


CLASSICAL_TUNED: Final = "classical-tuned"
"""Arm and strategy of the classical policy that is tuned on each target; it learns nothing, so no arm describes it."""


class TunedClassicalEntry(Entry):
    """The classical policy with its few numbers tuned on the target's own episodes, met as one more arm.

    Attributes:
        up_to: Target episodes after which it tunes no further and stays as it is.
    """

    up_to: int = Field(500, ge=0)


class GapEntry(Entry):
    """Generalisation gap: score on training contexts and on targets against their number, at fixed steps (PROTOCOL 9).

    Attributes:
        arms: Arms whose strategy is trained anew for each number.
        sources: Split of the training contexts; None for the arm's own sources.
        contexts: Numbers of training contexts, each the first so many of the split, and ``unlimited``.
        seeds: Independent members a number.
        steps: Environment steps a member; None for those of the arm's own pretraining.
        pool: Contexts that stand for ``unlimited``: the split's own, then fresh draws.
    """

    arms: tuple[str, ...] = Field(min_length=1)
    sources: str | None = None
    contexts: tuple[int | Literal["unlimited"], ...] = (1, 2, 4, 8, 16, 32, 64, "unlimited")
    seeds: int = Field(3, ge=1)
    steps: int | None = Field(None, ge=1)
    pool: int = Field(4096, ge=2)

    @model_validator(mode="after")
    def _increasing(self) -> GapEntry:
        sizes = [self.pool if number == "unlimited" else number for number in self.contexts]
        if sizes != sorted(set(sizes)) or len(sizes) < 2 or sizes[0] < 1:
            raise ValueError(f"gap.contexts must increase from 1 on, 'unlimited' being {self.pool}, e.g. [1, 4, 16]")
        return self


class ExecutionEntry(Entry):
    """How the work is cut up; results do not depend on it except where members of a trial share a minibatch order.

    Attributes:
        members_per_trial: Most members of one Tune trial.
        trials_at_once: Trials that run at the same time; None takes one a CPU.
        checkpoint_every: Reports of a trial between two checkpoints.
        iterations_per_report: Learner iterations a report.
        max_failures: Restarts of a trial whose process died.
    """

    members_per_trial: int = Field(8, ge=1)
    trials_at_once: int | None = Field(None, ge=1)
    checkpoint_every: int = Field(10, ge=1)
    iterations_per_report: int = Field(10, ge=1)
    max_failures: int = Field(2, ge=0)


class Study(Entry):
    """A study: family, splits, strategies, budgets, seeds.

    Attributes:
        name: Short name.
        about: What it asks, in a sentence.
        family: Family id.
        config: Family config values that differ from the defaults.
        traces: Folder or file of recordings; tasks name them as ``trace:NAME``.
        splits: Sets of tasks by name.
        targets: Splits whose tasks are met by every arm.
        val: Split on which every choice is made.
        arms: Arms by name.
        module: Policy module.
        ppo: Shared settings of PPO's loss.
        dqn: Shared settings of Q-learning, for pretraining by strategies on action values.
        pretrain: Budget of pretraining.
        adapt: How targets are met.
        evaluation: How policies are scored.
        metrics: Parameters of the O-RAN transfer metrics.
        tuned_classical: The classical policy tuned on each target, as an arm of few samples; None for none.
        gap: The generalisation gap against the number of training contexts; None for none.
        zero_shot_matrix: Whether every source policy is scored on every target as it is, also where no arm chooses
            among sources.
        search: Which settings of an arm's pretraining ``roamrl sweep`` tries; None for none. A run ignores it.
        execution: How the work is cut up.
        seed: Root of all training seeds.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    about: str = ""
    family: str
    config: dict[str, JSON] = Field(default_factory=dict)
    traces: str | None = None
    splits: dict[str, SplitEntry]
    targets: tuple[str, ...] = Field(min_length=1)
    val: str
    arms: dict[str, ArmEntry] = Field(min_length=1)
    module: ModuleEntry = ModuleEntry()
    ppo: PPOEntry = PPOEntry()
    dqn: DQNEntry = DQNEntry()
    pretrain: PretrainEntry = PretrainEntry()
    adapt: AdaptEntry = AdaptEntry()
    evaluation: EvaluationEntry = EvaluationEntry()
    metrics: MetricsEntry = MetricsEntry()
    tuned_classical: TunedClassicalEntry | None = None
    gap: GapEntry | None = None
    zero_shot_matrix: bool = False
    search: SearchEntry | None = None
    execution: ExecutionEntry = ExecutionEntry()
    seed: int = 0

    @model_validator(mode="after")
    def _names_meet(self) -> Study:
        for name in self.used_splits:
            if name not in self.splits:
                raise ValueError(f"split {name!r} is used but not defined; 'splits' has {sorted(self.splits)}")
        for name, arm in self.arms.items():
            if arm.up_to is not None and arm.up_to not in self.adapt.episodes:
                raise ValueError(f"arm {name!r}: up_to {arm.up_to} is none of adapt.episodes {self.adapt.episodes}")
        for name in {"trivial", "classical", "oracle", CLASSICAL_TUNED} & set(self.arms):
            raise ValueError(f"arm {name!r}: that name belongs to a reference; choose another")
        known = [name for name, arm in self.arms.items() if arm.sources]
        if self.gap and not set(self.gap.arms) <= set(known):
            raise ValueError(f"gap.arms {list(self.gap.arms)} must be arms with sources, which are {known}")
        if self.val in self.targets:
            raise ValueError("'val' is for choices and may not be a target as well")
        if self.search is not None:
            self.search.check_names(list(self.arms), self.targets, self.val)
        return self

    @property
    def used_splits(self) -> list[str]:
        """Names of the splits that are played on: targets, val, sources."""
        sources = [arm.sources for arm in self.arms.values()] + [self.gap.sources if self.gap else None]
        return [*self.targets, self.val, *(name for name in sources if name)]

    @model_validator(mode="after")
    def _scored_as_the_family_is(self) -> Study:
        """Say how policies act where the study left it to the family: what depends on it depends on the answer."""
        if self.evaluation.greedy is None:
            own = get_family(self.family).scored_greedily
            resolved = self.evaluation.model_copy(update={"greedy": own})
            object.__setattr__(self, "evaluation", resolved)
        return self

    @property
    def hash(self) -> str:
        """The sha256 of what a run depends on: the resolved study without its traces' place on disk and its search."""
        return content_hash(self.model_dump(mode="json", exclude={"traces", "search"}))
