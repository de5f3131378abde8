"""Experts on their way from the store to the service."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from roamrl.envs.errors import InputError
from roamrl.platform.optional_packages import need_packages

if TYPE_CHECKING:
    from roamrl.platform.store.store import ExpertStore

EXTRA = "serve"


@dataclass(frozen=True)
class Published:
    """An expert on its way to the service: plain values that travel to any process.

    Attributes:
        names: Names it answers to beside its id: tags, beginnings of its id.
        model: Its ONNX model, which holds everything else.
    """

    names: tuple[str, ...]
    model: bytes


def published_experts(store: ExpertStore, references: Sequence[str]) -> list[Published]:
    """Return experts as the service takes them, each named once; each answers to all references that mean it.

    Raises:
        InputError: If none is asked for, there is no such expert, or one cannot be exported.
    """
    need_packages(EXTRA, "onnx", "onnxruntime")
    from roamrl.platform.export.write import export_expert

    if not references:
        raise InputError("name at least one expert to serve; list them with `roamrl store ls`")
    names: dict[str, list[str]] = {}
    for reference in references:
        names.setdefault(store.entry(reference).id, []).append(reference)
    return [
        Published(
            tuple(dict.fromkeys(name for name in (*own, expert_id[:12]) if name != expert_id)),
            export_expert(store.get(expert_id)).model,
        )
        for expert_id, own in names.items()
    ]
