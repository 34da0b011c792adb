"""From answers to the reply to an inference request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from gateway.core.errors import GatewayError
from gateway.core.exchange import Reply
from gateway.core.question import ItemAnswer
from gateway.dialects.headers import retry_after
from gateway.dialects.json_messages import json_reply
from gateway.dialects.labels import label_source_header, labels_of
from gateway.dialects.native.render import selection_of
from gateway.dialects.oip.models import BOXES, COUNTS, IMAGE, LABELS, SCORES, VERSION, outputs_of
from gateway.dialects.oip.photos import LENGTH_BYTES
from gateway.dialects.oip.request import InferReplyOptions
from providers.detection import Detection, Task
from providers.kserve.protocol import HEADER_LENGTH

Arrays = Mapping[str, NDArray[Any]]
"""The values of outputs by name; those of BYTES are objects, each a text."""


def infer_reply(answers: Sequence[ItemAnswer], reply_options: InferReplyOptions) -> Reply:
    """The reply to a request; the error of the first photo that has one, with the photo's index,
    for the protocol has no place for it beside the others' answers."""
    for index, answer in enumerate(answers):
        if answer.error is not None:
            return error_reply(answer.error, f"{IMAGE.name}[{index}]: {answer.error}")
    arrays = _arrays([_selection(answer, reply_options) for answer in answers])
    reply = _tensor_reply(arrays, reply_options)
    if reply_options.task != Task.LABELS:
        return reply
    return Reply(reply.status, reply.body, {**reply.headers, **label_source_header(answers)})


def error_reply(error: GatewayError, message: str) -> Reply:
    """The reply for an error with this message."""
    headers = retry_after(error)
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return json_reply(error.status, {"error": message}, headers)


def _selection(answer: ItemAnswer, reply_options: InferReplyOptions) -> list[Detection]:
    """What the client is told of a photo. Labels are of the whole photo: they have no boxes."""
    outcome = answer.outcomes[reply_options.task]
    is_labels = reply_options.task == Task.LABELS
    detections = labels_of(outcome.detections) if is_labels else outcome.detections
    return selection_of(detections, reply_options.options)


def _arrays(photos: Sequence[Sequence[Detection]]) -> Arrays:
    """The outputs for the detections of each photo, padded with zeros and empty labels to those of
    the photo that has most."""
    shape = (len(photos), max(map(len, photos), default=0))
    boxes_xyxy = np.zeros((*shape, 4), "<f4")
    scores = np.zeros(shape, "<f4")
    labels = np.full(shape, "", object)
    for index, detections in enumerate(photos):
        if detections:
            row = slice(len(detections))
            boxes_xyxy[index, row] = [detection.box for detection in detections]
            scores[index, row] = [detection.score for detection in detections]
            labels[index, row] = [detection.label for detection in detections]
    return {
        COUNTS.name: np.array([[len(detections)] for detections in photos], "<i4"),
        BOXES.name: boxes_xyxy,
        SCORES.name: scores,
        LABELS.name: labels,
    }


def _tensor_reply(arrays: Arrays, reply_options: InferReplyOptions) -> Reply:
    """The reply with the requested outputs, in JSON or in binary behind it."""
    outputs: list[dict[str, Any]] = []
    binary: list[bytes] = []
    datatypes = {output.name: output.datatype for output in outputs_of(reply_options.task)}
    for name, is_binary in reply_options.outputs.items():
        array = arrays[name]
        row: dict[str, Any] = {"name": name, "datatype": datatypes[name], "shape": array.shape}
        if is_binary:
            binary.append(_binary(array))
            row["parameters"] = {"binary_data_size": len(binary[-1])}
        else:
            row["data"] = array.ravel().tolist()
        outputs.append(row)
    identity = {"id": reply_options.request_id} if reply_options.request_id else {}
    model = {"model_name": reply_options.task, "model_version": VERSION}
    message = {**identity, **model, "outputs": outputs}
    if not any(reply_options.outputs.values()):
        return json_reply(200, message)
    head = msgspec.json.encode(message)
    headers = {"Content-Type": "application/octet-stream", HEADER_LENGTH: str(len(head))}
    return Reply(200, b"".join([head, *binary]), headers)


def _binary(array: NDArray[Any]) -> bytes:
    if array.dtype != object:
        return array.tobytes()
    elements = [text.encode() for text in array.ravel()]
    return b"".join(len(each).to_bytes(LENGTH_BYTES, "little") + each for each in elements)
