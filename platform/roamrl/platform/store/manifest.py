"""What the store keeps about an expert: the hashed manifest and the envelope around it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property, lru_cache
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from roamrl.envs.canonical import canonical_json, content_hash, plain
from roamrl.envs.errors import InputError, unknown_name
from roamrl.envs.task import Task
from roamrl.platform.store.errors import StoreError
from roamrl.platform.store.limits import LARGEST_INTEGER

_Record = TypeVar("_Record", bound=BaseModel)


_PARSED = "parsed"
"""Validation context of values that come out of a JSON parser: they are plain already."""


def _json_value(value: Any, info: ValidationInfo) -> Any:
    return value if info.context == _PARSED else plain(value)


def _task_json(value: Any, info: ValidationInfo) -> Any:
    return value.to_json() if isinstance(value, Task) else _json_value(value, info)


Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Name = Annotated[str, StringConstraints(min_length=1, max_length=256)]
JSONObject = Annotated[dict[str, Any], BeforeValidator(_json_value)]
TaskObject = Annotated[dict[str, Any], BeforeValidator(_task_json)]
Dtype = Literal[
    "float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool"
]


Integer = Annotated[int, Field(ge=-LARGEST_INTEGER, le=LARGEST_INTEGER)]
Count = Annotated[int, Field(ge=0, le=LARGEST_INTEGER)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SplitScore(_Frozen):
    """An expert's score on one split, with its interval.

    Attributes:
        mean: Mean score over the split's tasks.
        low: Lower end of the interval.
        high: Upper end of the interval.
        seeds: Seeds of the evaluation.
        episodes: Episodes a task was evaluated on.
    """

    mean: FiniteFloat
    low: FiniteFloat
    high: FiniteFloat
    seeds: tuple[Integer, ...] = ()
    episodes: Count = 0

    @model_validator(mode="after")
    def _ordered(self) -> SplitScore:
        if self.low > self.high:
            raise ValueError(f"the interval's low end {self.low} lies above its high end {self.high}")
        return self


class TensorSpec(_Frozen):
    """Shape and dtype of one tensor."""

    shape: tuple[Count, ...]
    dtype: Dtype


class Blob(_Frozen):
    """The object that holds an expert's tensors: its sha256 and its size in bytes."""

    sha256: Digest
    size: Count


class ManifestFields(_Frozen):
    """What a publisher says about an expert; the store adds module, tensors and blob from the policy itself.

    Attributes:
        family: Family id, e.g. ``slicing-v1``.
        config: Full config of the family, shared by the tasks.
        tasks: Tasks it learned on, as :class:`Task` or its JSON form.
        split: Name of the split they are from, if any.
        split_hash: Hash of that split.
        context: Context values that describe it (the task's own, where it learned on one).
        features: Numbers by which contexts are compared, ``Family.features``, [D].
        algorithm: Learning algorithm, e.g. ``ppo``.
        algorithm_config: Its full config.
        strategy: Strategy, e.g. ``joint``.
        strategy_config: Its full config.
        scores: Score by split.
        env_steps: Environment steps spent on it, its parents' not counted.
        cpu_s: CPU time spent on it in seconds.
        parents: Ids of the experts it came from.
        seed: Its member's seed.
        versions: Package versions by name.
        commit: Git commit of the code, if known.
        study: Study it was made by, if any.
        notes: Anything else, JSON.
    """

    family: Name
    config: JSONObject
    tasks: tuple[TaskObject, ...] = ()
    split: Name | None = None
    split_hash: Digest | None = None
    context: JSONObject = Field(default_factory=dict)
    features: tuple[FiniteFloat, ...] = ()
    algorithm: Name = "ppo"
    algorithm_config: JSONObject = Field(default_factory=dict)
    strategy: Name
    strategy_config: JSONObject = Field(default_factory=dict)
    scores: dict[Name, SplitScore] = Field(default_factory=dict)
    env_steps: Count
    cpu_s: Annotated[FiniteFloat, Field(ge=0)] = 0.0
    parents: tuple[Digest, ...] = ()
    seed: Integer
    versions: dict[Name, str] = Field(default_factory=dict)
    commit: str | None = None
    study: Name | None = None
    notes: JSONObject = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_config(self) -> ManifestFields:
        for number, task in enumerate(self.tasks):
            if set(task) != {"family", "config", "context"}:
                raise ValueError(f"task {number} has the fields {sorted(task)}; give family, config and context")
            if task["family"] != self.family or task["config"] != self.config:
                raise ValueError(f"task {number} is of another family or config than the manifest; they must agree")
        return self

    @cached_property
    def config_hash(self) -> str:
        """The sha256 of family and config, as ``Task.config_hash``: experts that share it share spaces."""
        return _config_hash(self.family, json.dumps(self.config, sort_keys=True))

    def task_list(self) -> list[Task]:
        """Return the tasks as records."""
        return [Task.from_json(task) for task in self.tasks]


class Manifest(ManifestFields):
    """Everything the store knows of an expert; its id is the sha256 of the manifest's canonical JSON.

    Attributes:
        format: Version of this record.
        module: The module spec's JSON form (``ModuleSpec.from_json``).
        tensors: Shape and dtype by tensor name.
        blob: Where the tensors lie.
    """

    format: Literal["roamrl-expert-v1"] = "roamrl-expert-v1"
    module: JSONObject
    tensors: dict[str, TensorSpec]
    blob: Blob

    def to_bytes(self) -> bytes:
        """Return the canonical JSON whose sha256 is the id.

        Raises:
            StoreError: If a value has no canonical form (NaN, an integer beyond 2**53).
        """
        try:
            return canonical_json(self.model_dump())
        except InputError as error:
            raise StoreError(f"the manifest is {error}") from error


class Envelope(_Frozen):
    """What stands outside the hash: when and by whom an entry was published.

    Attributes:
        published: Time in UTC, ISO 8601, by the publisher's clock.
        publisher: Who, e.g. ``user@host``.
    """

    published: Name
    publisher: Name


@lru_cache(maxsize=256)
def _config_hash(family: str, config: str) -> str:
    return content_hash({"family": family, "config": json.loads(config)})


def build_record(kind: type[_Record], value: Mapping[str, Any], what: str, *, parsed: bool = False) -> _Record:
    """Build a record from a mapping, with errors that name the field and the nearest known one.

    Args:
        kind: The record.
        value: Its fields.
        what: What it is, for messages.
        parsed: Whether the values come from :func:`read_json`.

    Raises:
        StoreError: If a field is unknown, missing or refused.
    """
    for key in value:
        if key not in kind.model_fields:
            raise StoreError(f"{what}: {unknown_name('field', str(key), kind.model_fields)}")
    try:
        return kind.model_validate(value, context=_PARSED if parsed else None)
    except RecursionError as error:
        raise StoreError(f"{what} is nested too deeply; flatten it") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the record"
        raise StoreError(f"{what}: {place}: {first['msg']}, got {str(first['input'])[:120]}; correct it") from error
