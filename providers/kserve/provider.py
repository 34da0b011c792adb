"""Kind `kserve`: a detector on a server that speaks the Open Inference Protocol v2 over HTTP:
Triton, KServe's own runtimes, OpenVINO Model Server, MLServer. The network has one of the layouts
that kind `onnx` knows.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, SecretStr

from providers.base import Picture, Provider
from providers.detection import Detection, Task
from providers.engine import detector, heads
from providers.engine.class_names import ClassNames, read_labels
from providers.engine.layouts import Outputs
from providers.engine.look import RunningLook
from providers.engine.mini_batches import MiniBatches, RunnableNetwork
from providers.engine.preprocess import Floats, grey_tensor
from providers.engine.reader import reader_of
from providers.engine.vocabulary import vocabulary_of
from providers.engine.worker import rgb_image
from providers.errors import (
    Misconfigured,
    NoAnswer,
    PictureRefused,
    ProviderError,
    Unavailable,
)
from providers.kserve import protocol
from providers.kserve.model import Model, ModelInterface, interface_of, shapes_of
from providers.options import Canvas, about_of
from providers.remote.http import (
    MAX_MESSAGE_CHARS,
    READY_TIMEOUT_S,
    HttpProvider,
    HttpResponse,
    response_error,
)

BINARY_REFUSALS = (400, 415, 422, 500, 501)
"""The statuses of servers that take tensors as JSON only."""
NOT_LOADED = "has no available versions"
"""Triton's words about a model that is not loaded, or not yet."""
LASTING_STATUSES = (401, 403, 404, 501)
"""The statuses of a model's state that do not pass by themselves."""
REQUESTS_IN_FLIGHT = 2
"""With mini-batches: while one is run, the next is on its way."""
MAX_DETR_QUERIES = 2000
"""Published DETRs have 100 to 900."""
MAX_BOXES_PER_ANCHOR = 4
"""YOLOv5 has three boxes an anchor, and some have a further stride."""
MAX_NUMBERS_BESIDE_CLASSES = 160
"""Numbers of an anchor besides its classes: the sides of a NanoDet have 4 x 33."""


class Options(detector.NetworkOptions):
    """Settings of kind `kserve`."""

    endpoint: str = Field(
        pattern=r"^https?://", description="where the server listens, such as http://triton:8000"
    )
    model: str = Field(min_length=1, description="the model's name there")
    labels: Path = Field(
        description="text file, one class a line; classes of blank or N/A lines are never reported"
    )
    version: str = Field("", description="of the model; unset: the server chooses")
    token: SecretStr | None = Field(None, description="sent as Authorization: Bearer")
    headers: dict[str, SecretStr] = Field(
        default_factory=dict, description="further headers of every request"
    )
    mini_batch: int = Field(
        1, ge=1, le=256, description="pictures that go to the server in one request, at most"
    )


def create(name: str, options: Options, folder: Path) -> Provider:
    """The provider; its server need not run yet. Raises Misconfigured if the labels are missing."""
    try:
        return KServeProvider(name, options, read_labels(options.labels, folder))
    except Misconfigured as error:
        raise Misconfigured(f"provider {name}: {error}") from error


class RemoteNetwork(NamedTuple):
    """A `RunnableNetwork` on a server, whose runs are requests; `max_numbers` is the most that its
    outputs have a picture."""

    infer: Callable[[ModelInterface, Floats, int], dict[str, NDArray[Any]]]
    interface: ModelInterface
    max_numbers: int

    def run(self, tensor: Floats, look: RunningLook | None = None) -> Outputs:
        """The outputs for an input (n, 3, h, w). Raises the provider's errors."""
        return self.infer(self.interface, tensor, self.max_numbers)


class KServeProvider(HttpProvider):
    """State: that of HttpProvider, and the model. The model is looked up again after a response
    that does not fit it, because the server may have another version by then."""

    def __init__(
        self,
        name: str,
        options: Options,
        classes: ClassNames,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        about = replace(
            replace(about_of(name, options, detector.tasks_of(options)), wants="drawing"),
            vocabulary=vocabulary_of(options.vocabulary, classes.names),
        )
        super().__init__(
            about, options.endpoint, options.timeout_ms, headers=_headers(options), clock=clock
        )
        self._options, self._classes = options, classes
        version = f"/versions/{quote(options.version, safe='')}" if options.version else ""
        self._path = f"/v2/models/{quote(options.model, safe='')}{version}"
        self._model: Model | None = None
        self._lookup_lock = threading.Lock()

    def call(self, picture: Picture, task: Task, extras: Sequence[str] = ()) -> Sequence[Detection]:
        model = self._current_model()
        image = rgb_image(picture, model.reader.drawn_size(picture.size))
        tensor = model.reader.tensor(image)
        try:
            outputs = model.network.run(tensor)
            if not model.fits(outputs):
                raise NoAnswer(
                    f"the outputs of {self._options.model} are of other shapes than before"
                )
            return detector.answer_of(task, model.reader.detections(outputs, image))
        except ValueError as error:
            self._model = None
            raise NoAnswer(f"an answer that cannot be read: {error}") from error
        except (NoAnswer, Misconfigured):
            self._model = None
            raise

    def check_ready(self) -> None:
        """Returns if the model is ready; the server's other models do not matter. A 400 may mean
        that it is not yet, or, at Triton, that there is no such model: its metadata tells."""
        response = self._status(f"{self._path}/ready")
        if response.status == 400:
            metadata = self._status(self._path)
            response = response if metadata.status == 200 else metadata
        if response.status in LASTING_STATUSES:
            raise _error_of(response)
        if response.status != 200:
            raise Unavailable(f"model {self._options.model} is not ready ({response.status})")

    def _status(self, path: str) -> HttpResponse:
        """The response about the state of something, whatever its status."""
        try:
            return self.request("GET", path, timeout_s=READY_TIMEOUT_S)
        except NoAnswer as error:  # this request is never billed
            raise Unavailable(str(error)) from error

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
        options = self._options
        metadata = self._get(self._path, protocol.ModelMetadata)
        interface = interface_of(metadata, options.model, options)
        size = interface.picture.size
        rows = max(MAX_BOXES_PER_ANCHOR * heads.anchor_count(size), MAX_DETR_QUERIES)
        max_numbers = rows * (len(self._classes.names) + MAX_NUMBERS_BESIDE_CLASSES)
        interface, outputs = self._trial(interface, max_numbers)
        reader = reader_of(options, options.model, self._classes, size=size, outputs=outputs)
        shapes = shapes_of(outputs)
        if reader.is_of_fixed_length:
            max_numbers = sum(map(prod, shapes.values()))
        network: RunnableNetwork = RemoteNetwork(self._infer, interface, max_numbers)
        if options.mini_batch > 1:
            if not interface.picture.free_batch:
                raise Misconfigured(
                    f"mini_batch: {options.mini_batch}, but {options.model} takes one picture at a "
                    "time; leave it out, or serve the model with a free first axis"
                )
            self._check_batch(network, size)
            network = MiniBatches(network, options.mini_batch, runs=REQUESTS_IN_FLIGHT)
        return Model(network, reader, shapes)

    def _check_batch(self, network: RunnableNetwork, size: Canvas) -> None:
        """Sends the largest mini-batch once. Raises Misconfigured where the server does not take
        it, or where an output has no axis of pictures."""
        pictures = self._options.mini_batch
        advice = f"mini_batch: {pictures} is not what {self._options.model} takes"
        try:
            outputs = network.run(np.repeat(grey_tensor(size), pictures, axis=0))
        except (Misconfigured, PictureRefused) as error:
            raise Misconfigured(f"{advice}; its server says: {error}") from error
        if any(array.ndim == 0 or len(array) != pictures for array in outputs.values()):
            raise Misconfigured(f"{advice}: an output has no axis of pictures")

    def _trial(
        self, interface: ModelInterface, max_numbers: int
    ) -> tuple[ModelInterface, dict[str, NDArray[Any]]]:
        """The outputs for a grey picture, and the interface with the form of tensors that the
        server takes: some take them in binary without listing that extension, so only a refusal
        tells."""
        tensor = grey_tensor(interface.picture.size)
        server = self._get("/v2", protocol.ServerMetadata)
        response = self._send(interface, tensor, max_numbers)
        if (
            response.status in BINARY_REFUSALS
            and protocol.BINARY_EXTENSION not in server.extensions
        ):
            interface = interface._replace(binary=False)
            response = self._send(interface, tensor, max_numbers)
        return interface, self._outputs(interface, response, max_numbers)

    def _infer(
        self, interface: ModelInterface, tensor: Floats, max_numbers: int
    ) -> dict[str, NDArray[Any]]:
        """The outputs of one inference, with at most this many numbers a picture."""
        max_numbers *= len(tensor)
        response = self._send(interface, tensor, max_numbers)
        return self._outputs(interface, response, max_numbers)

    def _send(self, interface: ModelInterface, tensor: Floats, max_numbers: int) -> HttpResponse:
        """The response to one inference, whatever its status."""
        further = [
            (each, np.repeat(values, len(tensor), axis=0)) for each, values in interface.further
        ]
        content, headers = protocol.infer_request(
            [(interface.image, interface.picture.arranged(tensor)), *further],
            interface.output_names,
            binary=interface.binary,
        )
        return self.request(
            "POST",
            f"{self._path}/infer",
            content=content,
            headers=headers,
            max_bytes=protocol.max_response_bytes(max_numbers),
        )

    def _outputs(
        self, interface: ModelInterface, response: HttpResponse, max_numbers: int
    ) -> dict[str, NDArray[Any]]:
        """The outputs in a response."""
        if response.status != 200:
            raise _error_of(response)
        try:
            return protocol.outputs_of(
                response.body, response.headers, interface.output_names, max_numbers
            )
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


def _error_of(response: HttpResponse) -> ProviderError:
    """The error of a response. KServe's server answers 501 to a version, which none of its models
    has: that does not pass. Triton answers 404 about a model that is known and not loaded: that
    does."""
    message = protocol.error_message(response.body)[:MAX_MESSAGE_CHARS]
    if response.status == 501:
        return Misconfigured(f"501: {message}")
    if response.status == 404 and NOT_LOADED in message:
        return Unavailable(f"404: {message}")
    return response_error(response, message)
