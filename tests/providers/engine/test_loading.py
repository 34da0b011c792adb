"""A network that is loaded has run, so that no client pays for a first run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnxruntime
import pytest

from providers import onnx
from providers.engine.detector import PictureInput
from providers.engine.layouts import Outputs
from providers.engine.loading import load_model, warm_model
from providers.engine.look import RunningLook
from providers.engine.network import OnnxNetwork, load_network
from providers.engine.preprocess import Floats
from tests.support.colour_network import write_colour_network


class ShapeRecorder:
    """A network that notes the shapes of the inputs that it runs on."""

    def __init__(self, network: OnnxNetwork) -> None:
        self.shapes: list[tuple[int, ...]] = []
        self._network = network

    @property
    def picture(self) -> PictureInput:
        return self._network.picture

    @property
    def metadata(self) -> Mapping[str, str]:
        return self._network.metadata

    def run(self, tensor: Floats, look: RunningLook | None = None) -> Outputs:
        self.shapes.append(tensor.shape)
        return self._network.run(tensor, look)


def options_in(folder: Path, **settings: Any) -> onnx.Options:
    """The options of a network with free sides and a free number of pictures."""
    write_colour_network(folder / "net.onnx")
    content = {"model": "net.onnx", "labels": "labels.txt", "input_size": "320x320", **settings}
    return onnx.Options(kind="onnx", **content)


@pytest.mark.parametrize("rectangular", [True, False])
def test_the_largest_input_and_mini_batch_have_run(tmp_path: Path, rectangular: bool) -> None:
    """Before it is there for pictures, a network has run on the largest input that a picture can
    have, alone and in the largest mini-batch."""
    options = options_in(tmp_path, mini_batch=4, rectangular=rectangular)
    network = ShapeRecorder(
        load_network(
            onnxruntime, tmp_path / "net.onnx", options, execution="cpu", threads=options.threads
        )
    )
    warm_model(network, options, tmp_path)
    assert {(1, 3, 320, 320), (4, 3, 320, 320)} <= set(network.shapes)
    assert ((1, 3, 160, 320) in network.shapes) == rectangular


def test_a_model_takes_its_files_bytes_at_least(tmp_path: Path) -> None:
    """The memory that a model is charged with is never less than its file, though its load used
    memory that was there."""
    options = options_in(tmp_path)
    file = tmp_path / "net.onnx"
    assert load_model(options, tmp_path).memory_bytes >= file.stat().st_size > 0
