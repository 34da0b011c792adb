"""A local network from its file: loaded, tried, and warm before its first picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from PIL import Image
from pydantic import Field

from providers.detection import Detection
from providers.engine import foreign_exports
from providers.engine.class_names import class_names_of, existing_file
from providers.engine.detector import CELL_PX, NetworkOptions, PictureInput, size_text
from providers.engine.layouts import Outputs
from providers.engine.look import RunningLook
from providers.engine.memory import loaded_with_growth
from providers.engine.mini_batches import RunnableNetwork
from providers.engine.network import Execution, load_network
from providers.engine.preprocess import Size, grey_tensor, opencv_planes
from providers.engine.reader import NetworkReader, UnlabelledClass, reader_of
from providers.errors import Misconfigured
from providers.extras import import_package
from providers.options import Canvas


class ModelOptions(NetworkOptions):
    """Settings of a network that is loaded from a file."""

    model: Path = Field(description="the network's .onnx file")
    labels: Path | None = Field(
        None,
        description="text file, one class a line; classes of blank or N/A lines are never "
        "reported; unset: the names in the file's metadata",
    )
    execution: Execution = Field(
        "cpu",
        description="where it runs; cuda and tensorrt need onnxruntime-gpu, openvino "
        "onnxruntime-openvino",
    )
    threads: int = Field(1, ge=1, description="threads of one run")
    mini_batch: int = Field(
        1, ge=1, le=256, description="pictures that go through the network together, at most"
    )
    rectangular: bool = Field(
        True,
        description="whether a network with free sides sees each picture in its own proportions; "
        "else all are padded to `input_size`",
    )


class ReadableNetwork(RunnableNetwork, Protocol):
    """A network that describes its input, and has the texts that its exporter left in its file."""

    @property
    def picture(self) -> PictureInput: ...

    @property
    def metadata(self) -> Mapping[str, str]: ...


@dataclass(frozen=True, slots=True)
class OnnxDetector:
    """A `Detector` whose looks can be ended, and which sees pictures in its input's size: a network
    and its reader."""

    network: RunnableNetwork
    reader: NetworkReader

    def __call__(self, image: Image.Image) -> list[Detection]:
        return self.look(image, None)

    def drawn_size(self, size: Size) -> Size:
        """Width and height in pixels in which it sees a picture of that size."""
        return self.reader.drawn_size(size)

    def look(self, image: Image.Image, look: RunningLook | None) -> list[Detection]:
        """All detections on an RGB image, as `EndableDetector` has it."""
        reader = self.reader.fitted(image.size)
        outputs = self.network.run(reader.tensor(image), look)
        try:
            return reader.detections(outputs, image)
        except UnlabelledClass as error:
            raise Misconfigured(str(error)) from error


class LoadedModel(NamedTuple):
    """A network that is ready to run, how it is read, the names of its classes, and the resident
    memory that loading and trying it took: at least its file's bytes, for memory that others freed
    is used again."""

    network: ReadableNetwork
    reader: NetworkReader
    class_names: Sequence[str]
    memory_bytes: int = 0


def load_model(options: ModelOptions, folder: Path) -> LoadedModel:
    """The model of these options, loaded and warm as `warm_model` has it.

    Raises Misconfigured naming the setting: a file that is missing or no network, outputs of no
    known layout, labels that do not fit, or a place to run it that is not available.
    """
    runtime = import_package("onnxruntime", "onnx")
    import_package("cv2", "onnx").setNumThreads(1)  # a picture has one thread
    file = existing_file(folder, options.model, "model")

    def load() -> LoadedModel:
        network = load_network(
            runtime, file, options, execution=options.execution, threads=options.threads
        )
        return warm_model(network, options, folder)

    model, growth_bytes = loaded_with_growth(load)
    return model._replace(memory_bytes=max(growth_bytes, file.stat().st_size))


def warm_model(network: ReadableNetwork, options: ModelOptions, folder: Path) -> LoadedModel:
    """The model of a network. It has run on grey pictures of the largest input, in the largest
    mini-batch, and once all the way from a picture to its detections: so the shapes of its outputs
    are known, and no client waits for a first run.

    Raises Misconfigured naming the setting, as `load_model` does.
    """
    if options.layout != "classifier":
        foreign_exports.check_task(network.metadata)
    classes = class_names_of(options.labels, folder, options.model, network.metadata)
    size = network.picture.size
    outputs = _trial_outputs(network, size, options)
    reader = reader_of(options, options.model, classes, size=size, outputs=outputs)
    _check_batch(network, options)
    is_rectangular = options.rectangular and network.picture.free_sides
    reader = replace(
        reader,
        planes_of=opencv_planes,
        rectangular=is_rectangular and _takes_rectangles(network, reader),
    )
    OnnxDetector(network, reader)(Image.new("RGB", size))
    return LoadedModel(network, reader, classes.names)


def _trial_outputs(network: ReadableNetwork, size: Canvas, options: ModelOptions) -> Outputs:
    """The outputs for a grey picture. Raises Misconfigured if the network fails on it."""
    try:
        return network.run(grey_tensor(size))
    except Exception as error:  # ONNX Runtime's exceptions share no base of their own
        raise Misconfigured(
            f"model: {options.model} fails on an input of {size_text(size)} "
            f"(input_size sets another): {error}"
        ) from error


def _check_batch(network: ReadableNetwork, options: ModelOptions) -> None:
    """Runs the largest mini-batch once. Raises Misconfigured if the network cannot take it."""
    if options.mini_batch == 1:
        return
    advice = f"mini_batch: {options.mini_batch}, but {options.model} takes one picture at a time"
    if not network.picture.free_batch:
        raise Misconfigured(f"{advice}; leave it out, or export the model with a free first axis")
    pictures = np.repeat(grey_tensor(network.picture.size), options.mini_batch, axis=0)
    try:
        outputs = network.run(pictures)
    except Exception as error:  # ONNX Runtime's exceptions share no base of their own
        raise Misconfigured(f"{advice}: {error}") from error
    if not _have_first_axis(outputs, options.mini_batch):
        raise Misconfigured(f"{advice}: its outputs have no axis of pictures")


def _have_first_axis(outputs: Mapping[str, Any], pictures: int) -> bool:
    return all(array.ndim and len(array) == pictures for array in outputs.values())


def _takes_rectangles(network: ReadableNetwork, reader: NetworkReader) -> bool:
    """Whether the network has pictures padded, and works where the input is no square: an export
    may declare its sides free though they are not."""
    if reader.preprocessing.fit == "stretch":
        return False
    wide = (2 * CELL_PX, CELL_PX)
    narrow = replace(reader, rectangular=True).fitted(wide)
    try:
        narrow.detections(network.run(grey_tensor(narrow.size)), Image.new("RGB", wide))
    except Exception:  # ONNX Runtime's exceptions share no base of their own
        return False
    return True
