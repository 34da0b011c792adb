"""A network in ONNX Runtime: loaded, described by its inputs, and run on mini-batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from providers.engine import detector, foreign_exports
from providers.engine.detector import NetworkOptions, PictureInput
from providers.engine.layouts import Outputs
from providers.engine.look import RunningLook, run_session
from providers.engine.preprocess import Floats
from providers.errors import Misconfigured
from providers.options import Canvas

Execution = Literal["cpu", "cuda", "tensorrt", "openvino"]
RUNTIMES: Mapping[Execution, tuple[str, str]] = {
    "cuda": ("CUDAExecutionProvider", "onnxruntime-gpu"),
    "tensorrt": ("TensorrtExecutionProvider", "onnxruntime-gpu"),
    "openvino": ("OpenVINOExecutionProvider", "onnxruntime-openvino"),
}
"""What ONNX Runtime calls the places where a network runs besides its own CPU kernels, and the
package that has each."""
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


class OnnxNetwork(NamedTuple):
    """A session and the input for its pictures, which is its first. Safe to call from several
    threads."""

    session: Any
    picture: PictureInput

    def run(self, tensor: Floats, look: RunningLook | None = None) -> Outputs:
        """The outputs for an input (n, 3, h, w) of pictures that cover it all. The run ends with
        the look. Raises LookEnded if that was ended before."""
        image, *further = self.session.get_inputs()
        arranged = self.picture.arranged(tensor)
        feeds = {image.name: arranged.astype(IMAGE_TYPES[image.type], copy=False)}
        size = Canvas(tensor.shape[3], tensor.shape[2])
        for each in further:
            values = detector.further_input(each.name, each.shape, size, len(tensor))
            if values is not None:
                feeds[each.name] = values.astype(INPUT_TYPES[each.type])
        names = [output.name for output in self.session.get_outputs()]
        return dict(zip(names, run_session(self.session, names, feeds, look), strict=True))

    @property
    def metadata(self) -> Mapping[str, str]:
        """The texts that the file's exporter left in it."""
        return dict(self.session.get_modelmeta().custom_metadata_map)


def load_network(
    runtime: Any, model: Path, options: NetworkOptions, *, execution: Execution, threads: int
) -> OnnxNetwork:
    """The network of a file, whose runs take so many threads of the CPU.

    Raises Misconfigured if it cannot be loaded, takes no pictures, or if the runtime cannot run it
    there: without that runtime's libraries, ONNX Runtime silently falls back to the CPU.
    """
    places = [CPU]
    if execution != "cpu":
        place, package = RUNTIMES[execution]
        places.insert(0, place)
        if place not in runtime.get_available_providers():
            raise Misconfigured(
                f"execution: {execution} is not in this ONNX Runtime; "
                f"pip install {package} in its place"
            )
    settings = runtime.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    settings.log_severity_level = LOG_ERRORS
    try:
        session = runtime.InferenceSession(str(model), settings, providers=places)
    except Exception as error:  # ONNX Runtime's exceptions share no base of their own
        raise Misconfigured(f"model: {model} cannot be loaded by ONNX Runtime: {error}") from error
    if places[0] not in session.get_providers():
        raise Misconfigured(
            f"execution: {execution} could not be started; {RUNTIMES[execution][1]} needs the "
            "libraries that it names, such as CUDA and cuDNN"
        )
    return OnnxNetwork(session, _picture_input(session.get_inputs(), options))


def _picture_input(inputs: Sequence[Any], options: NetworkOptions) -> PictureInput:
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
