"""Kind `onnx`: any detector in ONNX whose outputs have one of the common layouts, run by ONNX
Runtime."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field

from providers.base import Provider
from providers.detection import Detection, Task
from providers.engine import detector
from providers.engine.detector import existing_file, mask_shape, read_labels, size_text
from providers.engine.layouts import NetworkReader, Outputs, reader_of
from providers.engine.preprocess import Floats, grey_tensor
from providers.engine.vocabulary import vocabulary_of
from providers.engine.worker import LocalProvider, about_of, import_package
from providers.errors import Misconfigured
from providers.options import Canvas

CUDA = "CUDAExecutionProvider"
CPU = "CPUExecutionProvider"
IMAGE_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
MASK_TYPES = {"tensor(int64)": np.int64, "tensor(bool)": np.bool_, "tensor(float)": np.float32}
LOG_ERRORS = 3
"""ONNX Runtime's severity "error"; its warnings are about how a file was exported."""


class Options(detector.NetworkOptions):
    """Settings of kind `onnx`."""

    model: Path = Field(description="the network's .onnx file")
    execution: Literal["cpu", "cuda"] = Field(
        "cpu", description="where it runs; cuda needs onnxruntime-gpu"
    )
    threads: int = Field(1, ge=1, description="threads of one picture")
    concurrency: int = Field(
        2, ge=1, le=256, description="pictures looked at in parallel, a thread each"
    )


class OnnxNetwork(NamedTuple):
    """A session and the size of its first input. Safe to call from several threads."""

    session: Any
    size: Canvas

    def run(self, tensor: Floats) -> Outputs:
        """The outputs for one input (1, 3, h, w). A `pixel_mask` covers the whole input."""
        image, *further = self.session.get_inputs()
        feeds = {image.name: tensor.astype(IMAGE_TYPES[image.type])}
        for mask in further:
            if mask.name == "pixel_mask":
                feeds[mask.name] = self._full_mask(mask)
        names = [output.name for output in self.session.get_outputs()]
        return dict(zip(names, self.session.run(names, feeds), strict=True))

    def _full_mask(self, mask: Any) -> NDArray[Any]:
        return np.ones(mask_shape(mask.shape, self.size), dtype=MASK_TYPES[mask.type])


@dataclass(frozen=True, slots=True)
class OnnxDetector:
    """A `Detector`: a network and its reader."""

    network: OnnxNetwork
    reader: NetworkReader

    def __call__(self, image: Image.Image) -> list[Detection]:
        return self.reader.detections(self.network.run(self.reader.tensor(image)), image)


def create(name: str, options: Options, folder: Path) -> Provider:
    """The provider. Its network is loaded, and run once on a grey picture to learn the shapes of
    its outputs.

    Raises Misconfigured naming the setting: a file that is missing or no network, outputs of no
    known layout, labels that do not fit, or CUDA that is not available.
    """
    runtime = import_package("onnxruntime", "onnx")
    try:
        labels = read_labels(options, folder)
        network = _load(runtime, options, existing_file(folder, options.model, "model"))
        outputs = _trial_outputs(network, options)
        reader = reader_of(options, options.model, labels, size=network.size, outputs=outputs)
    except Misconfigured as error:
        raise Misconfigured(f"provider {name}: {error}") from error
    about = replace(
        about_of(name, options, Task.OBJECTS), vocabulary=vocabulary_of(options.vocabulary, labels)
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
    return OnnxNetwork(session, _input_size(session.get_inputs()[0], options))


def _input_size(image: Any, options: Options) -> Canvas:
    """The size of the network's first input. Raises Misconfigured if it takes no pictures."""
    if image.type not in IMAGE_TYPES or not detector.takes_pictures(image.shape):
        raise Misconfigured(
            f"model: its input is {image.type} {image.shape}; "
            f"expected {' or '.join(IMAGE_TYPES)} (n, 3, height, width)"
        )
    return detector.input_size(image.shape, options)


def _trial_outputs(network: OnnxNetwork, options: Options) -> Outputs:
    """The outputs for a grey picture. Raises Misconfigured if the network fails on it."""
    try:
        return network.run(grey_tensor(network.size))
    except Exception as error:  # ONNX Runtime's exceptions share no base of their own
        raise Misconfigured(
            f"model: {options.model} fails on an input of {size_text(network.size)} "
            f"(input_size sets another): {error}"
        ) from error
