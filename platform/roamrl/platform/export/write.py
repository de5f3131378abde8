"""Experts to ONNX files: built, checked and compared before anything is written."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from roamrl.envs.atomic_file import write_atomically
from roamrl.envs.errors import InputError
from roamrl.platform.export.interface import Interface
from roamrl.platform.optional_packages import need_packages

if TYPE_CHECKING:
    from roamrl.platform.store.expert import Expert

EXTRA = "onnx"


@dataclass(frozen=True)
class Exported:
    """A policy as an ONNX model.

    Attributes:
        model: The model's bytes.
        interface: What it reads and says.
        difference: Greatest difference to the torch policy found (:func:`roamrl.platform.export.parity.check_parity`).
    """

    model: bytes
    interface: Interface
    difference: float


def export_expert(expert: Expert) -> Exported:
    """Return an expert as a checked ONNX model.

    Its metadata holds, each name beginning with ``roamrl.``: ``id``, ``family``, ``config``, ``observation_space``,
    ``action_space``, ``interface``, ``extras`` (JSON), ``module_kind``, ``strategy``, ``trial_episodes``, ``version``.

    Raises:
        InputError: If ``onnx`` or ``onnxruntime`` is missing, the policy cannot be exported, or the model is not what
            the policy is.
        StoreError: If the expert's weights are missing or were changed.
    """
    need_packages(EXTRA, "onnx", "onnxruntime")
    import onnx

    from roamrl.platform.export.parity import check_parity
    from roamrl.platform.export.policy_model import policy_model
    from roamrl.platform.export.runtime import OnnxPolicy

    bundle = expert.bundle()
    model, interface = policy_model(bundle, _metadata(expert))
    onnx.checker.check_model(model, full_check=True)
    data = model.SerializeToString(deterministic=True)
    return Exported(data, interface, check_parity(bundle, interface, OnnxPolicy(data)))


def write_onnx(expert: Expert, file: Path, *, force: bool = False) -> Exported:
    """Export an expert into a file, which is there whole or not at all.

    Args:
        expert: The expert.
        file: Where to.
        force: Whether to replace a file that is there.

    Raises:
        InputError: As :func:`export_expert`; or the file is there, or its folder is not.
    """
    file = file.absolute()
    if file.is_dir():
        raise InputError(f"{file} is a folder; name a file in it, e.g. {file / 'policy.onnx'}")
    if not file.parent.is_dir():
        raise InputError(f"there is no folder {file.parent}; make it first")
    if file.exists() and not force:
        raise InputError(f"{file} exists already; replace it with --force, or name another file")
    exported = export_expert(expert)
    write_atomically(file, exported.model)
    return exported


def _metadata(expert: Expert) -> dict[str, str]:
    from importlib.metadata import version

    manifest = expert.manifest
    module = manifest.module
    return {
        "id": expert.id,
        "family": manifest.family,
        "config": json.dumps(manifest.config),
        "observation_space": json.dumps(module["observation_space"]),
        "action_space": json.dumps(module["action_space"]),
        "extras": json.dumps(module.get("extras", {})),
        "strategy": manifest.strategy,
        "trial_episodes": str(module.get("extras", {}).get("trial_episodes", 1)),
        "version": version("roamrl"),
    }
