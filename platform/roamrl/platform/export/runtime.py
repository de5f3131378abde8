"""An exported policy in onnxruntime: one step for a batch of rows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from roamrl.envs.errors import InputError
from roamrl.platform.export.interface import METADATA_PREFIX


class OnnxPolicy:
    """A policy that acts from its ONNX model alone, on one thread, without torch.

    Attributes:
        metadata: What the model says of itself, by name without prefix.
        outputs: Names of its outputs.
    """

    def __init__(self, model: bytes) -> None:
        """Load a model.

        Raises:
            InputError: If it is no model, or none of ours.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own exceptions share no other base
            raise InputError(f"onnxruntime cannot load the model: {error}; export the expert anew") from error
        found = self._session.get_modelmeta().custom_metadata_map
        own = METADATA_PREFIX
        self.metadata = {name.removeprefix(own): value for name, value in found.items() if name.startswith(own)}
        if "interface" not in self.metadata:
            raise InputError("the model does not say what it reads; export it with `roamrl export`")
        self.outputs = [output.name for output in self._session.get_outputs()]

    @property
    def interface(self) -> dict[str, Any]:
        """Its inputs and outputs, as ``Interface.to_json`` gives them."""
        found: dict[str, Any] = json.loads(self.metadata["interface"])
        return found

    def step(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Return all outputs by name for inputs by name, each with N rows."""
        found = self._session.run(self.outputs, dict(inputs))
        return {name: np.asarray(value) for name, value in zip(self.outputs, found, strict=True)}
