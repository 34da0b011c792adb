"""The messages of the Open Inference Protocol v2 over HTTP, their tensors as JSON or in binary
behind it. Pure.

https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol and, for binary
tensors,
https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, NamedTuple

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

HEADER_LENGTH = "Inference-Header-Content-Length"
"""The header that gives the length of the JSON before the binary tensors, in bytes."""
BINARY_EXTENSION = "binary_tensor_data"
"""The extension that a server with binary tensors lists."""
FLOATS = {"FP16": "<f2", "FP32": "<f4", "FP64": "<f8"}
NUMBERS = {**FLOATS, "INT64": "<i8", "INT32": "<i4"}
"""The datatypes of outputs that are read."""
DATATYPES = {**NUMBERS, "BOOL": "?"}

MAX_OVERHEAD_BYTES = 64 * 1024
"""Room for everything in a response but its numbers."""
MAX_JSON_NUMBER_BYTES = 32
"""Bytes of one number, with a comma and a space; in binary it has at most 8."""
MAX_SIDE = 2**31
MAX_AXES = 8


class Tensor(Struct):
    """An input or output in a model's metadata. Sides of -1 may vary."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(Struct):
    """The inputs and outputs of a model."""

    inputs: list[Tensor]
    outputs: list[Tensor]


class ServerMetadata(Struct):
    """The capabilities of a server."""

    extensions: list[str] = []


class InferRequest(NamedTuple):
    """The content and headers of an inference request."""

    content: bytes
    headers: Mapping[str, str]


class _OutputTensor(Struct):
    name: str
    datatype: str
    shape: list[int]
    data: list[Any] | None = None
    parameters: dict[str, Any] | None = None


class _InferResponse(Struct):
    outputs: list[_OutputTensor]


class _ErrorResponse(Struct):
    error: str


def infer_request(
    feeds: Sequence[tuple[Tensor, NDArray[Any]]], output_names: Sequence[str], *, binary: bool
) -> InferRequest:
    """The request for these outputs from these inputs, both in binary or both in JSON."""
    arrays: list[NDArray[Any]] = []
    inputs: list[dict[str, Any]] = []
    for tensor, values in feeds:
        array = np.ascontiguousarray(values, dtype=DATATYPES[tensor.datatype])
        arrays.append(array)
        row: dict[str, Any] = {"name": tensor.name, "datatype": tensor.datatype}
        row["shape"] = list(array.shape)
        if binary:
            row["parameters"] = {"binary_data_size": array.nbytes}
        else:
            row["data"] = array.ravel().tolist()
        inputs.append(row)
    parameters = {"parameters": {"binary_data": True}} if binary else {}
    outputs = [{"name": name, **parameters} for name in output_names]
    head = msgspec.json.encode({"inputs": inputs, "outputs": outputs})
    if not binary:
        return InferRequest(head, {"Content-Type": "application/json"})
    headers = {"Content-Type": "application/octet-stream", HEADER_LENGTH: str(len(head))}
    return InferRequest(b"".join([head, *(array.tobytes() for array in arrays)]), headers)


def max_response_bytes(numbers: int) -> int:
    """The most bytes of a response with this many numbers: some servers answer in JSON even where
    they were asked in binary."""
    return MAX_OVERHEAD_BYTES + MAX_JSON_NUMBER_BYTES * numbers


def outputs_of(
    body: bytes, headers: Mapping[str, str], output_names: Sequence[str], max_numbers: int
) -> dict[str, NDArray[Any]]:
    """The arrays of a response by output, in the order of `output_names`; at most `max_numbers`
    numbers in all.

    Raises ValueError that says what is wrong with the response.
    """
    head_bytes = head_length(body, headers.get(HEADER_LENGTH))
    # checked before decoding: a number of two bytes grows to thirty-two
    if body.count(b",", 0, head_bytes) > max_numbers + MAX_OVERHEAD_BYTES // 8:
        raise ValueError(f"it has more than {max_numbers} numbers")
    content = memoryview(body)
    try:
        response = msgspec.json.decode(content[:head_bytes], type=_InferResponse)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"its JSON is no answer of the protocol: {error}") from None
    arrays = _arrays(response.outputs, content[head_bytes:], max_numbers)
    if not arrays.keys() >= set(output_names):
        raise ValueError(
            f"it has the outputs {', '.join(arrays) or 'none'}, not {', '.join(output_names)}"
        )
    return {name: arrays[name] for name in output_names}


def head_length(body: bytes, length: str | None) -> int:
    """The bytes of a body's JSON part, from the header HEADER_LENGTH; all of them without it.

    Raises ValueError if it is no length, or beyond the body.
    """
    text = str(len(body)) if length is None else length
    is_number = text.isascii() and text.isdigit() and len(text) < 12
    if not is_number or int(text) > len(body):
        raise ValueError(f"{HEADER_LENGTH} is {text[:20]!r}, of a body of {len(body)} bytes")
    return int(text)


def _arrays(
    outputs: Sequence[_OutputTensor], binary: memoryview, max_numbers: int
) -> dict[str, NDArray[Any]]:
    """The arrays of all outputs by name. Binary ones lie in `binary` one after the other."""
    arrays: dict[str, NDArray[Any]] = {}
    for output in outputs:
        count = _number_count(output)
        max_numbers -= count
        if max_numbers < 0:
            raise ValueError("it has more numbers than such a network can give")
        if output.data is not None:
            array = _json_array(output)
        else:
            size = np.dtype(NUMBERS[output.datatype]).itemsize * count
            if (output.parameters or {}).get("binary_data_size") != size or size > len(binary):
                raise ValueError(
                    f"output {output.name} has not the bytes that its shape {output.shape} needs"
                )
            array = np.frombuffer(binary[:size], dtype=NUMBERS[output.datatype])
            binary = binary[size:]
        if array.size != count:
            raise ValueError(
                f"output {output.name} has {array.size} numbers, "
                f"its shape {output.shape} needs {count}"
            )
        arrays[output.name] = array.reshape(output.shape)
    return arrays


def _json_array(output: _OutputTensor) -> NDArray[Any]:
    """The numbers of an output in JSON, flat or in nested lists."""
    try:
        with np.errstate(all="ignore"):
            return np.asarray(output.data, dtype=np.float32).ravel()
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"output {output.name} is no array of numbers: {error}") from None


def _number_count(output: _OutputTensor) -> int:
    if output.datatype not in NUMBERS:
        raise ValueError(f"output {output.name} is {output.datatype}, not {', '.join(NUMBERS)}")
    sides_fit = all(0 <= side <= MAX_SIDE for side in output.shape)
    if len(output.shape) > MAX_AXES or not sides_fit:
        raise ValueError(f"output {output.name} has a strange shape")
    return prod(output.shape)


def error_message(body: bytes) -> str:
    """The message of an error response."""
    try:
        return msgspec.json.decode(body, type=_ErrorResponse).error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return body.decode(errors="replace")
