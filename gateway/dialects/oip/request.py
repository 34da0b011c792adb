"""From an inference request to a question."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import unquote

from msgspec import Struct

from gateway.core.errors import BadRequest, NotServed
from gateway.core.exchange import Incoming
from gateway.core.question import Item, Question
from gateway.dialects.json_messages import decode_json
from gateway.dialects.native.parse import read_options, task_request_of
from gateway.dialects.native.schemas import Options
from gateway.dialects.oip.models import IMAGE, VERSION, outputs_of, task_of_model
from gateway.dialects.oip.photos import photos_of_binary, photos_of_json
from providers.detection import Task
from providers.kserve.protocol import HEADER_LENGTH, head_length

INFER_PATH = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?/infer")
LENGTH_HEADER = HEADER_LENGTH.lower()
MAX_JSON_VALUES = 4096
"""More than any request needs. It bounds the memory that its values take: a value of two bytes
grows to dozens."""
OPTIONS = ("min_score", "max_results", "labels")
"""The parameters that are options of the native API, by the same names."""
TIMEOUT, BINARY_OUTPUT = "timeout", "binary_data_output"
PARAMETERS = (*OPTIONS, TIMEOUT, BINARY_OUTPUT)
MAX_TIMEOUT_US = 600_000_000

Parameters = dict[str, str | int | float | bool]


class InputTensor(Struct, forbid_unknown_fields=True):
    """An input of a request, with its data in JSON or behind it."""

    name: str
    datatype: str
    shape: list[int]
    data: list[Any] | None = None
    parameters: Parameters = {}


class RequestedOutput(Struct, forbid_unknown_fields=True):
    """An output that the client asks for."""

    name: str
    parameters: Parameters = {}


class InferMessage(Struct, forbid_unknown_fields=True):
    """The JSON of a request."""

    inputs: list[InputTensor]
    outputs: list[RequestedOutput] = []
    id: str = ""
    parameters: Parameters = {}


class InferReplyOptions(NamedTuple):
    """The parts of a request that shape the reply. `outputs` are the names of the outputs, each
    with whether it is wanted in binary."""

    request_id: str
    options: Options
    outputs: Mapping[str, bool]

    @property
    def task(self) -> Task:
        """The model's task."""
        return Task(self.options.task)


def question_of(incoming: Incoming) -> Question:
    """The question in a request. Raises BadRequest or NotServed."""
    body = incoming.body or b""
    head_bytes = _head_bytes(body, incoming.headers.get(LENGTH_HEADER))
    message = _message_of(body[:head_bytes])
    task = _task_of(incoming.path)
    _check_names("parameters", message.parameters, PARAMETERS)
    options = _options_of(message.parameters, task)
    photos = _photos_of(message.inputs, memoryview(body)[head_bytes:])
    requests = (task_request_of(options, task),)
    return Question(
        tuple(Item(photo, requests) for photo in photos),
        InferReplyOptions(message.id, options, _outputs_of(message, task)),
        deadline_s=_timeout_s(message.parameters),
        all_or_nothing=True,
    )


def _head_bytes(body: bytes, length: str | None) -> int:
    try:
        return head_length(body, length)
    except ValueError as error:
        raise BadRequest(f"The request cannot be read: {error}.") from None


def _message_of(head: bytes) -> InferMessage:
    if head.count(b",") > MAX_JSON_VALUES:
        raise BadRequest(
            f"The request's JSON has over {MAX_JSON_VALUES} values; send tensors in binary."
        )
    return decode_json(head, InferMessage, "The request is not what is expected here: ")


def _task_of(path: str) -> Task:
    """The task of the model that a path names. Raises NotServed."""
    match = INFER_PATH.fullmatch(path)
    if match is None:
        raise NotServed("An inference request goes to /v2/models/MODEL/infer.")
    return task_of_model(unquote(match[1]), unquote(match[2] or VERSION))


def _options_of(parameters: Parameters, task: Task) -> Options:
    """The options for the task. Raises BadRequest."""
    fields = {name: [str(parameters[name])] for name in OPTIONS if name in parameters}
    return read_options({**fields, "task": [task]}, Options)


def _timeout_s(parameters: Parameters) -> float | None:
    """The time limit in seconds, which Triton's clients give in microseconds, and 0 for none.
    Raises BadRequest."""
    timeout_us = parameters.get(TIMEOUT, 0)
    if type(timeout_us) is not int or not 0 <= timeout_us <= MAX_TIMEOUT_US:
        raise BadRequest(
            f"The parameter {TIMEOUT} must be a number of microseconds, at most {MAX_TIMEOUT_US}."
        )
    return timeout_us / 1e6 if timeout_us else None


def _photos_of(inputs: Sequence[InputTensor], binary: memoryview) -> list[bytes]:
    """The photos of the only input. Raises BadRequest."""
    names = [tensor.name[:80] for tensor in inputs[:8]]
    if names != [IMAGE.name]:
        raise BadRequest(f"The inputs are {', '.join(names) or 'none'}; send {IMAGE.name} alone.")
    (tensor,) = inputs
    _check_data(tensor, len(binary))
    if tensor.data is not None:
        return photos_of_json(tensor.datatype, tensor.shape, tensor.data)
    return photos_of_binary(tensor.datatype, tensor.shape, binary)


def _check_data(tensor: InputTensor, binary_bytes: int) -> None:
    """Raises BadRequest unless the tensor's data is in the JSON or makes up all that follows it."""
    _check_names("parameters of input image", tensor.parameters, ("binary_data_size",))
    size = tensor.parameters.get("binary_data_size")
    if (size is None) == (tensor.data is None):
        raise BadRequest("Input image must have data or binary_data_size, and not both.")
    size = 0 if size is None else size
    if type(size) is not int or size != binary_bytes:
        raise BadRequest(
            f"Input image has the binary_data_size {size}; {binary_bytes} bytes follow the JSON, "
            f"whose own length must be in {HEADER_LENGTH}."
        )


def _outputs_of(message: InferMessage, task: Task) -> Mapping[str, bool]:
    """The requested outputs, each with whether it is wanted in binary; all of them where none is
    named. Raises BadRequest."""
    names = [output.name for output in outputs_of(task)]
    default = _flag(message.parameters, BINARY_OUTPUT, False)
    _check_names("outputs", [output.name for output in message.outputs], names)
    if not message.outputs:
        return dict.fromkeys(names, default)
    for output in message.outputs:
        _check_names(f"parameters of output {output.name}", output.parameters, ("binary_data",))
    return {
        output.name: _flag(output.parameters, "binary_data", default) for output in message.outputs
    }


def _flag(parameters: Parameters, name: str, default: bool) -> bool:
    """A parameter that is true or false. Raises BadRequest."""
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise BadRequest(f"The parameter {name} must be true or false.")
    return value


def _check_names(kind: str, names: Mapping[str, Any] | Sequence[str], known: Sequence[str]) -> None:
    """Raises BadRequest that names what is not known."""
    unknown = [name[:80] for name in names if name not in known]
    if unknown:
        raise BadRequest(
            f"There are no {kind} {', '.join(unknown[:8])}; there are {', '.join(known)}."
        )
