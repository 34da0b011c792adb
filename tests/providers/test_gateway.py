"""Kind `gateway`: another gateway's answers come as its providers gave them, its errors in the
providers' words."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import ExifTags, Image
from pydantic import ValidationError

from gateway.api.endpoint import MOST_HOPS
from gateway.testing.gateway import parts_of, serving
from gateway.testing.pictures import Block, drawn, encoded
from gateway.testing.provider import ScriptedProvider, about
from providers.base import Picture, Provider
from providers.detection import Box, Detection, Landmark, Task
from providers.errors import (
    Misconfigured,
    NoAnswer,
    PictureRefused,
    ProviderError,
    Throttled,
    Unavailable,
)
from providers.registry import load
from tests.support.clouds import Cloud, Relay

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
def gateway_before(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., str]]:
    """`gateway_before(provider, task, **config)`: the address of a gateway before the provider."""
    running = []

    def start(
        provider: ScriptedProvider | Provider, task: Task = Task.OBJECTS, **config: Any
    ) -> str:
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
async def provider_at(
    make: Callable[..., Provider], tmp_path: Path
) -> AsyncIterator[Callable[..., Provider]]:
    """`provider_at(endpoint, **settings)`: a provider of the kind, closed at the end."""
    providers = []

    def start(endpoint: str, **settings: Any) -> Provider:
        providers.append(make("gateway", tmp_path, endpoint=endpoint, **settings))
        return providers[-1]

    yield start
    for each in providers:
        await each.close()


def picture_of(
    image: Image.Image = PHOTO, form: str = "PNG", hops: int = 0, **settings: Any
) -> Picture:
    return Picture(*image.size, data=encoded(image, form, **settings), hops=hops)


class TestAnswers:
    @pytest.mark.parametrize(
        ("task", "detections"), [(Task.TEXT, (LINE, WORD)), (Task.FACES, (FACE,))]
    )
    async def test_detections_arrive_whole(
        self,
        gateway_before: Callable[..., str],
        provider_at: Callable[..., Provider],
        task: Task,
        detections: tuple[Detection, ...],
    ) -> None:
        """The other gateway's detections arrive whole: polygons, words with their lines, landmarks
        and details."""
        eye = ScriptedProvider(lambda *_: detections, about=about("eye", task=task))
        assert await provider_at(gateway_before(eye, task), tasks=[task]).detect(
            picture_of(), task
        ) == list(detections)

    async def test_a_picture_is_not_gridded_again(
        self, gateway_before: Callable[..., str], provider_at: Callable[..., Provider]
    ) -> None:
        """A picture is not gridded again: the other gateway asks about it alone, at once, in its
        own bytes."""
        eye = ScriptedProvider()
        picture = picture_of(form="JPEG")
        (red,) = await provider_at(gateway_before(eye)).detect(picture, Task.OBJECTS)
        assert red.label == "red"
        assert [each.data for each in eye.pictures] == [picture.data]

    async def test_the_requested_quality_is_a_setting(
        self, cloud: Cloud, provider_at: Callable[..., Provider]
    ) -> None:
        """The requested quality is a setting; the deadline leaves time for the answer to arrive."""
        cloud.reply = 200, {}, {"photos": [{"detections": []}]}
        for settings, quality in (
            ({}, "exact"),
            ({"quality": "target", "timeout_ms": 1000}, "target"),
        ):
            assert await provider_at(cloud.url, **settings).detect(picture_of(), Task.OBJECTS) == []
            assert f"quality={quality}" in cloud.requests[-1].path
        assert "deadline_ms=900" in cloud.requests[-1].path

    async def test_without_a_native_key_it_is_not_ready(
        self, gateway_before: Callable[..., str], provider_at: Callable[..., Provider]
    ) -> None:
        """The key is one of the other gateway's native keys; without one no picture is accepted,
        and the provider is not ready."""
        eye = ScriptedProvider()
        url = gateway_before(
            eye, tenants=[{"name": "front", "keys": [{"dialect": "native", "key": "k-front"}]}]
        )
        assert await provider_at(url, key="k-front").detect(picture_of(), Task.OBJECTS)
        stranger = provider_at(url, key="k-other")
        with pytest.raises(Misconfigured, match="unauthenticated"):
            await stranger.detect(picture_of(), Task.OBJECTS)
        with pytest.raises(Misconfigured, match="unauthenticated"):
            await stranger.ready()

    @pytest.mark.parametrize("form", ["PNG", "WEBP"])
    async def test_a_picture_is_not_turned_by_its_exif(
        self, gateway_before: Callable[..., str], provider_at: Callable[..., Provider], form: str
    ) -> None:
        """The other gateway does not turn a PNG or WebP either if the client's API ignores its
        EXIF."""
        image = PHOTO.copy()
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = 6
        eye = ScriptedProvider()
        picture = Picture(*image.size, data=encoded(image, form, orientation=6))
        (red,) = await provider_at(gateway_before(eye)).detect(picture, Task.OBJECTS)
        assert (eye.pictures[0].width_px, eye.pictures[0].height_px) == (100, 200)
        assert red.box == pytest.approx((0.25, 0.25, 0.75, 0.75), abs=0.02)

    def test_it_is_free_unless_the_operator_names_a_price(
        self, tmp_path: Path, make: Callable[..., Provider]
    ) -> None:
        """A picture costs nothing here, because the other gateway keeps the bill, unless the
        operator names a price."""
        free = make("gateway", tmp_path, endpoint="http://x")
        dear = make("gateway", tmp_path, endpoint="http://x", usd_per_image=0.001)
        assert (free.about.price.usd_per_image, dear.about.price.usd_per_image) == (0, 0.001)

    def test_it_serves_objects_unless_told_otherwise(self) -> None:
        """A provider serves objects or the configured tasks; extras of a vendor are no task of the
        gateways' API."""
        options = load("gateway").Options
        assert options(kind="gateway", endpoint="http://x").tasks == (Task.OBJECTS,)
        with pytest.raises(ValidationError, match="extras are a vendor's own"):
            options(kind="gateway", endpoint="http://x", tasks=["objects", "extras"])


def failure(code: str) -> dict[str, dict[str, str]]:
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
    async def test_errors_become_the_common_tree(
        self,
        cloud: Cloud,
        provider_at: Callable[..., Provider],
        status: int,
        body: Any,
        kind: type[ProviderError],
    ) -> None:
        """Each error of the other gateway, and each unreadable answer, becomes the common error
        that names the remedy."""
        cloud.reply = status, {"Retry-After": "7", "Location": "http://elsewhere"}, body
        with pytest.raises(kind) as raised:
            await provider_at(cloud.url).detect(picture_of(), Task.OBJECTS)
        assert type(raised.value) is kind
        assert getattr(raised.value, "retry_after_s", 7) == 7
        assert len(cloud.requests) == 1

    async def test_a_compressed_answer_is_not_unpacked(
        self, cloud: Cloud, provider_at: Callable[..., Provider]
    ) -> None:
        """A compressed answer is not unpacked: none was requested, and it could be of any size."""
        cloud.reply = 200, {"Content-Encoding": "gzip"}, b"\x1f\x8b"
        with pytest.raises(NoAnswer, match="compressed"):
            await provider_at(cloud.url).detect(picture_of(), Task.OBJECTS)
        assert cloud.requests[0].headers["Accept-Encoding"] == "identity"

    async def test_a_lost_answer_may_have_been_billed(
        self, cloud: Cloud, provider_at: Callable[..., Provider]
    ) -> None:
        """A connection or a time limit that ends after the request leaves the bill open; a
        connection that was never made costs nothing."""
        provider = provider_at(cloud.url, timeout_ms=200)
        cloud.reply = None
        with pytest.raises(NoAnswer, match="hung up"):
            await provider.detect(picture_of(), Task.OBJECTS)
        cloud.wait.clear()
        with pytest.raises(NoAnswer, match=r"within 0.2 s \(timeout_ms\)"):
            await provider.detect(picture_of(), Task.OBJECTS)
        with pytest.raises(Unavailable, match="takes no connection"):
            await provider_at("http://127.0.0.1:9").detect(picture_of(), Task.OBJECTS)


class TestReady:
    async def test_it_is_ready_where_the_other_gateway_is(
        self, gateway_before: Callable[..., str], provider_at: Callable[..., Provider]
    ) -> None:
        """A provider is ready if the other gateway is, and not if all providers of that one are
        away."""
        await provider_at(gateway_before(ScriptedProvider())).ready()
        with pytest.raises(Unavailable, match="no credit"):
            await provider_at(
                gateway_before(ScriptedProvider(problem=Misconfigured("no credit")))
            ).ready()
        with pytest.raises(Unavailable, match="takes no connection"):
            await provider_at("http://127.0.0.1:9").ready()

    async def test_a_hidden_health_check_counts_as_ready(
        self, cloud: Cloud, provider_at: Callable[..., Provider]
    ) -> None:
        """A proxy that lets only the API through does not make the provider unready."""
        cloud.reply = 404, {}, b"nothing here"
        await provider_at(cloud.url).ready()


class TestChains:
    async def test_hops_are_counted_by_the_furthest_photo(
        self,
        cloud: Cloud,
        gateway_before: Callable[..., str],
        provider_at: Callable[..., Provider],
        make: Callable[..., Provider],
        tmp_path: Path,
    ) -> None:
        """A request carries the number of gateways it came through plus one; of the photos on one
        canvas the largest number counts."""
        cloud.reply = 200, {}, {"photos": [{"detections": []}]}
        await provider_at(cloud.url).detect(picture_of(), Task.OBJECTS)
        await provider_at(cloud.url).detect(picture_of(hops=2), Task.OBJECTS)
        url = gateway_before(make("gateway", tmp_path, endpoint=cloud.url))

        def post(hops: str) -> int:
            headers = {"X-Imgrid-Hops": hops, "X-Imgrid-Quality": "exact"}
            return httpx.post(
                f"{url}/v1/detect", content=picture_of().data, headers=headers
            ).status_code

        assert post("1") == 200
        assert [request.headers["X-Imgrid-Hops"] for request in cloud.requests] == ["1", "3", "2"]

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
    def test_too_many_hops_are_refused(
        self, gateway_before: Callable[..., str], path: str, hops: int | str, code: str
    ) -> None:
        """A request that came through too many gateways is refused, in every dialect."""
        eye = ScriptedProvider()
        feature = {"image": {"content": ""}, "features": [{"type": "OBJECT_LOCALIZATION"}]}
        content = (
            picture_of().data
            if path == "/v1/detect"
            else json.dumps({"requests": [feature]}).encode()
        )
        answer = httpx.post(
            f"{gateway_before(eye)}{path}",
            content=content,
            headers={"X-Imgrid-Hops": str(hops).encode()},
        )
        assert answer.status_code == 400
        assert code in answer.text or path != "/v1/detect"
        assert "gateways" in answer.text
        assert eye.pictures == []

    def test_a_loop_of_gateways_ends_with_an_error(
        self,
        relay: Relay,
        gateway_before: Callable[..., str],
        make: Callable[..., Provider],
        tmp_path: Path,
    ) -> None:
        """Two gateways that ask each other answer with an error: no request circles for ever."""
        first = gateway_before(make("gateway", tmp_path, endpoint=relay.url, timeout_ms=400))
        relay.target = gateway_before(make("gateway", tmp_path, endpoint=first, timeout_ms=400))
        headers = {"X-Imgrid-Deadline-Ms": "500", "X-Imgrid-Quality": "exact"}
        answer = httpx.post(f"{first}/v1/detect", content=picture_of().data, headers=headers)
        assert answer.json()["error"]["code"] in ("upstream_failed", "deadline_exceeded")
        assert max(relay.hops) <= MOST_HOPS
