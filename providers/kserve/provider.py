"""Kind `kserve`: a detector on a server that speaks the Open Inference Protocol v2 over HTTP:
Triton, KServe's own runtimes, OpenVINO Model Server, MLServer. The network has one of the layouts
that kind `onnx` knows.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field, SecretStr

from providers.base import Picture, Provider
from providers.detection import Detection, Task
from providers.engine import detector, heads
from providers.engine.detector import mask_shape, read_labels
from providers.engine.layouts import NetworkReader, reader_of
from providers.engine.preprocess import Floats, grey_tensor
from providers.engine.vocabulary import vocabulary_of
from providers.engine.worker import about_of, rgb_image
from providers.errors import Misconfigured, NoAnswer, ProviderError, Unavailable
from providers.kserve import protocol
from providers.options import Canvas
from providers.remote.http import READY_TIMEOUT_S, HttpProvider, HttpResponse, response_error

Arrays = Mapping[str, NDArray[Any]]
Shapes = Mapping[str, tuple[int, ...]]

IMAGE_DATATYPES = ("FP32", "FP16")
MASK_DATATYPES = ("INT64", "BOOL", "FP32")
MAX_DETR_QUERIES = 2000
"""Published DETRs have 100 to 900."""
MAX_NUMBERS_BESIDE_CLASSES = 160
"""Numbers of an anchor besides its classes: the sides of a NanoDet have 4 x 33."""


class Options(detector.NetworkOptions):
    """Settings of kind `kserve`."""

    endpoint: str = Field(
        pattern=r"^https?://", description="where the server listens, such as http://triton:8000"
    )
    model: str = Field(min_length=1, description="the model's name there")
    version: str = Field("", description="of the model; unset: the server chooses")
    token: SecretStr | None = Field(None, description="sent as Authorization: Bearer")
    headers: dict[str, SecretStr] = Field(
        default_factory=dict, description="further headers of every request"
    )


class ModelInterface(NamedTuple):
    """The inputs and outputs of a model on its server, and whether its tensors go in binary."""

    image: protocol.Tensor
    masks: Sequence[protocol.Tensor]
    output_names: Sequence[str]
    binary: bool
    size: Canvas


class Model(NamedTuple):
    """A model on its server, its reader, and the shapes of its outputs."""

    interface: ModelInterface
    reader: NetworkReader
    shapes: Shapes

    @property
    def output_numbers(self) -> int:
        """The count of numbers in all outputs."""
        return sum(map(prod, self.shapes.values()))


def create(name: str, options: Options, folder: Path) -> Provider:
    """The provider; its server need not run yet. Raises Misconfigured if the labels are missing."""
    try:
        return KServeProvider(name, options, read_labels(options, folder))
    except Misconfigured as error:
        raise Misconfigured(f"provider {name}: {error}") from error


class KServeProvider(HttpProvider):
    """State: that of HttpProvider, and the model. The model is looked up again after a response
    that does not fit it, because the server may have another version by then."""

    def __init__(
        self,
        name: str,
        options: Options,
        labels: Sequence[str],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        about = replace(
            about_of(name, options, Task.OBJECTS),
            vocabulary=vocabulary_of(options.vocabulary, labels),
        )
        super().__init__(
            about, options.endpoint, options.timeout_ms, headers=_headers(options), clock=clock
        )
        self._options, self._labels = options, labels
        version = f"/versions/{quote(options.version, safe='')}" if options.version else ""
        self._path = f"/v2/models/{quote(options.model, safe='')}{version}"
        self._model: Model | None = None
        self._lookup_lock = threading.Lock()

    def call(self, picture: Picture, task: Task, extras: Sequence[str] = ()) -> Sequence[Detection]:
        image, model = rgb_image(picture), self._current_model()
        tensor = model.reader.tensor(image)
        try:
            outputs = self._infer(model.interface, tensor, model.output_numbers)
            if _shapes(outputs) != model.shapes:
                raise NoAnswer(
                    f"the outputs of {self._options.model} are of other shapes than before"
                )
        except (NoAnswer, Misconfigured):
            self._model = None
            raise
        return model.reader.detections(outputs, image)

    def check_ready(self) -> None:
        """Returns if the model is ready; the server's other models do not matter."""
        try:
            response = self.request("GET", f"{self._path}/ready", timeout_s=READY_TIMEOUT_S)
        except NoAnswer as error:  # this request is never billed
            raise Unavailable(str(error)) from error
        if response.status in (401, 403, 404):
            raise _error_of(response)
        if response.status != 200:
            raise Unavailable(f"model {self._options.model} is not ready ({response.status})")

    def _current_model(self) -> Model:
        """The model. One thread looks it up while the others wait."""
        with self._lookup_lock:
            if self._model is None:
                try:
                    self._model = self._look_up_model()
                except NoAnswer as error:  # no picture was sent
                    raise Unavailable(str(error)) from error
            return self._model

    def _look_up_model(self) -> Model:
        """The model by its metadata, and by its outputs for a grey picture: metadata may leave
        shapes open."""
        metadata = self._get(self._path, protocol.ModelMetadata)
        image, masks = self._inputs(metadata.inputs)
        floats = [output for output in metadata.outputs if output.datatype in protocol.FLOATS]
        if not floats:
            raise Misconfigured(
                f"model {self._options.model} has no outputs of {', '.join(protocol.FLOATS)}"
            )
        server = self._get("/v2", protocol.ServerMetadata)
        size = detector.input_size(image.shape, self._options)
        interface = ModelInterface(
            image,
            masks,
            [output.name for output in floats],
            protocol.BINARY_EXTENSION in server.extensions,
            size,
        )
        rows = max(heads.anchor_count(size), MAX_DETR_QUERIES)
        max_numbers = rows * (len(self._labels) + MAX_NUMBERS_BESIDE_CLASSES)
        return self._model_of(interface, self._infer(interface, grey_tensor(size), max_numbers))

    def _model_of(self, interface: ModelInterface, outputs: Arrays) -> Model:
        """The model with the reader that fits these outputs. Raises Misconfigured if they cannot be
        read."""
        options, size = self._options, interface.size
        try:
            reader = reader_of(options, options.model, self._labels, size=size, outputs=outputs)
            reader.detections(outputs, Image.new("RGB", size))
        except (IndexError, ValueError) as error:
            raise Misconfigured(
                f"layout: the outputs {_shapes(outputs)} cannot be read: {error}"
            ) from error
        return Model(interface, reader, _shapes(outputs))

    def _inputs(
        self, inputs: Sequence[protocol.Tensor]
    ) -> tuple[protocol.Tensor, list[protocol.Tensor]]:
        """The input for pictures, which is the first, and those for pixel masks."""
        image, *further = inputs or [protocol.Tensor("", "", [])]
        if image.datatype not in IMAGE_DATATYPES or not detector.takes_pictures(image.shape):
            raise Misconfigured(
                f"model: the input of {self._options.model} is {image.datatype} {image.shape}; "
                f"expected {' or '.join(IMAGE_DATATYPES)} [n, 3, height, width]"
            )
        return image, [tensor for tensor in further if _is_mask(tensor)]

    def _infer(
        self, interface: ModelInterface, tensor: Floats, max_numbers: int
    ) -> dict[str, NDArray[Any]]:
        """The outputs of one inference, with at most this many numbers."""
        feeds: list[tuple[protocol.Tensor, NDArray[Any]]] = [(interface.image, tensor)]
        for mask in interface.masks:
            feeds.append((mask, np.ones(mask_shape(mask.shape, interface.size))))
        names, binary = interface.output_names, interface.binary
        content, headers = protocol.infer_request(feeds, names, binary=binary)
        response = self.request(
            "POST",
            f"{self._path}/infer",
            content=content,
            headers=headers,
            max_bytes=protocol.max_response_bytes(max_numbers, binary=binary),
        )
        if response.status != 200:
            raise _error_of(response)
        try:
            return protocol.outputs_of(response.body, response.headers, names, max_numbers)
        except ValueError as error:
            raise NoAnswer(f"an answer that cannot be read: {error}") from error

    def _get(self, path: str, form: type[msgspec.Struct]) -> Any:
        """The JSON at a path, as an instance of `form`."""
        response = self.request("GET", path)
        if response.status != 200:
            raise _error_of(response)
        try:
            return msgspec.json.decode(response.body, type=form)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Misconfigured(
                f"{path} does not answer as the Open Inference Protocol has it: {error}"
            ) from error


def _headers(options: Options) -> dict[str, str]:
    headers = {name: value.get_secret_value() for name, value in options.headers.items()}
    if not options.token:
        return headers
    return {"Authorization": f"Bearer {options.token.get_secret_value()}", **headers}


def _is_mask(tensor: protocol.Tensor) -> bool:
    return (
        tensor.name == "pixel_mask" and tensor.datatype in MASK_DATATYPES and len(tensor.shape) == 3
    )


def _error_of(response: HttpResponse) -> ProviderError:
    return response_error(response, protocol.error_message(response.body))


def _shapes(outputs: Arrays) -> Shapes:
    return {name: array.shape for name, array in outputs.items()}
