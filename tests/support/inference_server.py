"""Tiny networks, and a server that runs one by the Open Inference Protocol."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import InferenceSession

from tests.support.services import Call, Reply

HEADER_LENGTH = "Inference-Header-Content-Length"
DATATYPES = {
    "tensor(float)": "FP32",
    "tensor(float16)": "FP16",
    "tensor(int64)": "INT64",
    "tensor(bool)": "BOOL",
}
NUMPY_TYPES = {"FP32": np.float32, "FP16": np.float16, "INT64": np.int64, "BOOL": np.bool_}


def write_network(
    file: Path,
    outputs: Mapping[str, Any],
    sides: tuple[Any, Any] = ("h", "w"),
    inputs: Mapping[str, Any] | None = None,
    *,
    channels_last: bool = False,
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """A network that answers every input (1, 3, *sides) with the same outputs. `inputs`: further
    ones and shapes; `metadata`: what its exporter left in the file.

    Outputs named `boxes` are multiplied by the width and height in an input `orig_target_sizes`,
    where there is one. Outputs that are arrays of int64 stay such; all others are float32.
    """
    shape = [1, *sides, 3] if channels_last else [1, 3, *sides]
    input_values = [helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, shape)]
    input_values += [
        helper.make_tensor_value_info(name, TensorProto.INT64, shape)
        for name, shape in (inputs or {}).items()
    ]
    arrays = {name: _tensor(value) for name, value in outputs.items()}
    output_values = [
        helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
        )
        for name, array in arrays.items()
    ]
    scaled = "boxes" if "orig_target_sizes" in (inputs or {}) else None
    nodes = [
        helper.make_node(
            "Constant",
            [],
            ["fractions" if name == scaled else name],
            value=numpy_helper.from_array(array),
        )
        for name, array in arrays.items()
    ]
    graph = helper.make_graph(
        nodes + (BOX_SCALING if scaled else []), "always the same", input_values, output_values
    )
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 17)])
    helper.set_model_props(model, dict(metadata or {}))
    onnx.save(model, file)
    return file


BOX_SCALING = [
    helper.make_node("Cast", ["orig_target_sizes"], ["sides"], to=TensorProto.FLOAT),
    helper.make_node("Concat", ["sides", "sides"], ["corner_sides"], axis=1),
    helper.make_node("Mul", ["fractions", "corner_sides"], ["boxes"]),
]
"""Corners as fractions, times the sizes (1, 2) that a network was told."""


def _tensor(value: Any) -> np.ndarray:
    is_integer = isinstance(value, np.ndarray) and value.dtype == np.int64
    return value if is_integer else np.asarray(value, dtype=np.float32)


class InferenceServer:
    """Serves one network, whatever the model is called, by the Open Inference Protocol v2: really
    run, by ONNX Runtime. It keeps its `requests`.

    It takes and gives tensors in binary where it is told to, and refuses them else; `lists_binary`
    tells whether it says so. `instead` has replies by how a path ends; they go before its own.
    `most_pictures` is what one request may hold, as Triton's `max_batch_size`.
    """

    def __init__(
        self, network: Path, *, binary: bool = True, lists_binary: bool | None = None
    ) -> None:
        self.session = InferenceSession(str(network), providers=["CPUExecutionProvider"])
        self.binary = binary
        self.lists_binary = binary if lists_binary is None else lists_binary
        self.instead: dict[str, Reply] = {}
        self.most_pictures: int | None = None
        self.requests: list[Call] = []

    def __call__(self, call: Call) -> Reply:
        self.requests.append(call)
        for ending, reply in self.instead.items():
            if call.path.endswith(ending):
                return reply
        if call.path == "/v2":
            extensions = ["binary_tensor_data"] if self.lists_binary else []
            return 200, {}, {"name": "tests", "extensions": extensions}
        if call.path.endswith("/infer"):
            return self._infer(call)
        if call.path.endswith("/ready"):
            return 200, {}, b""
        inputs, outputs = self.session.get_inputs(), self.session.get_outputs()
        metadata = {
            "inputs": list(map(self._tensor_metadata, inputs)),
            "outputs": list(map(self._tensor_metadata, outputs)),
        }
        return 200, {}, metadata

    @staticmethod
    def _tensor_metadata(tensor: Any) -> dict[str, Any]:
        shape = [side if isinstance(side, int) else -1 for side in tensor.shape]
        return {"name": tensor.name, "datatype": DATATYPES[tensor.type], "shape": shape}

    def _infer(self, call: Call) -> Reply:
        if HEADER_LENGTH in call.headers and not self.binary:
            return 422, {}, {"error": "this is no JSON"}
        length = int(call.headers.get(HEADER_LENGTH, len(call.body)))
        question, tail, feeds = json.loads(call.body[:length]), call.body[length:], {}
        for tensor in question["inputs"]:
            dtype = NUMPY_TYPES[tensor["datatype"]]
            if "data" in tensor:
                array = np.array(tensor["data"], dtype)
            else:
                size = tensor["parameters"]["binary_data_size"]
                array, tail = np.frombuffer(tail[:size], dtype), tail[size:]
            feeds[tensor["name"]] = array.reshape(tensor["shape"])
        if tail:
            return 400, {}, {"error": f"{len(tail)} bytes too many"}
        if self.most_pictures is not None and len(feeds["image"]) > self.most_pictures:
            return 400, {}, {"error": f"batch-size must be <= {self.most_pictures}"}
        try:
            arrays = self.session.run([output["name"] for output in question["outputs"]], feeds)
        except Exception as error:  # ONNX Runtime's exceptions share no base of their own
            return 400, {}, {"error": str(error)}
        return self._inference_reply(question["outputs"], arrays)

    def _inference_reply(
        self, outputs: Sequence[dict[str, Any]], arrays: Sequence[np.ndarray]
    ) -> Reply:
        rows, tail = [], b""
        for output, array in zip(outputs, arrays, strict=True):
            row = {"name": output["name"], "shape": array.shape}
            row["datatype"] = next(
                name for name, dtype in NUMPY_TYPES.items() if dtype == array.dtype
            )
            if self.binary and output.get("parameters", {}).get("binary_data"):
                row["parameters"], tail = {"binary_data_size": array.nbytes}, tail + array.tobytes()
            else:
                row["data"] = array.tolist()
            rows.append(row)
        head = json.dumps({"model_name": "net", "outputs": rows}).encode()
        return 200, {HEADER_LENGTH: str(len(head))} if tail else {}, head + tail
