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
) -> Path:
    """A network that answers every input (1, 3, *sides) with the same outputs. `inputs`: further
    ones and shapes."""
    input_values = [
        helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, [1, 3, *sides])
    ]
    input_values += [
        helper.make_tensor_value_info(name, TensorProto.INT64, shape)
        for name, shape in (inputs or {}).items()
    ]
    arrays = {name: np.asarray(value, dtype=np.float32) for name, value in outputs.items()}
    output_values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, array.shape)
        for name, array in arrays.items()
    ]
    nodes = [
        helper.make_node("Constant", [], [name], value=numpy_helper.from_array(array))
        for name, array in arrays.items()
    ]
    graph = helper.make_graph(nodes, "always the same", input_values, output_values)
    onnx.save(
        helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 17)]), file
    )
    return file


class InferenceServer:
    """Serves one network, whatever the model is called, by the Open Inference Protocol v2: really
    run, by ONNX Runtime. It keeps its `requests`.

    It takes and gives tensors in binary where it is told to. `instead` has replies by how a path
    ends; they go before its own.
    """

    def __init__(self, network: Path, *, binary: bool = True) -> None:
        self.session = InferenceSession(str(network), providers=["CPUExecutionProvider"])
        self.binary = binary
        self.instead: dict[str, Reply] = {}
        self.requests: list[Call] = []

    def __call__(self, call: Call) -> Reply:
        self.requests.append(call)
        for ending, reply in self.instead.items():
            if call.path.endswith(ending):
                return reply
        if call.path == "/v2":
            extensions = ["binary_tensor_data"] if self.binary else []
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
