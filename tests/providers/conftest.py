"""The providers that the conformance suite runs over, and the services that providers ask.

A provider of another distribution that is installed here runs through the suite by itself, if it
needs no settings. To put another one through, add a function to FACTORIES and its tasks to TASKS.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import httpx
import pytest
from PIL import Image, ImageDraw, ImageFont

from gateway.testing.gateway import parts_of, serving
from providers import registry
from providers.base import Picture, Provider
from providers.detection import Detection, Task
from tests.support import google_replies, rekognition_replies
from tests.support.inference_server import InferenceServer, write_network
from tests.support.paths import SHARED
from tests.support.providers import ask_once
from tests.support.services import Call, Reply, service
from tests.support.vendor_stand_ins import VENDOR_ANSWERS, VendorAnswers, answer_as_cloud


class Subject(NamedTuple):
    """A provider under test, a task it answers, an image on which it detects something, and the
    extras to ask for where the task is EXTRAS."""

    provider: Provider
    task: Task
    image: Image.Image
    extras: tuple[str, ...] = ()

    @property
    def picture(self) -> Picture:
        """The image as the provider takes it."""
        return picture_of(self.image, self.provider.about.wants)


CALLS = {"rate_per_s": 1000, "breaker": {"calls": 7}}
"""How often each provider here may be called, and when it is left alone."""


def create(kind: str, folder: Path, **settings: Any) -> Provider:
    """A provider as the gateway creates it."""
    module = registry.load(kind)
    return module.create(f"my-{kind}", module.Options(kind=kind, **CALLS, **settings), folder)


def encode(image: Image.Image, form: str = "PNG", **settings: Any) -> bytes:
    """The image as a file of that format."""
    buffer = BytesIO()
    image.save(buffer, form, **settings)
    return buffer.getvalue()


def picture_of(image: Image.Image, wants: str = "pixels", form: str = "PNG") -> Picture:
    """The image as a provider takes it that wants bytes, or pixels."""
    if wants == "pixels":
        return Picture(*image.size, pixels=image)
    return Picture(*image.size, data=encode(image, form))


def words_on(size: tuple[int, int], *lines: tuple[str, int, int]) -> Image.Image:
    """White paper with lines of text, each at its x and y."""
    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image)
    for text, x, y in lines:
        draw.text((x, y), text, fill="black", font=ImageFont.load_default(36))
    return image


def red_box() -> Image.Image:
    """A red rectangle on grey."""
    image = Image.new("RGB", (200, 100), (90, 90, 90))
    ImageDraw.Draw(image).rectangle((50, 25, 149, 74), fill="red")
    return image


def make_shapes(folder: Path, task: Task) -> Subject:
    """A provider that detects plain coloured shapes."""
    return Subject(create("shapes", folder), task, red_box())


def make_onnx(folder: Path, task: Task) -> Subject:
    """A provider that runs a tiny network, which always detects one cat."""
    write_network(
        folder / "net.onnx", {"logits": [[[9.0, 0.0, 0.0]]], "pred_boxes": [[[0.5, 0.5, 0.4, 0.2]]]}
    )
    (folder / "names.txt").write_text("cat\ndog\n")
    provider = create("onnx", folder, model="net.onnx", labels="names.txt")
    return Subject(provider, task, Image.new("RGB", (200, 100)))


def make_text(folder: Path, task: Task) -> Subject:
    """A provider that reads text."""
    return Subject(
        create("text", folder, threads=1, concurrency=1),
        task,
        words_on((280, 280), ("Two words", 40, 100)),
    )


def make_rekognition(folder: Path, task: Task, clouds: str, endpoint: str) -> Subject:
    """A provider that asks, about objects, a gateway that speaks Rekognition and detects shapes;
    about other tasks it asks Rekognition's stand-in. It uses the real boto3 and real HTTP."""
    address = endpoint if task == Task.OBJECTS else clouds
    provider = create("rekognition", folder, endpoint=address, access_key="any", secret_key="any")
    return Subject(provider, task, red_box(), ("IMAGE_PROPERTIES?MaxDominantColors=2",))


def make_google(folder: Path, task: Task, clouds: str) -> Subject:
    """A provider that asks Google's stand-in through the real SDK and real HTTP."""
    provider = create("google", folder, endpoint=clouds, transport="rest")
    return Subject(provider, task, red_box(), ("CROP_HINTS?max_results=3", "WEB_DETECTION"))


def make_azure(folder: Path, task: Task, clouds: str) -> Subject:
    """A provider that asks Azure's stand-in through the real SDK and real HTTP."""
    provider = create("azure", folder, endpoint=clouds, key="any")
    return Subject(
        provider,
        task,
        red_box(),
        ("caption?language=en", "smartCrops?smartcrops-aspect-ratios=0.9,1.33"),
    )


def make_gateway(folder: Path, task: Task, endpoint: str) -> Subject:
    """A provider that asks a running gateway, which detects shapes."""
    return Subject(create("gateway", folder, endpoint=endpoint, tasks=[task]), task, red_box())


def make_kserve(folder: Path, task: Task, models: str) -> Subject:
    """A provider that asks a server of a tiny network by the Open Inference Protocol."""
    (folder / "names.txt").write_text("cat\ndog\n")
    provider = create("kserve", folder, endpoint=models, model="net", labels="names.txt")
    return Subject(provider, task, Image.new("RGB", (200, 100)))


def maker_of(kind: str) -> Callable[..., Subject]:
    """A factory of subjects of a kind that needs no settings and detects a red rectangle."""
    return lambda folder, task: Subject(create(kind, folder), task, red_box())


def tasks_of(kind: str) -> tuple[Task, ...]:
    """The tasks that a provider of this kind answers without settings, by its own word."""
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
    "kserve": (Task.OBJECTS, Task.LABELS, Task.MODERATION),
    "onnx": (Task.OBJECTS, Task.LABELS, Task.MODERATION),
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
"""The tasks that each kind answers; it refuses all others."""

for foreign_kind in set(registry.kinds()) - set(FACTORIES):
    FACTORIES[foreign_kind] = maker_of(foreign_kind)
    TASKS[foreign_kind] = tasks_of(foreign_kind)


@pytest.fixture(scope="session")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a gateway that detects shapes."""
    config = {
        "providers": {"eye": {"kind": "shapes"}},
        "routes": [
            {"task": "objects", "provider": "eye", "stages": [{"shape": "1x1"}], "max_wait_ms": 0}
        ],
    }
    with serving(parts_of(tmp_path_factory.mktemp("upstream"), config)) as url:
        yield url


@pytest.fixture
def cloud() -> Iterator[SimpleNamespace]:
    """A service at `cloud.url` that answers with `cloud.reply` once `cloud.wait` is set, and keeps
    its `requests`."""
    state = SimpleNamespace(reply=(200, {}, {}), requests=[], wait=threading.Event())
    state.wait.set()

    def answer(call: Call) -> Reply:
        state.requests.append(call)
        state.wait.wait(5)
        return state.reply

    with service(answer) as state.url:
        yield state
        state.wait.set()


@pytest.fixture(scope="session")
def clouds() -> Iterator[str]:
    """The address of a stand-in for each of the three clouds."""
    with service(answer_as_cloud) as url:
        yield url


@pytest.fixture
def relay() -> Iterator[SimpleNamespace]:
    """A service at `relay.url` that posts each request on to `relay.target`, which may be set
    later, and keeps the `hops` in the requests' headers."""
    state = SimpleNamespace(target="", hops=[])

    def answer(call: Call) -> Reply:
        hops = call.headers["X-Imgrid-Hops"]
        state.hops.append(int(hops))
        reply = httpx.post(
            f"{state.target}{call.path}", content=call.body, headers={"X-Imgrid-Hops": hops}
        )
        return reply.status_code, {}, reply.content

    with service(answer) as state.url:
        yield state


@pytest.fixture(scope="session")
def vendor_answers() -> VendorAnswers:
    """`vendor_answers[vendor][operation or feature]`: what `clouds` answers."""
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
            return stack.enter_context(service(server)), server

        yield start


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server that runs the tiny network that kind `onnx` is tried with."""
    outputs = {"logits": [[[9.0, 0.0, 0.0]]], "pred_boxes": [[[0.5, 0.5, 0.4, 0.2]]]}
    file = write_network(tmp_path_factory.mktemp("models") / "net.onnx", outputs)
    with service(InferenceServer(file)) as url:
        yield url


SERVED_BY = {
    "rekognition": ("clouds", "endpoint"),
    "gateway": ("endpoint",),
    "google": ("clouds",),
    "azure": ("clouds",),
    "kserve": ("models",),
}
"""The fixtures with the addresses that each kind asks."""


def subject_of(kind: str, task: Task, folder: Path, request: pytest.FixtureRequest) -> Subject:
    """A subject of that kind, in front of the services that it asks."""
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
    one = subject_of(*request.param, tmp_path_factory.mktemp(request.param[0]), request)
    yield one
    asyncio.run(one.provider.close())


@pytest.fixture(scope="session")
def detections(subject: Subject) -> Sequence[Detection]:
    """The subject's answer about its picture; asked once, as reading takes a second."""
    return asyncio.run(subject.provider.detect(subject.picture, subject.task, subject.extras))


@pytest.fixture(scope="session")
def tasks() -> Mapping[str, tuple[Task, ...]]:
    """The tasks that each kind answers."""
    return TASKS


@pytest.fixture(params=FACTORIES)
def fresh(request: pytest.FixtureRequest, tmp_path: Path) -> Subject:
    """One of each kind that a test may close."""
    return subject_of(request.param, TASKS[request.param][0], tmp_path, request)


@pytest.fixture(scope="session")
def make() -> Callable[..., Provider]:
    """`make(kind, folder, **settings)`: a provider as the gateway creates it."""
    return create


@pytest.fixture
def ask_cloud(cloud: SimpleNamespace, tmp_path: Path) -> Callable[..., list[Detection]]:
    """`ask_cloud(kind, picture, task, extras, **settings)`: the answer of a provider of that kind
    whose vendor is `cloud`."""

    def ask(
        kind: str,
        picture: Picture,
        task: Task = Task.OBJECTS,
        extras: Sequence[str] = (),
        **settings: Any,
    ) -> list[Detection]:
        provider = create(kind, tmp_path, endpoint=cloud.url, **settings)
        return asyncio.run(ask_once(provider, picture, task, extras))

    return ask


@pytest.fixture
def ask_google(ask_cloud: Callable[..., list[Detection]]) -> Callable[..., list[Detection]]:
    """`ask_google(task, extras, **settings)`: the answer about a small picture, by REST."""
    return partial(ask_cloud, "google", google_replies.PICTURE, transport="rest")


@pytest.fixture
def ask_rekognition(ask_cloud: Callable[..., list[Detection]]) -> Callable[..., list[Detection]]:
    """`ask_rekognition(task, extras, **settings)`: the answer about a small picture."""
    keys = {"access_key": "any", "secret_key": "any"}
    return partial(ask_cloud, "rekognition", rekognition_replies.PICTURE, **keys)


@pytest.fixture(scope="session")
def paper() -> Callable[..., Image.Image]:
    """`paper(size, (text, x, y), ...)`: an image of text on white."""
    return words_on


@pytest.fixture(scope="session")
def encoded() -> Callable[..., bytes]:
    """`encoded(image, form="PNG", **settings)`: the image as a file."""
    return encode


@pytest.fixture(scope="session")
def picture() -> Callable[..., Picture]:
    """`picture(image, wants="pixels", form="PNG")`: the image as a provider takes it."""
    return picture_of


@pytest.fixture(scope="session")
def network() -> Callable[..., Path]:
    """`network(file, outputs, sides, inputs)`: an ONNX file that always answers the same."""
    return write_network


@pytest.fixture
def detector(
    make: Callable[..., Provider], network: Callable[..., Path], tmp_path: Path
) -> Callable[..., Provider]:
    """`detector(outputs, labels, sides, inputs, export, **settings)`: a provider of kind `onnx`
    whose network always gives these outputs, written with the settings `export`. If `labels` is
    None, it has no labels file."""

    def build(
        outputs: Mapping[str, Any],
        labels: str | None = "cat\ndog\n",
        sides: tuple[int | str, ...] = ("h", "w"),
        inputs: Mapping[str, Any] | None = None,
        export: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> Provider:
        network(tmp_path / "net.onnx", outputs, sides, inputs, **(export or {}))
        if labels is not None:
            (tmp_path / "names.txt").write_text(labels)
            settings = {"labels": "names.txt", **settings}
        return make("onnx", tmp_path, **{"model": "net.onnx", **settings})

    return build
