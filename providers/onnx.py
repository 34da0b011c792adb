"""Kind `onnx`: any detector in ONNX whose outputs have one of the common layouts, run by ONNX
Runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from PIL import Image
from pydantic import Field

from providers.base import Provider
from providers.detection import Detection
from providers.engine import detector, foreign_exports
from providers.engine.class_names import class_names_of, existing_file
from providers.engine.detector import PictureInput, size_text
from providers.engine.layouts import Outputs
from providers.engine.look import RunningLook, run_session
from providers.engine.preprocess import Floats, grey_tensor
from providers.engine.reader import NetworkReader, UnlabelledClass, reader_of
from providers.engine.vocabulary import vocabulary_of
from providers.engine.worker import LocalProvider
from providers.errors import Misconfigured
from providers.extras import import_package
from providers.options import about_of

CUDA = "CUDAExecutionProvider"
CPU = "CPUExecutionProvider"
IMAGE_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
INPUT_TYPES = {
    **IMAGE_TYPES,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
}
LOG_ERRORS = 3
"""ONNX Runtime's severity "error"; its warnings are about how a file was exported."""


class Options(detector.NetworkOptions):
    """Settings of kind `onnx`."""

    model: Path = Field(description="the network's .onnx file")
    labels: Path | None = Field(
        None,
        description="text file, one class a line; classes of blank or N/A lines are never "
        "reported; unset: the names in the file's metadata",
    )
    execution: Literal["cpu", "cuda"] = Field(
        "cpu", description="where it runs; cuda needs onnxruntime-gpu"
    )
    threads: int = Field(1, ge=1, description="threads of one picture")
    concurrency: int = Field(
        2, ge=1, le=256, description="pictures looked at in parallel, a thread each"
    )


class OnnxNetwork(NamedTuple):
    """A session and the input for its pictures, which is its first. Safe to call from several
    threads."""

    session: Any
    picture: PictureInput

    def run(self, tensor: Floats, look: RunningLook | None = None) -> Outputs:
        """The outputs for one input (1, 3, h, w), whose picture covers it all. The run ends with
        the look."""
        image, *further = self.session.get_inputs()
        feeds = {image.name: self.picture.arranged(tensor).astype(IMAGE_TYPES[image.type])}
        for each in further:
            values = detector.further_input(each.name, each.shape, self.picture.size)
            if values is not None:
                feeds[each.name] = values.astype(INPUT_TYPES[each.type])
        names = [output.name for output in self.session.get_outputs()]
        return dict(zip(names, run_session(self.session, names, feeds, look), strict=True))

    @property
    def metadata(self) -> Mapping[str, str]:
        """The texts that the file's exporter left in it."""
        return dict(self.session.get_modelmeta().custom_metadata_map)


@dataclass(frozen=True, slots=True)
class OnnxDetector:
    """A `Detector` whose looks can be ended: a network and its reader."""

    network: OnnxNetwork
    reader: NetworkReader

    def __call__(self, image: Image.Image) -> list[Detection]:
        return self.look(image, None)

    def look(self, image: Image.Image, look: RunningLook | None) -> list[Detection]:
        """All detections on an RGB image, as `EndableDetector` has it."""
        outputs = self.network.run(self.reader.tensor(image), look)
        try:
            return self.reader.detections(outputs, image)
        except UnlabelledClass as error:
            raise Misconfigured(str(error)) from error


def create(name: str, options: Options, folder: Path) -> Provider:
    """The provider. Its network is loaded, and run once on a grey picture to learn the shapes of
    its outputs.

    Raises Misconfigured naming the setting: a file that is missing or no network, outputs of no
    known layout, labels that do not fit, or CUDA that is not available.
    """
    runtime = import_package("onnxruntime", "onnx")
    try:
        network = _load(runtime, options, existing_file(folder, options.model, "model"))
        if options.layout != "classifier":
            foreign_exports.check_task(network.metadata)
        classes = class_names_of(options.labels, folder, options.model, network.metadata)
        reader = reader_of(
            options,
            options.model,
            classes,
            size=network.picture.size,
            outputs=_trial_outputs(network, options),
        )
    except Misconfigured as error:
        raise Misconfigured(f"provider {name}: {error}") from error
    about = replace(
        replace(about_of(name, options, detector.tasks_of(options)), wants="pixels"),
        vocabulary=vocabulary_of(options.vocabulary, classes.names),
    )
    return LocalProvider(about, OnnxDetector(network, reader), options.timeout_ms)


def _load(runtime: Any, options: Options, model: Path) -> OnnxNetwork:
    """The network of a file. If CUDA's libraries are missing, ONNX Runtime silently falls back to
    the CPU, so that is checked."""
    cuda = options.execution == "cuda"
    if cuda and CUDA not in runtime.get_available_providers():
        raise Misconfigured(
            "execution: cuda is not in this ONNX Runtime; pip install onnxruntime-gpu in its place"
        )
    settings = runtime.SessionOptions()
    settings.intra_op_num_threads = options.threads
    settings.log_severity_level = LOG_ERRORS
    try:
        session = runtime.InferenceSession(
            str(model), settings, providers=[CUDA, CPU] if cuda else [CPU]
        )
    except Exception as error:  # ONNX Runtime's exceptions share no base of their own
        raise Misconfigured(f"model: {model} cannot be loaded by ONNX Runtime: {error}") from error
    if cuda and CUDA not in session.get_providers():
        raise Misconfigured(
            "execution: cuda could not be started; "
            "onnxruntime-gpu needs the CUDA and cuDNN it names"
        )
    return OnnxNetwork(session, _picture_input(session.get_inputs(), options))


def _picture_input(inputs: Sequence[Any], options: Options) -> PictureInput:
    """The input for pictures, which is the first. Raises Misconfigured if it takes no pictures, or
    if the meaning of a further input is not known."""
    image, *further = inputs
    picture = None
    if image.type in IMAGE_TYPES:
        picture = detector.picture_input(image.shape, options)
    if picture is None:
        raise Misconfigured(
            f"model: its input is {image.type} {image.shape}; "
            f"expected {' or '.join(IMAGE_TYPES)} {detector.INPUT_FORMS}"
        )
    unknown = [each.name for each in further if not _is_known(each, picture)]
    foreign_exports.check_inputs([each.name for each in inputs], unknown)
    return picture


def _is_known(further: Any, picture: PictureInput) -> bool:
    values = detector.further_input(further.name, further.shape, picture.size)
    return values is not None and further.type in INPUT_TYPES


def _trial_outputs(network: OnnxNetwork, options: Options) -> Outputs:
    """The outputs for a grey picture. Raises Misconfigured if the network fails on it."""
    try:
        return network.run(grey_tensor(network.picture.size))
    except Exception as error:  # ONNX Runtime's exceptions share no base of their own
        raise Misconfigured(
            f"model: {options.model} fails on an input of {size_text(network.picture.size)} "
            f"(input_size sets another): {error}"
        ) from error
