"""A small detector that really looks: it finds cells of one colour, on inputs of any size and
number."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CLASSES = ("blue", "green", "red")
STRIDES_PX = (8, 16, 32)


def write_colour_network(
    file: Path, sides: tuple[str | int, str | int] = ("h", "w"), pictures: str | int = "n"
) -> Path:
    """A YOLOX (n, 3, h, w) -> (n, anchors, 5 + 3) whose box at each anchor is the anchor's cell,
    and whose class scores are the cell's mean blue, green and red; and its labels beside it, in
    `labels.txt`."""
    nodes = []
    for stride in STRIDES_PX:
        window = [stride, stride]
        nodes.append(
            helper.make_node(
                "AveragePool",
                ["image"],
                [f"pooled{stride}"],
                kernel_shape=window,
                strides=window,
            )
        )
        nodes.append(helper.make_node("Reshape", [f"pooled{stride}", "flat"], [f"cells{stride}"]))
    nodes += [
        helper.make_node("Concat", [f"cells{s}" for s in STRIDES_PX], ["levels"], axis=2),
        helper.make_node("Transpose", ["levels"], ["rows"], perm=[0, 2, 1]),
        helper.make_node("Mul", ["rows", "unit"], ["scores"]),
        helper.make_node("Slice", ["scores", "first", "second", "axis"], ["column"]),
        helper.make_node("Mul", ["column", "nothing"], ["zero"]),
        helper.make_node("Add", ["zero", "half"], ["middle"]),
        helper.make_node("Add", ["zero", "whole"], ["one"]),
        helper.make_node(
            "Concat", ["middle", "middle", "zero", "zero", "one", "scores"], ["output"], axis=2
        ),
    ]
    numbers = {"unit": 1 / 255, "nothing": 0.0, "half": 0.5, "whole": 1.0}
    constants = {name: np.float32(value) for name, value in numbers.items()} | {
        "flat": np.array([0, 3, -1]),
        "first": np.array([0]),
        "second": np.array([1]),
        "axis": np.array([2]),
    }
    graph = helper.make_graph(
        nodes,
        "colours",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [pictures, 3, *sides])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [pictures, "anchors", 8])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 17)])
    onnx.save(model, file)
    (file.parent / "labels.txt").write_text("\n".join(CLASSES))
    return file
