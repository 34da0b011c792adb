"""Kind `kserve`: a detector that a server runs, asked by the Open Inference Protocol v2 over HTTP:
Triton, KServe's own runtimes, OpenVINO Model Server, MLServer. The network is of one of the layouts
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
from providers.engine.detector import (
    NetworkReader,
    grey,
    input_size,
    labels_of,
    reader_of,
    takes_pictures,
)
from providers.engine.vocabulary import vocabulary
from providers.engine.worker import introduce, rgb
from providers.errors import Misconfigured, NoAnswer, ProviderError, Unavailable
from providers.kserve import protocol
from providers.options import Canvas
from providers.remote.http import GREET_S, MOST_GREETING_BYTES, HttpAnswer, HttpProvider, refusal

TAKEN = ("FP32", "FP16")
MASKS = ("INT64", "BOOL", "FP32")
MOST_QUERIES = 2000
"""Of a DETR; those published have 100 to 900."""
BESIDE_CLASSES = 160
"""Numbers that a cell gives beside its classes, at most: the sides of a NanoDet have 4 x 33."""


class Options(detector.Options):
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


class Served(NamedTuple):
    """What a server says of a model, and how the server is spoken to."""

    image: protocol.Tensor
    masks: Sequence[protocol.Tensor]
    wanted: Sequence[str]
    binary: bool
    size: Canvas


class Model(NamedTuple):
    """A model as it was found: how it is read, and of which shapes its outputs are."""

    served: Served
    reader: NetworkReader
    shapes: Mapping[str, tuple[int, ...]]

    @property
    def numbers(self) -> int:
        return sum(map(prod, self.shapes.values()))


def create(name: str, options: Options, folder: Path) -> Provider:
    """The provider; its server need not be there yet. Raises Misconfigured where the labels are
    not."""
    try:
        return KServeProvider(name, options, labels_of(options, folder))
    except Misconfigured as error:
        raise Misconfigured(f"provider {name}: {error}") from error


class KServeProvider(HttpProvider):
    """Holds what every provider over HTTP holds, and the model as it was found; it is looked for
    again once an answer does not fit, for another version may be served by then."""

    def __init__(
        self,
        name: str,
        options: Options,
        labels: Sequence[str],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        token = (
            {"Authorization": f"Bearer {options.token.get_secret_value()}"} if options.token else {}
        )
        further = {key: value.get_secret_value() for key, value in options.headers.items()}
        about = replace(
            introduce(name, options, Task.OBJECTS),
            vocabulary=vocabulary(options.vocabulary, labels),
        )
        super().__init__(
            about, options.endpoint, options.timeout_ms, headers={**token, **further}, clock=clock
        )
        self._options, self._labels = options, labels
        version = f"/versions/{quote(options.version, safe='')}" if options.version else ""
        self._path = f"/v2/models/{quote(options.model, safe='')}{version}"
        self._model: Model | None = None
        self._one_looks = threading.Lock()

    def call(self, picture: Picture, task: Task, wanted: Sequence[str] = ()) -> Sequence[Detection]:
        image, model = rgb(picture), self._found()
        try:
            outputs = self._infer(model.served, model.reader.tensor(image), model.numbers)
            if _shapes(outputs) != model.shapes:
                raise NoAnswer(
                    f"the outputs of {self._options.model} are of other shapes than before"
                )
        except (NoAnswer, Misconfigured):
            self._model = None
            raise
        return model.reader.detections(outputs, image)

    def greet(self) -> None:
        """Asks about the model: a server may be ready for it while others that it serves are
        not."""
        try:
            answer = self.exchange("GET", f"{self._path}/ready", timeout_s=GREET_S)
        except NoAnswer as error:  # a greeting is never billed
            raise Unavailable(str(error)) from error
        if answer.status in (401, 403, 404):
            raise _refused(answer)
        if answer.status != 200:
            raise Unavailable(f"model {self._options.model} is not ready ({answer.status})")

    def _found(self) -> Model:
        """The model, looked for by one thread while the others wait."""
        with self._one_looks:
            if self._model is None:
                try:
                    self._model = self._look()
                except NoAnswer as error:  # no picture was asked about
                    raise Unavailable(str(error)) from error
            return self._model

    def _look(self) -> Model:
        """By its metadata, and by what it puts out about a grey picture, as metadata may leave
        shapes open."""
        said = self._read(self._path, protocol.Metadata)
        image, masks = self._inputs(said.inputs)
        wanted = [output.name for output in said.outputs if output.datatype in protocol.FLOATS]
        if not wanted:
            raise Misconfigured(
                f"model {self._options.model} has no outputs of {', '.join(protocol.FLOATS)}"
            )
        binary = protocol.EXTENSION in self._read("/v2", protocol.Server).extensions
        size = input_size(image.shape, self._options)
        served = Served(image, masks, wanted, binary, size)
        most = max(heads.anchors(size), MOST_QUERIES) * (len(self._labels) + BESIDE_CLASSES)
        return self._read_by(served, self._infer(served, grey(size), most))

    def _read_by(self, served: Served, outputs: Mapping[str, NDArray[Any]]) -> Model:
        """How these outputs are read, once they have been."""
        try:
            reader = reader_of(
                self._options, self._options.model, self._labels, served.size, outputs
            )
            reader.detections(outputs, Image.new("RGB", served.size))
        except (IndexError, ValueError) as error:
            raise Misconfigured(
                f"layout: the outputs {_shapes(outputs)} cannot be read: {error}"
            ) from error
        return Model(served, reader, _shapes(outputs))

    def _inputs(
        self, inputs: Sequence[protocol.Tensor]
    ) -> tuple[protocol.Tensor, list[protocol.Tensor]]:
        image, *others = inputs or [protocol.Tensor("", "", [])]
        if image.datatype not in TAKEN or not takes_pictures(image.shape):
            raise Misconfigured(
                f"model: the input of {self._options.model} is {image.datatype} {image.shape}; "
                f"expected {' or '.join(TAKEN)} [n, 3, height, width]"
            )
        masks = [mask for mask in others if mask.name == "pixel_mask" and mask.datatype in MASKS]
        return image, [mask for mask in masks if len(mask.shape) == 3]

    def _infer(self, served: Served, tensor: heads.Floats, most: int) -> dict[str, NDArray[Any]]:
        """One inference, and at most so many numbers of its answer."""
        feeds: list[tuple[protocol.Tensor, NDArray[Any]]] = [(served.image, tensor)]
        feeds += [(mask, np.ones(detector.whole(mask.shape, served.size))) for mask in served.masks]
        content, headers = protocol.question(feeds, served.wanted, binary=served.binary)
        answer = self.exchange(
            "POST",
            f"{self._path}/infer",
            content=content,
            headers=headers,
            most_bytes=protocol.most_bytes(most, binary=served.binary),
        )
        if answer.status != 200:
            raise _refused(answer)
        try:
            return protocol.outputs_of(answer.body, answer.headers, served.wanted, most)
        except ValueError as error:
            raise NoAnswer(f"an answer that cannot be read: {error}") from error

    def _read(self, path: str, form: type[msgspec.Struct]) -> Any:
        answer = self.exchange("GET", path, most_bytes=MOST_GREETING_BYTES)
        if answer.status != 200:
            raise _refused(answer)
        try:
            return msgspec.json.decode(answer.body, type=form)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Misconfigured(
                f"{path} does not answer as the Open Inference Protocol has it: {error}"
            ) from error


def _refused(answer: HttpAnswer) -> ProviderError:
    return refusal(answer, protocol.problem(answer.body))


def _shapes(outputs: Mapping[str, NDArray[Any]]) -> dict[str, tuple[int, ...]]:
    return {name: array.shape for name, array in outputs.items()}
