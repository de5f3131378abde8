"""Reading a study: a built-in name or a file, overrides, and errors that name the nearest known key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from roamrl.envs.errors import InputError, unknown_name
from roamrl.platform.study.schema import Study

_Model = TypeVar("_Model", bound=BaseModel)


def study_names() -> list[str]:
    """Return the names of the built-in studies."""
    return sorted(item.name.removesuffix(".yaml") for item in _builtin().iterdir() if item.name.endswith(".yaml"))


def load_study(name_or_path: str, overrides: Sequence[str] = ()) -> Study:
    """Read a study.

    A study that says ``extends: NAME`` has every top-level entry of that one which it does not say itself.

    Args:
        name_or_path: Name of a built-in study, or a YAML file.
        overrides: ``a.b=value`` each; the value is YAML.

    Raises:
        InputError: If there is no such study, or it says something that a study may not say.
    """
    raw = _read(name_or_path, ())
    for override in overrides:
        _apply(raw, override)
    return check_study(raw, name_or_path)


def check_study(raw: Mapping[str, Any], origin: str) -> Study:
    """Check a study given as plain values.

    Args:
        raw: The study.
        origin: Where it comes from, for messages.

    Raises:
        InputError: With every fault in it, one a line.
    """
    return check_entry(Study, raw, origin)


def check_entry(model: type[_Model], raw: Mapping[str, Any], origin: str) -> _Model:
    """Check plain values against what a file of this kind may say.

    Args:
        model: What it may say.
        raw: What it says.
        origin: Where it comes from, for messages.

    Raises:
        InputError: With every fault in it, one a line.
    """
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        raise InputError(f"{origin}: " + "\n".join(_explain(fault, model) for fault in error.errors())) from error


def _builtin() -> Traversable:
    return files("roamrl.platform") / "studies"


def _read(name_or_path: str, extended_by: tuple[str, ...]) -> dict[str, Any]:
    if name_or_path in extended_by:
        raise InputError(f"studies extend each other in a circle: {' -> '.join((*extended_by, name_or_path))}")
    try:
        raw = yaml.safe_load(_find(name_or_path).read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{name_or_path} is not YAML: {error}") from error
    if not isinstance(raw, dict):
        raise InputError(f"{name_or_path} holds no study; 'roamrl init DIR' writes one to start from")
    if "extends" not in raw:
        return raw
    other = raw.pop("extends")
    if not isinstance(other, str):
        raise InputError(f"{name_or_path}: 'extends' is the name of a study, got {other!r}")
    return {**_read(other, (*extended_by, name_or_path)), **raw}


def _find(name_or_path: str) -> Traversable | Path:
    if name_or_path in study_names():
        return _builtin() / f"{name_or_path}.yaml"
    path = Path(name_or_path)
    if path.is_dir():
        path = path / "study.yaml"
    if path.is_file():
        return path
    if path.suffix or "/" in name_or_path:
        raise InputError(f"no study file {path}; 'roamrl init DIR' writes one to start from")
    raise unknown_name("study", name_or_path, study_names())


def _apply(raw: dict[str, Any], override: str) -> None:
    path, equals, text = override.partition("=")
    if not equals or not path:
        raise InputError(f"override {override!r} has not the form a.b=value")
    *parents, last = path.split(".")
    place = raw
    for parent in parents:
        place = place.setdefault(parent, {})
        if not isinstance(place, dict):
            raise InputError(f"override {override!r}: {parent!r} is a value, not a group of settings")
    try:
        place[last] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"override {override!r}: the value is not YAML: {error}") from error


def _explain(fault: Mapping[str, Any], model: type[BaseModel]) -> str:
    place = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        return str(unknown_name("key", place, _keys_at(fault["loc"], model)))
    message = str(fault["msg"]).removeprefix("Value error, ")
    given = fault.get("input")
    shown = f" (got {given!r})" if isinstance(given, str | int | float | bool) else ""
    return f"{place + ': ' if place else ''}{message}{shown}"


def _keys_at(location: tuple[int | str, ...], whole: type[BaseModel]) -> list[str]:
    """Return the full paths of the keys that are known where an unknown one was found."""
    model: type[BaseModel] | None = whole
    for part in location[:-1]:
        field = model.model_fields.get(str(part)) if model else None
        if field is not None:
            model = _model_in(field.annotation)
    prefix = ".".join(str(part) for part in location[:-1])
    return [f"{prefix}.{name}" if prefix else name for name in (model.model_fields if model else {})]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for part in get_args(annotation):
        found = _model_in(part)
        if found is not None:
            return found
    return None
