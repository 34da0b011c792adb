"""Tiny networks, and a server that runs them by the Open Inference Protocol."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import InferenceSession

from tests.support.clouds import Reply, Request


def write_network(
    file: Path,
    outputs: Mapping[str, Any],
    sides: tuple[Any, Any] = ("h", "w"),
    inputs: Mapping[str, Any] | None = None,
) -> Path:
    """A network that answers every input (1, 3, *sides) with the same outputs; `inputs` are the
    shapes of further inputs."""
    input_infos = [helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, [1, 3, *sides])]
    input_infos += [
        helper.make_tensor_value_info(key, TensorProto.INT64, shape)
        for key, shape in (inputs or {}).items()
    ]
    arrays = {key: np.asarray(value, dtype=np.float32) for key, value in outputs.items()}
    output_infos = [
        helper.make_tensor_value_info(key, TensorProto.FLOAT, value.shape)
        for key, value in arrays.items()
    ]
    nodes = [
        helper.make_node("Constant", [], [key], value=numpy_helper.from_array(value))
        for key, value in arrays.items()
    ]
    graph = helper.make_graph(nodes, "always the same", input_infos, output_infos)
    onnx.save(
        helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 17)]), file
    )
    return file


HEADER_LENGTH = "Inference-Header-Content-Length"


DATATYPES = {
    "tensor(float)": "FP32",
    "tensor(float16)": "FP16",
    "tensor(int64)": "INT64",
    "tensor(bool)": "BOOL",
}


NUMPY = {"FP32": np.float32, "FP16": np.float16, "INT64": np.int64, "BOOL": np.bool_}


class InferenceServer:
    """Runs one network with ONNX Runtime, under any model name, by the Open Inference Protocol v2.

    `binary` allows tensors in binary. `instead` holds replies to give in its place, by the end of
    the path.
    """

    def __init__(self, network: Path, *, binary: bool = True) -> None:
        self.session = InferenceSession(str(network), providers=["CPUExecutionProvider"])
        self.binary = binary
        self.instead: dict[str, Reply] = {}
        self.requests: list[Request] = []

    def __call__(self, request: Request) -> Reply:
        self.requests.append(request)
        for ending, reply in self.instead.items():
            if request.path.endswith(ending):
                return reply
        if request.path == "/v2":
            extensions = ["binary_tensor_data"] if self.binary else []
            return 200, {}, {"name": "tests", "extensions": extensions}
        if request.path.endswith("/infer"):
            return self._infer(request)
        if request.path.endswith("/ready"):
            return 200, {}, b""
        inputs = [self._description(tensor) for tensor in self.session.get_inputs()]
        outputs = [self._description(tensor) for tensor in self.session.get_outputs()]
        return 200, {}, {"inputs": inputs, "outputs": outputs}

    @staticmethod
    def _description(tensor: Any) -> dict[str, Any]:
        shape = [side if isinstance(side, int) else -1 for side in tensor.shape]
        return {"name": tensor.name, "datatype": DATATYPES[tensor.type], "shape": shape}

    def _infer(self, request: Request) -> Reply:
        length = int(request.headers.get(HEADER_LENGTH, len(request.body)))
        question, tail, feeds = json.loads(request.body[:length]), request.body[length:], {}
        for tensor in question["inputs"]:
            kind = NUMPY[tensor["datatype"]]
            if "data" in tensor:
                array = np.array(tensor["data"], kind)
            else:
                size = tensor["parameters"]["binary_data_size"]
                array, tail = np.frombuffer(tail[:size], kind), tail[size:]
            feeds[tensor["name"]] = array.reshape(tensor["shape"])
        if tail:
            return 400, {}, {"error": f"{len(tail)} bytes too many"}
        try:
            arrays = self.session.run([output["name"] for output in question["outputs"]], feeds)
        except Exception as error:  # ONNX Runtime's exceptions share no base of their own
            return 400, {}, {"error": str(error)}
        return self._reply(question["outputs"], arrays)

    def _reply(self, requested: Sequence[dict[str, Any]], arrays: Sequence[Any]) -> Reply:
        outputs, tail = [], b""
        for output, array in zip(requested, arrays, strict=True):
            row = {"name": output["name"], "shape": array.shape}
            row["datatype"] = next(kind for kind, known in NUMPY.items() if known == array.dtype)
            if self.binary and output.get("parameters", {}).get("binary_data"):
                row["parameters"], tail = {"binary_data_size": array.nbytes}, tail + array.tobytes()
            else:
                row["data"] = array.tolist()
            outputs.append(row)
        head = json.dumps({"model_name": "net", "outputs": outputs}).encode()
        return 200, {HEADER_LENGTH: str(len(head))} if tail else {}, head + tail
