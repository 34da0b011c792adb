"""The providers that the conformance suite runs over, and the services that they call.

A provider of another distribution that is installed here runs through the suite by itself, if it
needs no settings. To put another one through, add a function to FACTORIES and its tasks to TASKS.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from PIL import Image, ImageDraw

from gateway.testing.gateway import parts_of, serving
from providers import registry
from providers.base import Picture, Provider
from providers.detection import Detection, Task
from tests.support.clouds import (
    VENDOR_ANSWERS,
    Cloud,
    Relay,
    Reply,
    Request,
    VendorAnswers,
    as_cloud,
    http_service,
    running_cloud,
)
from tests.support.inference import InferenceServer, write_network
from tests.support.paths import SHARED
from tests.support.providers import create_provider, encode, picture_of, words_on


class Subject(NamedTuple):
    """A provider under test, a task it answers, a picture in which it detects something, and the
    extras to request."""

    provider: Provider
    task: Task
    image: Image.Image
    extras: tuple[str, ...] = ()


def red_box() -> Image.Image:
    image = Image.new("RGB", (200, 100), (90, 90, 90))
    ImageDraw.Draw(image).rectangle((50, 25, 149, 74), fill="red")
    return image


def make_shapes(folder: Path, task: Task) -> Subject:
    return Subject(create_provider("shapes", folder), task, red_box())


def make_onnx(folder: Path, task: Task) -> Subject:
    write_network(
        folder / "net.onnx", {"logits": [[[9.0, 0.0, 0.0]]], "pred_boxes": [[[0.5, 0.5, 0.4, 0.2]]]}
    )
    (folder / "names.txt").write_text("cat\ndog\n")
    provider = create_provider("onnx", folder, model="net.onnx", labels="names.txt")
    return Subject(provider, task, Image.new("RGB", (200, 100)))


def make_text(folder: Path, task: Task) -> Subject:
    return Subject(
        create_provider("text", folder, threads=1),
        task,
        words_on((280, 280), ("Two words", 40, 100)),
    )


def make_rekognition(folder: Path, task: Task, clouds: str, endpoint: str) -> Subject:
    """Calls, for objects, a gateway that speaks Rekognition and detects shapes; else a service that
    answers as Rekognition does: real boto3, real HTTP."""
    address = endpoint if task == Task.OBJECTS else clouds
    provider = create_provider(
        "rekognition", folder, endpoint=address, access_key="any", secret_key="any"
    )
    return Subject(provider, task, red_box(), ("IMAGE_PROPERTIES?MaxDominantColors=2",))


def make_google(folder: Path, task: Task, clouds: str) -> Subject:
    """Calls a service that answers as Google does and detects shapes: the real SDK, real HTTP."""
    provider = create_provider("google", folder, endpoint=clouds, transport="rest")
    return Subject(provider, task, red_box(), ("CROP_HINTS?max_results=3", "WEB_DETECTION"))


def make_azure(folder: Path, task: Task, clouds: str) -> Subject:
    """Calls a service that answers as Azure does and detects shapes: the real SDK, real HTTP."""
    provider = create_provider("azure", folder, endpoint=clouds, key="any")
    return Subject(
        provider,
        task,
        red_box(),
        ("caption?language=en", "smartCrops?smartcrops-aspect-ratios=0.9,1.33"),
    )


def make_gateway(folder: Path, task: Task, endpoint: str) -> Subject:
    """Calls a running gateway that detects shapes."""
    return Subject(
        create_provider("gateway", folder, endpoint=endpoint, tasks=[task]), task, red_box()
    )


def make_kserve(folder: Path, task: Task, models: str) -> Subject:
    """Calls a server that runs a tiny network by the Open Inference Protocol."""
    (folder / "names.txt").write_text("cat\ndog\n")
    provider = create_provider("kserve", folder, endpoint=models, model="net", labels="names.txt")
    return Subject(provider, task, Image.new("RGB", (200, 100)))


def maker_of(kind: str) -> Callable[..., Subject]:
    """A factory of subjects of a kind that needs no settings and detects a red rectangle."""
    return lambda folder, task: Subject(create_provider(kind, folder), task, red_box())


def tasks_of(kind: str) -> tuple[Task, ...]:
    """The tasks that a provider of this kind says it answers, without settings."""
    provider = create_provider(kind, Path())
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
"""The tasks of each kind."""

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


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    """A service that replies as a test says; it keeps its requests."""
    with running_cloud(Cloud(), lambda request: request) as cloud:
        yield cloud


@pytest.fixture(scope="session")
def clouds() -> Iterator[str]:
    """The address of a service that answers as each of the three clouds does."""
    with http_service(as_cloud) as url:
        yield url


@pytest.fixture
def relay() -> Iterator[Relay]:
    """A service with an address that is known before its target is."""
    relay = Relay()

    def answer(request: Request) -> Reply:
        hops = request.headers["X-Imgrid-Hops"]
        relay.hops.append(int(hops))
        target = f"{relay.target}{request.path}"
        answer = httpx.post(target, content=request.body, headers={"X-Imgrid-Hops": hops})
        return answer.status_code, {}, answer.content

    with http_service(answer) as relay.url:
        yield relay


@pytest.fixture(scope="session")
def vendor_answers() -> VendorAnswers:
    """`vendor_answers[vendor][operation or feature]`: the answers of `clouds`."""
    return VENDOR_ANSWERS


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


@pytest.fixture
def inference() -> Iterator[Callable[..., tuple[str, InferenceServer]]]:
    """`inference(network, binary=True)`: the address of a server of its own, and the server."""
    with ExitStack() as stack:

        def start(network: Path, **settings: Any) -> tuple[str, InferenceServer]:
            server = InferenceServer(network, **settings)
            return stack.enter_context(http_service(server)), server

        yield start


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server that runs the tiny network that kind `onnx` is tested with."""
    outputs = {"logits": [[[9.0, 0.0, 0.0]]], "pred_boxes": [[[0.5, 0.5, 0.4, 0.2]]]}
    with http_service(
        InferenceServer(write_network(tmp_path_factory.mktemp("models") / "net.onnx", outputs))
    ) as url:
        yield url


SERVED_BY = {
    "rekognition": ("clouds", "endpoint"),
    "gateway": ("endpoint",),
    "google": ("clouds",),
    "azure": ("clouds",),
    "kserve": ("models",),
}
"""The fixtures with the addresses that a kind calls."""


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
    """A subject of each kind for each of its tasks, shared by all tests, as loading takes time."""
    subject = subject_of(*request.param, tmp_path_factory.mktemp(request.param[0]), request)
    yield subject
    asyncio.run(subject.provider.close())


@pytest.fixture(scope="session")
def detections(subject: Subject) -> Sequence[Detection]:
    """The subject's detections in its picture; detected once, as reading takes a second."""
    picture = picture_of(subject.image, subject.provider.about.wants)
    return asyncio.run(subject.provider.detect(picture, subject.task, subject.extras))


@pytest.fixture(scope="session")
def tasks() -> Mapping[str, tuple[Task, ...]]:
    return TASKS


@pytest.fixture(params=FACTORIES)
def fresh(request: pytest.FixtureRequest, tmp_path: Path) -> Subject:
    """A subject of each kind that a test may close."""
    return subject_of(request.param, TASKS[request.param][0], tmp_path, request)


@pytest.fixture(scope="session")
def make() -> Callable[..., Provider]:
    """`make(kind, folder, **settings)`: a provider as the gateway creates it."""
    return create_provider


@pytest.fixture(scope="session")
def paper() -> Callable[..., Image.Image]:
    """`paper(size, (text, x, y), ...)`: text on white."""
    return words_on


@pytest.fixture(scope="session")
def encoded() -> Callable[..., bytes]:
    return encode


@pytest.fixture(scope="session")
def picture() -> Callable[..., Picture]:
    """`picture(image, wants="pixels", form="PNG")`: the image as a provider gets it."""
    return picture_of


@pytest.fixture(scope="session")
def network() -> Callable[..., Path]:
    """`network(file, outputs, sides, inputs)`: an ONNX file that always answers the same."""
    return write_network
