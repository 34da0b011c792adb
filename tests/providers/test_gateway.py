"""Kind `gateway`: another gateway's answers come as its providers gave them, its errors in the
providers' words."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from PIL import ExifTags, Image
from pydantic import ValidationError

from gateway.api.endpoint import MOST_HOPS
from gateway.testing.gateway import parts_of, serving
from gateway.testing.pictures import Block, drawn, encoded
from gateway.testing.provider import ScriptedProvider, about
from providers.base import Picture
from providers.detection import Box, Detection, Landmark, Task
from providers.errors import Misconfigured, NoAnswer, PictureRefused, Throttled, Unavailable
from providers.registry import load

PHOTO = drawn((200, 100), Block("red", 50, 25, 150, 75))
LINE = Detection(
    "two words",
    0.5,
    Box(0.1, 0.1, 0.5, 0.2),
    "LINE",
    ((0.1, 0.1), (0.5, 0.1), (0.5, 0.2), (0.1, 0.2)),
    7,
)
WORD = Detection("two", 0.4, Box(0.1, 0.1, 0.2, 0.2), "WORD", parent=7)
FACE = Detection(
    "Face",
    0.9,
    Box(0.2, 0.2, 0.6, 0.8),
    details={
        "vendor": "rekognition",
        "raw": {"Smile": {"Value": True, "Confidence": 99.5}},
        "pose": [1.0, 2.0, 3.0],
    },
    landmarks=(Landmark("eyeLeft", 0.3, 0.4, 0.05), Landmark("eyeRight", 0.5, 0.4)),
)


@pytest.fixture
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Any]]:
    """`behind(provider, task, **config)`: the address of a gateway in front of it."""
    running = []

    def start(provider, task=Task.OBJECTS, **config):
        route = {
            "task": task.value,
            "provider": "eye",
            "stages": [{"shape": "2x2"}],
            "max_wait_ms": 60_000,
        }
        content = {"providers": {"eye": {"kind": "shapes"}}, "routes": [route], **config}
        parts = parts_of(tmp_path_factory.mktemp("behind"), content, {"eye": provider})
        running.append(serving(parts))
        return running[-1].__enter__()

    yield start
    for each in running:
        each.__exit__(None, None, None)


@pytest.fixture
async def asking(make: Callable[..., Any], tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    """`asking(endpoint, **settings)`: a provider of the kind, closed at the end."""
    made = []

    def start(endpoint, **settings):
        made.append(make("gateway", tmp_path, endpoint=endpoint, **settings))
        return made[-1]

    yield start
    for each in made:
        await each.close()


def shown(image=PHOTO, form="PNG", hops=0, **settings):
    return Picture(*image.size, data=encoded(image, form, **settings), hops=hops)


class TestAnswers:
    @pytest.mark.parametrize(("task", "found"), [(Task.TEXT, (LINE, WORD)), (Task.FACES, (FACE,))])
    async def test_whole(
        self,
        behind: Callable[..., Any],
        asking: Callable[..., Any],
        task: Task,
        found: tuple[Detection, ...],
    ) -> None:
        """What the other's provider saw arrives whole: polygons, words with their lines, landmarks
        and details."""
        eye = ScriptedProvider(lambda *_: found, about=about("eye", task=task))
        assert await asking(behind(eye, task), tasks=[task]).detect(shown(), task) == list(found)

    async def test_exact(self, behind: Callable[..., Any], asking: Callable[..., Any]) -> None:
        """A picture is not gridded again: it is asked about alone, at once, in its own bytes."""
        eye = ScriptedProvider()
        picture = shown(form="JPEG")
        (red,) = await asking(behind(eye)).detect(picture, Task.OBJECTS)
        assert red.label == "red"
        assert [each.data for each in eye.pictures] == [picture.data]

    async def test_quality(self, cloud: SimpleNamespace, asking: Callable[..., Any]) -> None:
        """Unless the operator wants it: the quality asked for is a setting; the deadline leaves
        time to hear of it."""
        cloud.reply = 200, {}, {"photos": [{"detections": []}]}
        for settings, quality in (
            ({}, "exact"),
            ({"quality": "target", "timeout_ms": 1000}, "target"),
        ):
            assert await asking(cloud.url, **settings).detect(shown(), Task.OBJECTS) == []
            assert f"quality={quality}" in cloud.requests[-1].path
        assert "deadline_ms=900" in cloud.requests[-1].path

    async def test_key(self, behind: Callable[..., Any], asking: Callable[..., Any]) -> None:
        """The key is one of the other's native keys; without one no picture is looked at, and it is
        not ready."""
        eye = ScriptedProvider()
        url = behind(
            eye, tenants=[{"name": "front", "keys": [{"dialect": "native", "key": "k-front"}]}]
        )
        assert await asking(url, key="k-front").detect(shown(), Task.OBJECTS)
        stranger = asking(url, key="k-other")
        with pytest.raises(Misconfigured, match="unauthenticated"):
            await stranger.detect(shown(), Task.OBJECTS)
        with pytest.raises(Misconfigured, match="unauthenticated"):
            await stranger.ready()

    @pytest.mark.parametrize("form", ["PNG", "WEBP"])
    async def test_turned(
        self, behind: Callable[..., Any], asking: Callable[..., Any], form: str
    ) -> None:
        """A PNG or WebP whose EXIF its client's API does not heed is not turned by the other
        gateway either."""
        image = PHOTO.copy()
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = 6
        eye = ScriptedProvider()
        picture = Picture(*image.size, data=encoded(image, form, orientation=6))
        (red,) = await asking(behind(eye)).detect(picture, Task.OBJECTS)
        assert (eye.pictures[0].width_px, eye.pictures[0].height_px) == (100, 200)
        assert red.box == pytest.approx((0.25, 0.25, 0.75, 0.75), abs=0.02)

    def test_price(self, tmp_path: Path, make: Callable[..., Any]) -> None:
        """It costs nothing here, for the other keeps the bill, unless the operator says what it
        costs."""
        free = make("gateway", tmp_path, endpoint="http://x")
        dear = make("gateway", tmp_path, endpoint="http://x", usd_per_image=0.001)
        assert (free.about.price.usd_per_image, dear.about.price.usd_per_image) == (0, 0.001)

    def test_tasks(self) -> None:
        """It serves objects, or what it is said to; what only a vendor can say is no task of the
        gateways' API."""
        options = load("gateway").Options
        assert options(kind="gateway", endpoint="http://x").tasks == (Task.OBJECTS,)
        with pytest.raises(ValidationError, match="extras are a vendor's own"):
            options(kind="gateway", endpoint="http://x", tasks=["objects", "extras"])


def failure(code):
    return {"error": {"code": code, "message": f"about {code}"}}


class TestErrors:
    @pytest.mark.parametrize(
        ("status", "body", "kind"),
        [
            (400, failure("invalid_format"), PictureRefused),
            (400, failure("invalid_photo"), PictureRefused),
            (400, failure("invalid_dimensions"), PictureRefused),
            (400, failure("empty_photo"), PictureRefused),
            (413, failure("photo_too_large"), PictureRefused),
            (413, b"<html>too large</html>", PictureRefused),
            (429, failure("busy"), Throttled),
            (429, failure("upstream_throttled"), Throttled),
            (503, failure("stopping"), Unavailable),
            (503, failure("buffer_unavailable"), Unavailable),
            (408, failure("too_slow"), Unavailable),
            (502, b"<html>bad gateway</html>", Unavailable),
            (502, failure("billed_unknown"), NoAnswer),
            (502, failure("upstream_failed"), NoAnswer),
            (502, failure("dead_letter"), NoAnswer),
            (504, failure("deadline_exceeded"), NoAnswer),
            (504, b"", NoAnswer),
            (500, failure("internal"), NoAnswer),
            (401, failure("unauthenticated"), Misconfigured),
            (403, b"", Misconfigured),
            (404, failure("not_served"), Misconfigured),
            (404, b"nothing here", Misconfigured),
            (400, failure("invalid_request"), Misconfigured),
            (400, failure("too_many_hops"), Misconfigured),
            (307, b"", Misconfigured),
            (200, b"", NoAnswer),
            (200, b"{", NoAnswer),
            (200, b"[" * 100_000, NoAnswer),
            (200, {"photos": []}, NoAnswer),
            (200, {"photos": [{"detections": []}] * 2}, NoAnswer),
            (200, {"photos": [{"detections": [{"label": "a", "score": 2, "box": {}}]}]}, NoAnswer),
            (
                200,
                b'{"photos": [{"detections": [{"label": "a", "score": 1, "box": '
                b'{"x0": 0, "y0": 0, "x1": 1e999, "y1": 1}}]}]}',
                NoAnswer,
            ),
            (200, b" " * (8 * 1024 * 1024 + 1), NoAnswer),
        ],
    )
    async def test_translated(
        self,
        cloud: SimpleNamespace,
        asking: Callable[..., Any],
        status: int,
        body: bytes
        | dict[str, dict[str, str]]
        | dict[str, list[Any]]
        | dict[str, list[dict[str, list[Any]]]],
        kind: type,
    ) -> None:
        """Each of the other's errors, and each answer that is none, is the common error that says
        what to do."""
        cloud.reply = status, {"Retry-After": "7", "Location": "http://elsewhere"}, body
        with pytest.raises(kind) as raised:
            await asking(cloud.url).detect(shown(), Task.OBJECTS)
        assert type(raised.value) is kind
        assert getattr(raised.value, "retry_after_s", 7) == 7
        assert len(cloud.requests) == 1

    async def test_compressed(self, cloud: SimpleNamespace, asking: Callable[..., Any]) -> None:
        """An answer that comes compressed is not unpacked: nobody asked for it, and it could be of
        any size."""
        cloud.reply = 200, {"Content-Encoding": "gzip"}, b"\x1f\x8b"
        with pytest.raises(NoAnswer, match="compressed"):
            await asking(cloud.url).detect(shown(), Task.OBJECTS)
        assert cloud.requests[0].headers["Accept-Encoding"] == "identity"

    async def test_lost(self, cloud: SimpleNamespace, asking: Callable[..., Any]) -> None:
        """A connection that ends, or a time limit that does, after the question leaves open what is
        billed; where no connection came to be, nothing is."""
        provider = asking(cloud.url, timeout_ms=200)
        cloud.reply = None
        with pytest.raises(NoAnswer, match="hung up"):
            await provider.detect(shown(), Task.OBJECTS)
        cloud.wait.clear()
        with pytest.raises(NoAnswer, match=r"within 0.2 s \(timeout_ms\)"):
            await provider.detect(shown(), Task.OBJECTS)
        with pytest.raises(Unavailable, match="takes no connection"):
            await asking("http://127.0.0.1:9").detect(shown(), Task.OBJECTS)


class TestReady:
    async def test_ready(self, behind: Callable[..., Any], asking: Callable[..., Any]) -> None:
        """It is ready where the other is: not where all of its providers are away."""
        await asking(behind(ScriptedProvider())).ready()
        with pytest.raises(Unavailable, match="no credit"):
            await asking(behind(ScriptedProvider(problem=Misconfigured("no credit")))).ready()
        with pytest.raises(Unavailable, match="takes no connection"):
            await asking("http://127.0.0.1:9").ready()

    async def test_hidden(self, cloud: SimpleNamespace, asking: Callable[..., Any]) -> None:
        """A proxy that lets nothing but the API through is no reason not to be."""
        cloud.reply = 404, {}, b"nothing here"
        await asking(cloud.url).ready()


class TestChains:
    async def test_counted(
        self,
        cloud: SimpleNamespace,
        behind: Callable[..., Any],
        asking: Callable[..., Any],
        make: Callable[..., Any],
        tmp_path: Path,
    ) -> None:
        """A request says how many gateways it came through: as many as came in, and one more. Of
        photos on one canvas the one that came furthest counts."""
        cloud.reply = 200, {}, {"photos": [{"detections": []}]}
        await asking(cloud.url).detect(shown(), Task.OBJECTS)
        await asking(cloud.url).detect(shown(hops=2), Task.OBJECTS)
        url = behind(make("gateway", tmp_path, endpoint=cloud.url))

        def post(hops):
            headers = {"X-Imgrid-Hops": hops, "X-Imgrid-Quality": "exact"}
            return httpx.post(f"{url}/v1/detect", content=shown().data, headers=headers).status_code

        assert post("1") == 200
        assert [asked.headers["X-Imgrid-Hops"] for asked in cloud.requests] == ["1", "3", "2"]

    @pytest.mark.parametrize("path", ["/v1/detect", "/v1/images:annotate"])
    @pytest.mark.parametrize(
        ("hops", "code"),
        [
            (MOST_HOPS + 1, "too_many_hops"),
            ("9" * 5000, "too_many_hops"),
            ("-1", "invalid_request"),
            ("²", "invalid_request"),
        ],
    )
    def test_too_many(
        self, behind: Callable[..., Any], path: str, hops: int | str, code: str
    ) -> None:
        """Whatever the dialect, a request that came through more gateways than anybody chains is
        refused."""
        eye = ScriptedProvider()
        feature = {"image": {"content": ""}, "features": [{"type": "OBJECT_LOCALIZATION"}]}
        content = (
            shown().data if path == "/v1/detect" else json.dumps({"requests": [feature]}).encode()
        )
        answer = httpx.post(
            f"{behind(eye)}{path}", content=content, headers={"X-Imgrid-Hops": str(hops).encode()}
        )
        assert answer.status_code == 400
        assert code in answer.text or path != "/v1/detect"
        assert "gateways" in answer.text
        assert eye.pictures == []

    def test_loop(
        self,
        relay: SimpleNamespace,
        behind: Callable[..., Any],
        make: Callable[..., Any],
        tmp_path: Path,
    ) -> None:
        """Two gateways that ask each other answer with an error: nothing goes round for ever."""
        first = behind(make("gateway", tmp_path, endpoint=relay.url, timeout_ms=400))
        relay.target = behind(make("gateway", tmp_path, endpoint=first, timeout_ms=400))
        headers = {"X-Imgrid-Deadline-Ms": "500", "X-Imgrid-Quality": "exact"}
        answer = httpx.post(f"{first}/v1/detect", content=shown().data, headers=headers)
        assert answer.json()["error"]["code"] in ("upstream_failed", "deadline_exceeded")
        assert max(relay.hops) <= MOST_HOPS
