"""The work of a network: its multiplications and additions. Needs the packages onnx and
onnxruntime."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

Size = tuple[int, int]
Shapes = Mapping[str, tuple[int, ...]]


class UnknownWork(ValueError):
    """The network takes something else than one picture, or cannot be run on it."""


def multiply_adds(file: Path, sizes: Collection[Size]) -> dict[Size, int]:
    """The multiplications (as many additions follow) of a run on one picture, for pictures of each
    width and height: of convolutions, matrix products and fully connected layers, as papers count a
    network's work; everything else is little beside them. A FLOP count is twice as large.

    The network is run once for each size, so shapes are what they are and need no inference.
    Raises UnknownWork, and ImportError where a package is missing.
    """
    import onnx

    model = onnx.load(file)
    layers = [node for node in model.graph.node if node.op_type in COUNTS]
    constants = {each.name: tuple(each.dims) for each in model.graph.initializer}
    tensors: set[str] = set()
    for node in layers:
        tensors |= {*node.input, *node.output}
    names = sorted(tensors - {"", *constants})
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    try:
        session = _session(model.SerializeToString())
        counts: dict[Size, int] = {}
        for size in sizes:
            arrays = session.run(names, _grey_picture(session, size))
            shapes = constants | _shapes(names, arrays)
            counts[size] = sum(COUNTS[node.op_type](node, shapes) for node in layers)
    except Exception as error:  # ONNX Runtime's exceptions share no base of their own
        raise UnknownWork(f"{file}: cannot be run to count its work: {error}") from error
    return counts


def _session(model: bytes) -> Any:
    """A session in which every layer is as the file has it."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    settings.log_severity_level = 4
    return onnxruntime.InferenceSession(model, settings, providers=["CPUExecutionProvider"])


def _shapes(names: Sequence[str], arrays: Sequence[Any]) -> dict[str, tuple[int, ...]]:
    return {name: array.shape for name, array in zip(names, arrays, strict=True)}


def _grey_picture(session: Any, size: Size) -> dict[str, Any]:
    """The input of a grey picture. Raises ValueError where the network does not take one."""
    inputs = session.get_inputs()
    if len(inputs) != 1 or len(inputs[0].shape) != 4:
        raise ValueError("it takes something else than one picture")
    width, height = size
    shape = inputs[0].shape
    channels_last = shape[3] == 3 and shape[1] != 3
    lengths = (1, height, width, 3) if channels_last else (1, 3, height, width)
    return {inputs[0].name: np.full(lengths, 0.5, np.float32)}


def _convolution(node: Any, shapes: Shapes) -> int:
    """Weights (out, in / groups, *kernel): each value of the output takes a product of the last."""
    return prod(shapes[node.output[0]]) * prod(shapes[node.input[1]][1:])


def _transposed_convolution(node: Any, shapes: Shapes) -> int:
    """Weights (in, out / groups, *kernel): each value of the input takes a product of the last."""
    return prod(shapes[node.input[0]]) * prod(shapes[node.input[1]][1:])


def _matrix_product(node: Any, shapes: Shapes) -> int:
    return prod(shapes[node.output[0]]) * shapes[node.input[0]][-1]


def _fully_connected(node: Any, shapes: Shapes) -> int:
    is_transposed = any(each.name == "transA" and each.i for each in node.attribute)
    return prod(shapes[node.output[0]]) * shapes[node.input[0]][0 if is_transposed else -1]


COUNTS: Mapping[str, Callable[[Any, Shapes], int]] = {
    "Conv": _convolution,
    "ConvTranspose": _transposed_convolution,
    "MatMul": _matrix_product,
    "Gemm": _fully_connected,
}
