"""Tensors on the wire of the Open Inference Protocol v2 over HTTP, in JSON or behind it as they lie
in memory. Pure.

https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol and, for tensors
in binary,
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
"""Names the bytes of JSON before the tensors in binary."""
EXTENSION = "binary_tensor_data"
"""What a server that takes and gives tensors in binary has among its extensions."""
FLOATS = {"FP16": "<f2", "FP32": "<f4", "FP64": "<f8"}
DATATYPES = {**FLOATS, "INT64": "<i8", "BOOL": "?"}

HEADING_BYTES = 64 * 1024
"""For what an answer says beside its numbers."""
LONGEST_BINARY, LONGEST_WRITTEN = 8, 32
"""Bytes of one number; written, with a comma and a space."""


class Tensor(Struct):
    """An input or an output as a model's metadata names it; sides of -1 may be any."""

    name: str
    datatype: str
    shape: list[int]


class Metadata(Struct):
    """What a model takes and gives."""

    inputs: list[Tensor]
    outputs: list[Tensor]


class Server(Struct):
    """What a server can do."""

    extensions: list[str] = []


class InferRequest(NamedTuple):
    """A request's content and headers."""

    content: bytes
    headers: Mapping[str, str]


class _Output(Struct):
    name: str
    datatype: str
    shape: list[int]
    data: list[Any] | None = None
    parameters: dict[str, Any] | None = None


class _Answer(Struct):
    outputs: list[_Output]


class _Failure(Struct):
    error: str


def question(
    feeds: Sequence[tuple[Tensor, NDArray[Any]]], outputs: Sequence[str], *, binary: bool
) -> InferRequest:
    """Asks for these outputs of these inputs, both in binary or both in JSON."""
    arrays = [
        np.ascontiguousarray(array, dtype=DATATYPES[tensor.datatype]) for tensor, array in feeds
    ]
    inputs = [
        {
            "name": tensor.name,
            "datatype": tensor.datatype,
            "shape": list(array.shape),
            **_data(array, binary=binary),
        }
        for (tensor, _), array in zip(feeds, arrays, strict=True)
    ]
    wanted = [
        {"name": name, **({"parameters": {"binary_data": True}} if binary else {})}
        for name in outputs
    ]
    head = msgspec.json.encode({"inputs": inputs, "outputs": wanted})
    if not binary:
        return InferRequest(head, {"Content-Type": "application/json"})
    headers = {"Content-Type": "application/octet-stream", HEADER_LENGTH: str(len(head))}
    return InferRequest(b"".join([head, *(array.tobytes() for array in arrays)]), headers)


def _data(array: NDArray[Any], *, binary: bool) -> dict[str, Any]:
    return (
        {"parameters": {"binary_data_size": array.nbytes}}
        if binary
        else {"data": array.ravel().tolist()}
    )


def most_bytes(numbers: int, *, binary: bool) -> int:
    """Of an answer with so many numbers."""
    return HEADING_BYTES + (LONGEST_BINARY if binary else LONGEST_WRITTEN) * numbers


def outputs_of(
    body: bytes, headers: Mapping[str, str], wanted: Sequence[str], most: int
) -> dict[str, NDArray[Any]]:
    """The outputs by name, in the order in which they were wanted; at most so many numbers in all.

    Raises ValueError, saying what is wrong with the answer.
    """
    length = headers.get(HEADER_LENGTH, str(len(body)))
    head = (
        int(length) if length.isascii() and length.isdigit() and len(length) < 12 else len(body) + 1
    )
    if head > len(body):
        raise ValueError(f"{HEADER_LENGTH} is {length[:20]!r}, of a body of {len(body)} bytes")
    if (
        body.count(b",", 0, head) > most + HEADING_BYTES // 8
    ):  # a number of two bytes would become one of thirty-two
        raise ValueError(f"it has more than {most} numbers")
    try:
        said = msgspec.json.decode(memoryview(body)[:head], type=_Answer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"its JSON is no answer of the protocol: {error}") from None
    found = dict(_arrays(said.outputs, memoryview(body)[head:], most))
    if not found.keys() >= set(wanted):
        raise ValueError(
            f"it has the outputs {', '.join(found) or 'none'}, not {', '.join(wanted)}"
        )
    return {name: found[name] for name in wanted}


def _arrays(
    outputs: Sequence[_Output], tail: memoryview, most: int
) -> list[tuple[str, NDArray[Any]]]:
    arrays: list[tuple[str, NDArray[Any]]] = []
    for output in outputs:
        count = _count(output)
        most -= count
        if most < 0:
            raise ValueError("it has more numbers than such a network can give")
        if output.data is not None:
            array = _written(output)
        else:
            size = np.dtype(FLOATS[output.datatype]).itemsize * count
            if (output.parameters or {}).get("binary_data_size") != size or size > len(tail):
                raise ValueError(
                    f"output {output.name} has not the bytes that its shape {output.shape} needs"
                )
            array, tail = np.frombuffer(tail[:size], dtype=FLOATS[output.datatype]), tail[size:]
        if array.size != count:
            raise ValueError(
                f"output {output.name} has {array.size} numbers, its shape {output.shape} needs {count}"
            )
        arrays.append((output.name, array.reshape(output.shape)))
    return arrays


def _written(output: _Output) -> NDArray[Any]:
    """Numbers in JSON, flat or in lists of lists."""
    try:
        with np.errstate(all="ignore"):
            return np.asarray(output.data, dtype=np.float32).ravel()
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"output {output.name} is no array of numbers: {error}") from None


def _count(output: _Output) -> int:
    if output.datatype not in FLOATS:
        raise ValueError(f"output {output.name} is {output.datatype}, not {', '.join(FLOATS)}")
    if len(output.shape) > 8 or any(side < 0 or side > 2**31 for side in output.shape):
        raise ValueError(f"output {output.name} has a strange shape")
    return prod(output.shape)


def problem(body: bytes) -> str:
    """What an error says went wrong."""
    try:
        return msgspec.json.decode(body, type=_Failure).error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return body.decode(errors="replace")
