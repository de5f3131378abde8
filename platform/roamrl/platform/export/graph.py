"""ONNX graphs, written node by node: a small face over ``onnx.helper``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike
from onnx import helper, numpy_helper

from roamrl.platform.export.interface import Port

OPSET = 17
IR_VERSION = 8
"""The oldest pair that has all operators used here, so that old runtimes take the model too."""


class Graph:
    """A graph under construction; values are known by their names."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[tuple[str, tuple[int, ...], bytes], onnx.TensorProto] = {}

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one output; return the output's name."""
        return self.ops(kind, 1, *inputs, **attributes)[0]

    def ops(self, kind: str, count: int, *inputs: str, **attributes: Any) -> list[str]:
        """Add a node with several outputs; return their names."""
        number = len(self._nodes)
        outputs = [f"{kind.lower()}_{number}" + (f"_{part}" if count > 1 else "") for part in range(count)]
        self._nodes.append(helper.make_node(kind, list(inputs), outputs, name=f"{kind}_{number}", **attributes))
        return outputs

    def constant(self, value: ArrayLike, dtype: str = "float32") -> str:
        """Return the name of a constant; equal ones are stored once."""
        array = np.ascontiguousarray(np.asarray(value).astype(dtype)).reshape(np.shape(value))
        key = (dtype, array.shape, array.tobytes())
        if key not in self._constants:
            self._constants[key] = numpy_helper.from_array(array, f"constant_{len(self._constants)}")
        return self._constants[key].name

    def cast(self, value: str, dtype: str) -> str:
        """Convert to another dtype."""
        return self.op("Cast", value, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def concat(self, *values: str) -> str:
        """Put values side by side along their last axis."""
        return values[0] if len(values) == 1 else self.op("Concat", *values, axis=-1)

    def split(self, value: str, sizes: Sequence[int]) -> list[str]:
        """Cut a value into parts along its last axis; parts without any number get no node and no name."""
        kept = [size for size in sizes if size]
        if len(kept) == 1:
            return [value if size else "" for size in sizes]
        parts = iter(self.ops("Split", len(kept), value, self.constant(kept, "int64"), axis=-1))
        return [next(parts) if size else "" for size in sizes]

    def reshape(self, value: str, *shape: int) -> str:
        """Reshape; 0 keeps an axis, -1 is whatever is left."""
        return self.op("Reshape", value, self.constant(shape, "int64"))

    def unsqueeze(self, value: str, *axes: int) -> str:
        """Insert axes of size 1."""
        return self.op("Unsqueeze", value, self.constant(axes, "int64"))

    def squeeze(self, value: str, *axes: int) -> str:
        """Drop axes of size 1."""
        return self.op("Squeeze", value, self.constant(axes, "int64"))

    def total(self, value: str, axis: int) -> str:
        """Sum over an axis, which stays with size 1."""
        return self.op("ReduceSum", value, self.constant([axis], "int64"), keepdims=1)

    def name(self, value: str, name: str) -> None:
        """Make a value known as an output under a name of its own."""
        self._nodes.append(helper.make_node("Identity", [value], [name], name=f"output_{name}"))

    def model(self, inputs: Sequence[Port], outputs: Sequence[Port], title: str) -> onnx.ModelProto:
        """Return the finished model."""
        graph = helper.make_graph(
            self._nodes,
            title,
            [_value_info(port) for port in inputs],
            [_value_info(port) for port in outputs],
            initializer=list(self._constants.values()),
        )
        return helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="roamrl"
        )


def _value_info(port: Port) -> onnx.ValueInfoProto:
    code = helper.np_dtype_to_tensor_dtype(np.dtype(port.dtype))
    return helper.make_tensor_value_info(port.name, code, list(port.axes), doc_string=port.about)
