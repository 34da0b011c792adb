"""Pictures, tiny networks and the providers that the conformance suite runs over.

To put another provider through the suite, add a function to FACTORIES.
"""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image, ImageDraw, ImageFont

import providers
from gateway.testing import parts_of, serving
from providers.base import Detection, Picture, Provider, Task
from providers.shapes import find

SHARED = Path(__file__).resolve().parents[3] / "shared"


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


def make_google(folder: Path, endpoint: str) -> Subject:
    """Asks something that answers as Google does and sees shapes: the real SDK, real HTTP."""
    return Subject(
        create("google", folder, endpoint=endpoint, transport="rest"), Task.OBJECTS, make_shapes(folder).shows
    )


def make_azure(folder: Path, endpoint: str) -> Subject:
    """Asks something that answers as Azure does and sees shapes: the real SDK, real HTTP."""
    return Subject(create("azure", folder, endpoint=endpoint, key="any"), Task.OBJECTS, make_shapes(folder).shows)


FACTORIES: Mapping[str, Callable[..., Subject]] = {
    "azure": make_azure,
    "google": make_google,
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


class Asked(NamedTuple):
    """A request as a service got it."""

    path: str
    headers: Mapping[str, str]
    body: bytes


Reply = tuple[int, Mapping[str, str], Any] | None
"""Status, headers, and a body: JSON unless it is bytes. None hangs up."""


@contextmanager
def listening(answer: Callable[[Asked], Reply]) -> Iterator[str]:
    """The address of a service that answers what is posted to it."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if (reply := answer(Asked(self.path, self.headers, body))) is None:
                return
            status, headers, said = reply
            content = said if isinstance(said, bytes) else json.dumps(said).encode()
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", "Content-Length": len(content), **headers}.items():
                self.send_header(name, str(value))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def cloud() -> Iterator[SimpleNamespace]:
    """A service at `cloud.url` that answers with `cloud.reply` once `cloud.wait` is set, and keeps `requests`."""
    state = SimpleNamespace(reply=(200, {}, {}), requests=[], wait=threading.Event())
    state.wait.set()

    def answer(asked: Asked) -> Reply:
        state.requests.append(asked)
        state.wait.wait(5)
        return state.reply

    with listening(answer) as state.url:
        yield state
        state.wait.set()


def look(data: bytes) -> tuple[Image.Image, Sequence[Detection]]:
    """The picture, and the shapes on it. Raises OSError where it is none."""
    image = Image.open(BytesIO(data)).convert("RGB")
    return image, find(image)


def as_google(body: bytes) -> Reply:
    """https://cloud.google.com/vision/docs/reference/rest/v1/AnnotateImageResponse"""
    try:
        _, found = look(base64.b64decode(json.loads(body)["requests"][0]["image"]["content"]))
    except OSError:
        return 200, {}, {"responses": [{"error": {"code": 3, "message": "Bad image data."}}]}
    rows = []
    for label, score, (x0, y0, x1, y1) in ((each.label, each.score, each.box) for each in found):
        corners = [{"x": x, "y": y} for x, y in ((x0, y0), (x1, y0), (x1, y1), (x0, y1))]
        rows.append({"name": label, "score": score, "boundingPoly": {"normalizedVertices": corners}})
    return 200, {}, {"responses": [{"localizedObjectAnnotations": rows} if rows else {}]}


def as_azure(body: bytes) -> Reply:
    """https://learn.microsoft.com/rest/api/computervision/image-analysis/analyze"""
    try:
        image, found = look(body)
    except OSError:
        inner = {"code": "InvalidImageFormat", "message": "Image format is not valid."}
        return 400, {}, {"error": {"code": "InvalidRequest", "message": inner["message"], "innererror": inner}}
    (width, height), rows = image.size, []
    for label, score, (x0, y0, x1, y1) in ((each.label, each.score, each.box) for each in found):
        pixels = x0 * width, y0 * height, (x1 - x0) * width, (y1 - y0) * height
        box = dict(zip("xywh", map(round, pixels), strict=True))
        rows.append({"boundingBox": box, "tags": [{"name": label, "confidence": score}]})
    metadata = {"width": width, "height": height}
    return 200, {}, {"modelVersion": "2023-10-01", "metadata": metadata, "objectsResult": {"values": rows}}


@pytest.fixture(scope="session")
def clouds() -> Iterator[str]:
    """The address of something that answers as Google and as Azure do."""
    with listening(lambda asked: (as_google if "images:annotate" in asked.path else as_azure)(asked.body)) as url:
        yield url


@pytest.fixture(scope="session")
def stand_in() -> Iterator[str]:
    """The address of a real detector that answers in the formats of three clouds."""
    program = SHARED / "upstream" / "vision_upstream.py"
    if not program.exists():
        pytest.skip("needs ../shared with upstream and models")
    with subprocess.Popen([sys.executable, program, "--port", "0"], stdout=subprocess.PIPE, text=True) as process:
        yield process.stdout.readline().split()[-1]
        process.terminate()


SERVED_BY = {"rekognition": "endpoint", "google": "clouds", "azure": "clouds"}
"""Which fixture has the address that a kind asks."""


def subject_of(kind: str, folder: Path, request: pytest.FixtureRequest) -> Subject:
    remote = {"endpoint": request.getfixturevalue(SERVED_BY[kind])} if kind in SERVED_BY else {}
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
