"""Kind `onnx`: any detector in ONNX whose outputs have one of the common layouts, run by ONNX
Runtime."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from PIL import Image
from pydantic import Field

from providers.base import Provider
from providers.detection import Detection, Task
from providers.engine import detector, heads
from providers.engine.detector import (
    NetworkReader,
    Outputs,
    file_of,
    grey,
    input_size,
    labels_of,
    reader_of,
    sides,
    takes_pictures,
)
from providers.engine.vocabulary import vocabulary
from providers.engine.worker import LocalProvider, introduce, need
from providers.errors import Misconfigured
from providers.options import Canvas

CUDA = "CUDAExecutionProvider"
NUMBERS = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
MASKS = {"tensor(int64)": np.int64, "tensor(bool)": np.bool_, "tensor(float)": np.float32}
QUIET = 3
"""ONNX Runtime's severity "error"; its warnings are about how a file was exported."""


class Options(detector.Options):
    """Settings of kind `onnx`."""

    model: Path = Field(description="the network's .onnx file")
    execution: Literal["cpu", "cuda"] = Field(
        "cpu", description="where it runs; cuda needs onnxruntime-gpu"
    )
    threads: int = Field(1, ge=1, description="threads of one picture")
    concurrency: int = Field(
        2, ge=1, le=256, description="pictures looked at in parallel, a thread each"
    )


class Network(NamedTuple):
    """A session, and what its first input takes. Safe to call from several threads."""

    session: Any
    size: Canvas

    def run(self, tensor: heads.Floats) -> Outputs:
        """Outputs for one input (1, 3, h, w); a `pixel_mask` is told that all of it is picture."""
        image, *others = self.session.get_inputs()
        feeds = {image.name: tensor.astype(NUMBERS[image.type])}
        feeds |= {mask.name: self._whole(mask) for mask in others if mask.name == "pixel_mask"}
        names = [output.name for output in self.session.get_outputs()]
        return dict(zip(names, self.session.run(names, feeds), strict=True))

    def _whole(self, mask: Any) -> Any:
        return np.ones(detector.whole(mask.shape, self.size), dtype=MASKS[mask.type])


@dataclass(frozen=True, slots=True)
class OnnxDetector:
    """A network and how to read it; a `Look`."""

    network: Network
    reader: NetworkReader

    def __call__(self, image: Image.Image) -> list[Detection]:
        return self.reader.detections(self.network.run(self.reader.tensor(image)), image)


def create(name: str, options: Options, folder: Path) -> Provider:
    """The provider, its network loaded and run once on a grey picture to learn what its outputs
    look like.

    Raises Misconfigured naming the setting: a file that is missing or no network, outputs of no
    known layout, labels that do not fit, CUDA that is not there.
    """
    runtime = need("onnxruntime", "onnx")
    try:
        labels = labels_of(options, folder)
        network = _network(runtime, options, file_of(folder, options.model, "model"))
        reader = reader_of(options, options.model, labels, network.size, _trial(network, options))
    except Misconfigured as error:
        raise Misconfigured(f"provider {name}: {error}") from error
    about = replace(
        introduce(name, options, Task.OBJECTS), vocabulary=vocabulary(options.vocabulary, labels)
    )
    return LocalProvider(about, OnnxDetector(network, reader), options.timeout_ms)


def _input_size(tensor: Any, options: Options) -> Canvas:
    if tensor.type not in NUMBERS or not takes_pictures(tensor.shape):
        raise Misconfigured(
            f"model: its input is {tensor.type} {tensor.shape}; expected {' or '.join(NUMBERS)} (n, 3, height, width)"
        )
    return input_size(tensor.shape, options)


def _network(runtime: Any, options: Options, model: Path) -> Network:
    """The session. ONNX Runtime falls back to the CPU without a word where CUDA's libraries are
    missing: checked."""
    cuda = options.execution == "cuda"
    if cuda and CUDA not in runtime.get_available_providers():
        raise Misconfigured(
            "execution: cuda is not in this ONNX Runtime; pip install onnxruntime-gpu in its place"
        )
    settings = runtime.SessionOptions()
    settings.intra_op_num_threads, settings.log_severity_level = options.threads, QUIET
    try:
        places = [CUDA, "CPUExecutionProvider"] if cuda else ["CPUExecutionProvider"]
        session = runtime.InferenceSession(str(model), settings, providers=places)
    except Exception as error:  # ONNX Runtime's exceptions share no base of their own
        raise Misconfigured(f"model: {model} cannot be loaded by ONNX Runtime: {error}") from error
    if cuda and CUDA not in session.get_providers():
        raise Misconfigured(
            "execution: cuda could not be started; onnxruntime-gpu needs the CUDA and cuDNN it names"
        )
    return Network(session, _input_size(session.get_inputs()[0], options))


def _trial(network: Network, options: Options) -> Outputs:
    try:
        return network.run(grey(network.size))
    except Exception as error:  # as above
        raise Misconfigured(
            f"model: {options.model} fails on an input of {sides(network.size)} (input_size sets another): {error}"
        ) from error
