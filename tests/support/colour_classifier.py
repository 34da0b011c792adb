"""A small classifier that really looks: its logits are the picture's mean colour."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CLASSES = ("red", "green", "blue")
SIDE_PX = 32
GAIN = 10.0
"""Between a channel's mean of 0..1 and its logit, which is 0 for a mean of a half."""


def write_colour_classifier(
    file: Path, *, classes: int = len(CLASSES), channels_last: bool = False
) -> Path:
    """A network (n, 3, 32, 32), or (n, 32, 32, 3), -> (n, classes) for pixels of 0..1
    (`normalise: unit`) whose logits are GAIN * (mean - 0.5) of so many of red, green and blue; and
    its labels beside it, in `labels.txt`."""
    sides = [SIDE_PX, SIDE_PX]
    shape = [*sides, 3] if channels_last else [3, *sides]
    axes = [1, 2] if channels_last else [2, 3]
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["means"], axes=axes, keepdims=0),
        helper.make_node("Gather", ["means", "kept"], ["colours"], axis=1),
        helper.make_node("Sub", ["colours", "half"], ["contrasts"]),
        helper.make_node("Mul", ["contrasts", "gain"], ["logits"]),
    ]
    constants = {
        "half": np.float32(0.5),
        "gain": np.float32(GAIN),
        "kept": np.arange(classes),
    }
    graph = helper.make_graph(
        nodes,
        "colours",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", *shape])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", classes])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 17)])
    onnx.save(model, file)
    (file.parent / "labels.txt").write_text("\n".join(CLASSES[:classes]))
    return file
