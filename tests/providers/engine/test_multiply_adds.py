"""The work of a network is that of its layers, counted on the shapes that they really have."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import NodeProto, TensorProto, helper, numpy_helper

from providers.engine.multiply_adds import UnknownWork, multiply_adds


def write_network(
    file: Path,
    nodes: Sequence[NodeProto],
    constants: dict[str, Sequence[int]],
    *,
    shape: Sequence[int | str] = ("n", 3, "h", "w"),
    inputs: int = 1,
) -> Path:
    """A network of these nodes, from `image` to `out`, with constants of ones."""
    values = [
        helper.make_tensor_value_info("image" if index == 0 else f"more{index}", 1, list(shape))
        for index in range(inputs)
    ]
    graph = helper.make_graph(
        list(nodes),
        "network",
        values,
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)],
        [
            numpy_helper.from_array(np.ones(lengths, np.float32), name)
            for name, lengths in constants.items()
        ],
    )
    onnx.save(
        helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 17)]), file
    )
    return file


def test_a_convolution_counts_its_weights_for_each_value(tmp_path: Path) -> None:
    """A convolution with a stride multiplies, for each value of its output, as many values as one
    filter has; of groups each sees its part of the channels only."""
    nodes = [
        helper.make_node("Conv", ["image", "w"], ["a"], strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["a", "d"], ["out"], group=8, pads=[1, 1, 1, 1]),
    ]
    file = write_network(tmp_path / "net.onnx", nodes, {"w": (8, 3, 3, 3), "d": (8, 1, 3, 3)})
    counts = multiply_adds(file, [(64, 32), (32, 32)])
    assert counts[64, 32] == (8 * 16 * 32) * (27 + 9)
    assert counts[32, 32] == counts[64, 32] // 2


def test_a_head_counts_its_weights(tmp_path: Path) -> None:
    """Fully connected layers and products of matrices multiply once for each weight; an enlarging
    convolution once for each value of its input and each of its weights."""
    nodes = [
        helper.make_node("ConvTranspose", ["image", "t"], ["a"], strides=[2, 2]),
        helper.make_node("ReduceMean", ["a"], ["b"], axes=[2, 3], keepdims=0),
        helper.make_node("Gemm", ["b", "g"], ["c"]),
        helper.make_node("MatMul", ["c", "m"], ["out"]),
    ]
    constants = {"t": (3, 5, 2, 2), "g": (5, 10), "m": (10, 4)}
    file = write_network(tmp_path / "net.onnx", nodes, constants)
    assert multiply_adds(file, [(8, 4)]) == {(8, 4): (3 * 8 * 4) * (5 * 4) + 50 + 40}


def test_channels_may_be_last(tmp_path: Path) -> None:
    """A network that takes the channels last is run so."""
    nodes = [
        helper.make_node("Transpose", ["image"], ["a"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["a", "w"], ["out"]),
    ]
    file = write_network(
        tmp_path / "net.onnx", nodes, {"w": (2, 3, 1, 1)}, shape=("n", "h", "w", 3)
    )
    assert multiply_adds(file, [(8, 4)]) == {(8, 4): 2 * 3 * 8 * 4}


@pytest.mark.parametrize("inputs", [1, 2])
def test_a_network_that_takes_no_picture_has_no_known_work(tmp_path: Path, inputs: int) -> None:
    """A network that fails on a picture, or takes more than one, is refused."""
    nodes = [helper.make_node("Conv", ["image", "w"], ["out"])]
    file = write_network(tmp_path / "net.onnx", nodes, {"w": (2, 4, 1, 1)}, inputs=inputs)
    with pytest.raises(UnknownWork):
        multiply_adds(file, [(8, 4)])
