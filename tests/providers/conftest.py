"""Pictures, tiny networks and the providers that the conformance suite runs over.

A provider of another distribution that is installed here runs through the suite by itself, if it
needs no settings. To put another one through, add a function to FACTORIES and its tasks to TASKS.
"""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import httpx
import numpy as np
import onnx
import pytest
from google.cloud.vision import Feature
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import InferenceSession
from PIL import Image, ImageDraw, ImageFont

from gateway.testing.gateway import parts_of, serving
from providers import registry
from providers.base import Picture, Provider
from providers.detection import Detection, Task
from providers.shapes import shapes_on
from tests.support.paths import SHARED

SAID = {
    vendor: json.loads((Path(__file__).parent / "answers" / f"{vendor}.json").read_text())
    for vendor in ("rekognition", "google", "azure")
}
"""What each vendor answers about a picture of 200 x 100 pixels, by operation or feature: in the
shapes of its API."""


class Subject(NamedTuple):
    """A provider under test, a task it answers, a picture in which it sees something, and what of
    EXTRAS to say."""

    provider: Provider
    task: Task
    shows: Image.Image
    wanted: tuple[str, ...] = ()


CALLS = {"rate_per_s": 1000, "breaker": {"calls": 7}}
"""What every provider here is told about how it may be called."""


def create(kind: str, folder: Path, **settings: Any) -> Provider:
    module = registry.load(kind)
    return module.create(f"my-{kind}", module.Options(kind=kind, **CALLS, **settings), folder)


def encode(image: Image.Image, form: str = "PNG", **settings: Any) -> bytes:
    buffer = BytesIO()
    image.save(buffer, form, **settings)
    return buffer.getvalue()


def picture_of(image: Image.Image, wants: str = "pixels", form: str = "PNG") -> Picture:
    if wants == "pixels":
        return Picture(*image.size, pixels=image)
    return Picture(*image.size, data=encode(image, form))


def write_network(
    file: Path,
    outputs: Mapping[str, Any],
    sides: tuple[Any, Any] = ("h", "w"),
    inputs: Mapping[str, Any] | None = None,
) -> Path:
    """A network that answers every input (1, 3, *sides) with the same outputs. `inputs`: further
    ones and shapes."""
    takes = [helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, [1, 3, *sides])]
    takes += [
        helper.make_tensor_value_info(key, TensorProto.INT64, shape)
        for key, shape in (inputs or {}).items()
    ]
    arrays = {key: np.asarray(value, dtype=np.float32) for key, value in outputs.items()}
    gives = [
        helper.make_tensor_value_info(key, TensorProto.FLOAT, value.shape)
        for key, value in arrays.items()
    ]
    nodes = [
        helper.make_node("Constant", [], [key], value=numpy_helper.from_array(value))
        for key, value in arrays.items()
    ]
    graph = helper.make_graph(nodes, "always the same", takes, gives)
    onnx.save(
        helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 17)]), file
    )
    return file


def words_on(size: tuple[int, int], *lines: tuple[str, int, int]) -> Image.Image:
    """White paper with lines of text, each at its x and y."""
    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image)
    for text, x, y in lines:
        draw.text((x, y), text, fill="black", font=ImageFont.load_default(36))
    return image


def red_box() -> Image.Image:
    image = Image.new("RGB", (200, 100), (90, 90, 90))
    ImageDraw.Draw(image).rectangle((50, 25, 149, 74), fill="red")
    return image


def make_shapes(folder: Path, task: Task) -> Subject:
    return Subject(create("shapes", folder), task, red_box())


def make_onnx(folder: Path, task: Task) -> Subject:
    write_network(
        folder / "net.onnx", {"logits": [[[9.0, 0.0, 0.0]]], "pred_boxes": [[[0.5, 0.5, 0.4, 0.2]]]}
    )
    (folder / "names.txt").write_text("cat\ndog\n")
    provider = create("onnx", folder, model="net.onnx", labels="names.txt")
    return Subject(provider, task, Image.new("RGB", (200, 100)))


def make_text(folder: Path, task: Task) -> Subject:
    return Subject(
        create("text", folder, threads=1, concurrency=1),
        task,
        words_on((280, 280), ("Two words", 40, 100)),
    )


def make_rekognition(folder: Path, task: Task, clouds: str, endpoint: str) -> Subject:
    """Asks, about objects, a gateway that speaks Rekognition and sees shapes; else something that
    answers as Rekognition does: real boto3, real HTTP."""
    address = endpoint if task == Task.OBJECTS else clouds
    provider = create("rekognition", folder, endpoint=address, access_key="any", secret_key="any")
    return Subject(provider, task, red_box(), ("IMAGE_PROPERTIES?MaxDominantColors=2",))


def make_google(folder: Path, task: Task, clouds: str) -> Subject:
    """Asks something that answers as Google does and sees shapes: the real SDK, real HTTP."""
    provider = create("google", folder, endpoint=clouds, transport="rest")
    return Subject(provider, task, red_box(), ("CROP_HINTS?max_results=3", "WEB_DETECTION"))


def make_azure(folder: Path, task: Task, clouds: str) -> Subject:
    """Asks something that answers as Azure does and sees shapes: the real SDK, real HTTP."""
    provider = create("azure", folder, endpoint=clouds, key="any")
    return Subject(
        provider,
        task,
        red_box(),
        ("caption?language=en", "smartCrops?smartcrops-aspect-ratios=0.9,1.33"),
    )


def make_gateway(folder: Path, task: Task, endpoint: str) -> Subject:
    """Asks a gateway that runs and sees shapes."""
    return Subject(create("gateway", folder, endpoint=endpoint, tasks=[task]), task, red_box())


def make_kserve(folder: Path, task: Task, models: str) -> Subject:
    """Asks a server that runs a tiny network by the Open Inference Protocol."""
    (folder / "names.txt").write_text("cat\ndog\n")
    provider = create("kserve", folder, endpoint=models, model="net", labels="names.txt")
    return Subject(provider, task, Image.new("RGB", (200, 100)))


def maker_of(kind: str) -> Callable[..., Subject]:
    """Makes subjects of a kind that needs no settings and sees a red rectangle."""
    return lambda folder, task: Subject(create(kind, folder), task, red_box())


def tasks_of(kind: str) -> tuple[Task, ...]:
    """The tasks that a provider of this kind says it answers, without settings."""
    provider = create(kind, Path())
    asyncio.run(provider.close())
    return tuple(sorted(provider.about.tasks))


FACTORIES: dict[str, Callable[..., Subject]] = {
    "azure": make_azure,
    "gateway": make_gateway,
    "google": make_google,
    "kserve": make_kserve,
    "onnx": make_onnx,
    "rekognition": make_rekognition,
    "shapes": make_shapes,
    "text": make_text,
}

TASKS: dict[str, tuple[Task, ...]] = {
    "azure": (Task.OBJECTS, Task.PEOPLE, Task.TEXT, Task.LABELS, Task.EXTRAS),
    "gateway": (Task.OBJECTS,),
    "google": (
        Task.OBJECTS,
        Task.PEOPLE,
        Task.FACES,
        Task.TEXT,
        Task.LOGOS,
        Task.LABELS,
        Task.MODERATION,
        Task.EXTRAS,
    ),
    "kserve": (Task.OBJECTS,),
    "onnx": (Task.OBJECTS,),
    "rekognition": (
        Task.OBJECTS,
        Task.PEOPLE,
        Task.FACES,
        Task.TEXT,
        Task.CELEBRITIES,
        Task.EQUIPMENT,
        Task.LABELS,
        Task.MODERATION,
        Task.EXTRAS,
    ),
    "shapes": (Task.OBJECTS,),
    "text": (Task.TEXT,),
}
"""What each kind answers; of its other tasks it says that it does not."""

for foreign_kind in set(registry.kinds()) - set(FACTORIES):
    FACTORIES[foreign_kind] = maker_of(foreign_kind)
    TASKS[foreign_kind] = tasks_of(foreign_kind)


@pytest.fixture(scope="session")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a gateway, which answers as Rekognition does, and as gateways do."""
    config = {
        "providers": {"eye": {"kind": "shapes"}},
        "routes": [
            {"task": "objects", "provider": "eye", "stages": [{"shape": "1x1"}], "max_wait_ms": 0}
        ],
    }
    with serving(parts_of(tmp_path_factory.mktemp("upstream"), config)) as url:
        yield url


class Asked(NamedTuple):
    """A request as a service got it."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    method: str = "POST"


Reply = tuple[int, Mapping[str, str], Any] | None
"""Status, headers, and a body: JSON unless it is bytes. None hangs up."""


@contextmanager
def listening(answer: Callable[[Asked], Reply]) -> Iterator[str]:
    """The address of a service that answers what it is asked."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"] or 0))
            if (reply := answer(Asked(self.path, self.headers, body, self.command))) is None:
                return
            status, headers, said = reply
            content = said if isinstance(said, bytes) else json.dumps(said).encode()
            self.send_response(status)
            for name, value in {
                "Content-Type": "application/json",
                "Content-Length": len(content),
                **headers,
            }.items():
                self.send_header(name, str(value))
            with suppress(ConnectionError):  # who asked may have gone
                self.end_headers()
                self.wfile.write(content)

        do_GET = do_POST

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
    """A service at `cloud.url` that answers with `cloud.reply` once `cloud.wait` is set, and keeps
    `requests`."""
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
    return image, shapes_on(image)


def as_rekognition(asked: Asked) -> Reply:
    """https://docs.aws.amazon.com/rekognition/latest/APIReference/Welcome.html"""
    operation, question = (
        asked.headers["X-Amz-Target"].removeprefix("RekognitionService."),
        json.loads(asked.body),
    )
    try:
        look(base64.b64decode(question["Image"]["Bytes"]))
    except OSError:
        return (
            400,
            {},
            {
                "__type": "InvalidImageFormatException",
                "Message": "Request has invalid image format",
            },
        )
    return 200, {}, SAID["rekognition"][":".join((operation, *question.get("Features", ())))]


def as_google(asked: Asked) -> Reply:
    """https://cloud.google.com/vision/docs/reference/rest/v1/AnnotateImageResponse"""
    (question,) = json.loads(asked.body)["requests"]
    try:
        _, found = look(base64.b64decode(question["image"]["content"]))
    except OSError:
        return 200, {}, {"responses": [{"error": {"code": 3, "message": "Bad image data."}}]}
    said: dict[str, Any] = {}
    for name in (Feature.Type(feature["type"]).name for feature in question["features"]):
        said |= SAID["google"][name]
    if found and "localizedObjectAnnotations" in said:
        said["localizedObjectAnnotations"] = said["localizedObjectAnnotations"] + list(
            map(google_object, found)
        )
    return 200, {}, {"responses": [said]}


def google_object(detection: Detection) -> Mapping[str, Any]:
    x0, y0, x1, y1 = detection.box
    corners = [{"x": x, "y": y} for x, y in ((x0, y0), (x1, y0), (x1, y1), (x0, y1))]
    return {
        "name": detection.label,
        "score": detection.score,
        "boundingPoly": {"normalizedVertices": corners},
    }


def as_azure(asked: Asked) -> Reply:
    """https://learn.microsoft.com/rest/api/computervision/image-analysis/analyze"""
    try:
        image, found = look(asked.body)
    except OSError:
        inner = {"code": "InvalidImageFormat", "message": "Image format is not valid."}
        return (
            400,
            {},
            {"error": {"code": "InvalidRequest", "message": inner["message"], "innererror": inner}},
        )
    metadata = dict(zip(("width", "height"), image.size, strict=True))
    features = parse_qs(urlsplit(asked.path).query)["features"][0].split(",")
    results = {f"{feature}Result": SAID["azure"][feature] for feature in features}
    if features == ["objects"]:
        results = {"objectsResult": {"values": [azure_object(each, *image.size) for each in found]}}
    return 200, {}, {"modelVersion": "2023-10-01", "metadata": metadata, **results}


def azure_object(detection: Detection, width: int, height: int) -> Mapping[str, Any]:
    x0, y0, x1, y1 = detection.box
    pixels = x0 * width, y0 * height, (x1 - x0) * width, (y1 - y0) * height
    box = dict(zip("xywh", map(round, pixels), strict=True))
    return {"boundingBox": box, "tags": [{"name": detection.label, "confidence": detection.score}]}


def as_cloud(asked: Asked) -> Reply:
    if "X-Amz-Target" in asked.headers:
        return as_rekognition(asked)
    return (as_google if "images:annotate" in asked.path else as_azure)(asked)


@pytest.fixture(scope="session")
def clouds() -> Iterator[str]:
    """The address of something that answers as each of the three clouds does."""
    with listening(as_cloud) as url:
        yield url


@pytest.fixture
def relay() -> Iterator[SimpleNamespace]:
    """An address, `url`, that is known before the service behind it is: what is posted there goes
    on to `target`. Keeps which `hops` the requests said."""
    state = SimpleNamespace(target="", hops=[])

    def answer(asked: Asked) -> Reply:
        hops = asked.headers["X-Imgrid-Hops"]
        state.hops.append(int(hops))
        said = httpx.post(
            f"{state.target}{asked.path}", content=asked.body, headers={"X-Imgrid-Hops": hops}
        )
        return said.status_code, {}, said.content

    with listening(answer) as state.url:
        yield state


@pytest.fixture(scope="session")
def said() -> Mapping[str, Mapping[str, Any]]:
    """`said[vendor][operation or feature]`: what `clouds` answers."""
    return SAID


@pytest.fixture(scope="session")
def stand_in() -> Iterator[str]:
    """The address of a real detector that answers in the formats of three clouds."""
    program = SHARED / "upstream" / "vision_upstream.py"
    if not program.exists():
        pytest.skip("needs ../shared with upstream and models")
    with subprocess.Popen(
        [sys.executable, program, "--port", "0"], stdout=subprocess.PIPE, text=True
    ) as process:
        yield process.stdout.readline().split()[-1]
        process.terminate()


HEADER_LENGTH = "Inference-Header-Content-Length"
DATATYPES = {
    "tensor(float)": "FP32",
    "tensor(float16)": "FP16",
    "tensor(int64)": "INT64",
    "tensor(bool)": "BOOL",
}
NUMPY = {"FP32": np.float32, "FP16": np.float16, "INT64": np.int64, "BOOL": np.bool_}


class Inference:
    """Serves one network, whatever the model is called, by the Open Inference Protocol v2: really
    run, by ONNX Runtime.

    Takes and gives tensors in binary where it is told to; asked to, it answers `instead`, for a
    path that ends so.
    """

    def __init__(self, network: Path, *, binary: bool = True) -> None:
        self.session = InferenceSession(str(network), providers=["CPUExecutionProvider"])
        self.binary = binary
        self.instead: dict[str, Reply] = {}
        self.requests: list[Asked] = []

    def __call__(self, asked: Asked) -> Reply:
        self.requests.append(asked)
        for ending, reply in self.instead.items():
            if asked.path.endswith(ending):
                return reply
        if asked.path == "/v2":
            return (
                200,
                {},
                {"name": "tests", "extensions": ["binary_tensor_data"] if self.binary else []},
            )
        if asked.path.endswith("/infer"):
            return self._infer(asked)
        if asked.path.endswith("/ready"):
            return 200, {}, b""
        return (
            200,
            {},
            {
                key: list(map(self._described, tensors))
                for key, tensors in (
                    ("inputs", self.session.get_inputs()),
                    ("outputs", self.session.get_outputs()),
                )
            },
        )

    @staticmethod
    def _described(tensor: Any) -> dict[str, Any]:
        shape = [side if isinstance(side, int) else -1 for side in tensor.shape]
        return {"name": tensor.name, "datatype": DATATYPES[tensor.type], "shape": shape}

    def _infer(self, asked: Asked) -> Reply:
        length = int(asked.headers.get(HEADER_LENGTH, len(asked.body)))
        said, tail, feeds = json.loads(asked.body[:length]), asked.body[length:], {}
        for tensor in said["inputs"]:
            kind = NUMPY[tensor["datatype"]]
            if "data" in tensor:
                array = np.array(tensor["data"], kind)
            else:
                size = tensor["parameters"]["binary_data_size"]
                array, tail = np.frombuffer(tail[:size], kind), tail[size:]
            feeds[tensor["name"]] = array.reshape(tensor["shape"])
        if tail:
            return 400, {}, {"error": f"{len(tail)} bytes too many"}
        try:
            arrays = self.session.run([output["name"] for output in said["outputs"]], feeds)
        except Exception as error:  # ONNX Runtime's exceptions share no base of their own
            return 400, {}, {"error": str(error)}
        return self._answered(said["outputs"], arrays)

    def _answered(self, wanted: Sequence[dict[str, Any]], arrays: Sequence[Any]) -> Reply:
        outputs, tail = [], b""
        for output, array in zip(wanted, arrays, strict=True):
            row = {"name": output["name"], "shape": array.shape}
            row["datatype"] = next(kind for kind, known in NUMPY.items() if known == array.dtype)
            if self.binary and output.get("parameters", {}).get("binary_data"):
                row["parameters"], tail = {"binary_data_size": array.nbytes}, tail + array.tobytes()
            else:
                row["data"] = array.tolist()
            outputs.append(row)
        head = json.dumps({"model_name": "net", "outputs": outputs}).encode()
        return 200, {HEADER_LENGTH: str(len(head))} if tail else {}, head + tail


@pytest.fixture
def inference() -> Iterator[Callable[..., tuple[str, Inference]]]:
    """`inference(network, binary=True)`: the address of a server of its own, and the server."""
    with ExitStack() as stack:

        def start(network: Path, **settings: Any) -> tuple[str, Inference]:
            server = Inference(network, **settings)
            return stack.enter_context(listening(server)), server

        yield start


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server that runs the tiny network that kind `onnx` is tried with."""
    outputs = {"logits": [[[9.0, 0.0, 0.0]]], "pred_boxes": [[[0.5, 0.5, 0.4, 0.2]]]}
    with listening(
        Inference(write_network(tmp_path_factory.mktemp("models") / "net.onnx", outputs))
    ) as url:
        yield url


SERVED_BY = {
    "rekognition": ("clouds", "endpoint"),
    "gateway": ("endpoint",),
    "google": ("clouds",),
    "azure": ("clouds",),
    "kserve": ("models",),
}
"""Which fixtures have the addresses that a kind asks."""


def subject_of(kind: str, task: Task, folder: Path, request: pytest.FixtureRequest) -> Subject:
    remote = {name: request.getfixturevalue(name) for name in SERVED_BY.get(kind, ())}
    return FACTORIES[kind](folder, task, **remote)


@pytest.fixture(
    scope="session",
    params=[(kind, task) for kind, tasks in TASKS.items() for task in tasks],
    ids=lambda param: "-".join(param),
)
def subject(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Subject]:
    """One of each kind for each of its tasks, shared by all tests, as some take seconds to load."""
    made = subject_of(*request.param, tmp_path_factory.mktemp(request.param[0]), request)
    yield made
    asyncio.run(made.provider.close())


@pytest.fixture(scope="session")
def seen(subject: Subject) -> Sequence[Detection]:
    """What it sees in its picture; asked once, as reading takes a second."""
    shown = picture_of(subject.shows, subject.provider.about.wants)
    return asyncio.run(subject.provider.detect(shown, subject.task, subject.wanted))


@pytest.fixture(scope="session")
def tasks() -> Mapping[str, tuple[Task, ...]]:
    return TASKS


@pytest.fixture(params=FACTORIES)
def fresh(request: pytest.FixtureRequest, tmp_path: Path) -> Subject:
    """One of each kind that a test may close."""
    return subject_of(request.param, TASKS[request.param][0], tmp_path, request)


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
