"""Pictures, tiny networks and the providers that the conformance suite runs over.

To put another provider through the suite, add a function to FACTORIES.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image, ImageDraw, ImageFont

import providers
from gateway.testing import parts_of, serving
from providers.base import Detection, Picture, Provider, Task


class Subject(NamedTuple):
    """A provider under test, a task it answers, and a picture in which it sees something."""

    provider: Provider
    task: Task
    shows: Image.Image


def create(kind: str, folder: Path, **settings: Any) -> Provider:
    module = providers.load(kind)
    return module.create(f"my-{kind}", module.Options(kind=kind, **settings), folder)


def encode(image: Image.Image, form: str = "PNG", **settings: Any) -> bytes:
    buffer = BytesIO()
    image.save(buffer, form, **settings)
    return buffer.getvalue()


def picture_of(image: Image.Image, wants: str = "pixels", form: str = "PNG") -> Picture:
    if wants == "pixels":
        return Picture(*image.size, pixels=image)
    return Picture(*image.size, data=encode(image, form))


def write_network(
    file: Path, outputs: Mapping[str, Any], sides: tuple[Any, Any] = ("h", "w"), inputs: Mapping[str, Any] | None = None
) -> Path:
    """A network that answers every input (1, 3, *sides) with the same outputs. `inputs`: further ones and shapes."""
    takes = [helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, [1, 3, *sides])]
    takes += [helper.make_tensor_value_info(key, TensorProto.INT64, shape) for key, shape in (inputs or {}).items()]
    arrays = {key: np.asarray(value, dtype=np.float32) for key, value in outputs.items()}
    gives = [helper.make_tensor_value_info(key, TensorProto.FLOAT, value.shape) for key, value in arrays.items()]
    nodes = [
        helper.make_node("Constant", [], [key], value=numpy_helper.from_array(value)) for key, value in arrays.items()
    ]
    graph = helper.make_graph(nodes, "always the same", takes, gives)
    onnx.save(helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 17)]), file)
    return file


def words_on(size: tuple[int, int], *lines: tuple[str, int, int]) -> Image.Image:
    """White paper with lines of text, each at its x and y."""
    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image)
    for text, x, y in lines:
        draw.text((x, y), text, fill="black", font=ImageFont.load_default(36))
    return image


def make_shapes(folder: Path) -> Subject:
    image = Image.new("RGB", (200, 100), (90, 90, 90))
    ImageDraw.Draw(image).rectangle((50, 25, 149, 74), fill="red")
    return Subject(create("shapes", folder), Task.OBJECTS, image)


def make_onnx(folder: Path) -> Subject:
    write_network(folder / "net.onnx", {"logits": [[[9.0, 0.0, 0.0]]], "pred_boxes": [[[0.5, 0.5, 0.4, 0.2]]]})
    (folder / "names.txt").write_text("cat\ndog\n")
    provider = create("onnx", folder, model="net.onnx", labels="names.txt")
    return Subject(provider, Task.OBJECTS, Image.new("RGB", (200, 100)))


def make_text(folder: Path) -> Subject:
    return Subject(create("text", folder), Task.TEXT, words_on((280, 280), ("Two words", 40, 100)))


def make_rekognition(folder: Path, endpoint: str) -> Subject:
    """Asks a gateway that speaks Rekognition and sees shapes: real boto3, real HTTP, a real answer."""
    provider = create("rekognition", folder, endpoint=endpoint, access_key="any", secret_key="any")
    return Subject(provider, Task.OBJECTS, make_shapes(folder).shows)


FACTORIES: Mapping[str, Callable[..., Subject]] = {
    "onnx": make_onnx,
    "rekognition": make_rekognition,
    "shapes": make_shapes,
    "text": make_text,
}


@pytest.fixture(scope="session")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of something that answers as Rekognition does."""
    config = {
        "providers": {"eye": {"kind": "shapes"}},
        "routes": [{"task": "objects", "provider": "eye", "stages": [{"shape": "1x1"}], "max_wait_ms": 0}],
    }
    with serving(parts_of(tmp_path_factory.mktemp("upstream"), config)) as url:
        yield url


def subject_of(kind: str, folder: Path, request: pytest.FixtureRequest) -> Subject:
    remote = {"endpoint": request.getfixturevalue("endpoint")} if kind == "rekognition" else {}
    return FACTORIES[kind](folder, **remote)


@pytest.fixture(scope="session", params=FACTORIES)
def subject(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Subject:
    """One of each kind, shared by all tests, as some take seconds to load."""
    return subject_of(request.param, tmp_path_factory.mktemp(request.param), request)


@pytest.fixture(scope="session")
def seen(subject: Subject) -> Sequence[Detection]:
    """What it sees in its picture; asked once, as reading takes a second."""
    shown = picture_of(subject.shows, subject.provider.about.wants)
    return asyncio.run(subject.provider.detect(shown, subject.task))


@pytest.fixture(params=FACTORIES)
def fresh(request: pytest.FixtureRequest, tmp_path: Path) -> Subject:
    """One of each kind that a test may close."""
    return subject_of(request.param, tmp_path, request)


@pytest.fixture(scope="session")
def make() -> Callable[..., Provider]:
    """`make(kind, folder, **settings)`: a provider as the gateway creates it."""
    return create


@pytest.fixture(scope="session")
def paper() -> Callable[..., Image.Image]:
    """`paper(size, (text, x, y), ...)`: text on white."""
    return words_on


@pytest.fixture(scope="session")
def encoded() -> Callable[..., bytes]:
    return encode


@pytest.fixture(scope="session")
def picture() -> Callable[..., Picture]:
    """`picture(image, wants="pixels", form="PNG")`: what a provider is given."""
    return picture_of


@pytest.fixture(scope="session")
def network() -> Callable[..., Path]:
    """`network(file, outputs, sides, inputs)`: an ONNX file that always answers the same."""
    return write_network
