"""Kind `gateway`: another gateway's answers arrive as its providers gave them, and its errors as
the common ones."""

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
from providers.base import Picture, Provider
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
def gateway_for(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., str]]:
    """`behind(provider, task, **config)`: the address of a gateway in front of it."""
    gateways = []

    def start(provider: Provider, task: Task = Task.OBJECTS, **config: Any) -> str:
        route = {
            "task": task.value,
            "provider": "eye",
            "stages": [{"shape": "2x2"}],
            "max_wait_ms": 60_000,
        }
        content = {"providers": {"eye": {"kind": "shapes"}}, "routes": [route], **config}
        parts = parts_of(tmp_path_factory.mktemp("behind"), content, {"eye": provider})
        gateways.append(serving(parts))
        return gateways[-1].__enter__()

    yield start
    for each in gateways:
        each.__exit__(None, None, None)


@pytest.fixture
async def provider_of(
    make: Callable[..., Provider], tmp_path: Path
) -> AsyncIterator[Callable[..., Provider]]:
    """`provider_of(endpoint, **settings)`: a provider of the kind, closed at the end."""
    providers: list[Provider] = []

    def start(endpoint: str, **settings: Any) -> Provider:
        providers.append(make("gateway", tmp_path, endpoint=endpoint, **settings))
        return providers[-1]

    yield start
    for each in providers:
        await each.close()


def picture_of(
    image: Image.Image = PHOTO, form: str = "PNG", hops: int = 0, **settings: Any
) -> Picture:
    """The image as a file, with the number of gateways that it came through."""
    return Picture(*image.size, data=encoded(image, form, **settings), hops=hops)


class TestAnswers:
    """Questions to another gateway and their answers."""

    @pytest.mark.parametrize(
        ("task", "detections"), [(Task.TEXT, (LINE, WORD)), (Task.FACES, (FACE,))]
    )
    async def test_detections_arrive_whole(
        self,
        gateway_for: Callable[..., str],
        provider_of: Callable[..., Provider],
        task: Task,
        detections: tuple[Detection, ...],
    ) -> None:
        """The detections of the other gateway's provider arrive whole: polygons, words with their
        lines, landmarks and details."""
        provider = ScriptedProvider(lambda *_: detections, about=about("eye", task=task))
        assert await provider_of(gateway_for(provider, task), tasks=[task]).detect(
            picture_of(), task
        ) == list(detections)

    async def test_a_picture_is_not_gridded_again(
        self, gateway_for: Callable[..., str], provider_of: Callable[..., Provider]
    ) -> None:
        """A picture is not gridded again: it is asked about alone, at once, in its own bytes."""
        provider = ScriptedProvider()
        picture = picture_of(form="JPEG")
        (detection,) = await provider_of(gateway_for(provider)).detect(picture, Task.OBJECTS)
        assert detection.label == "red"
        assert [each.data for each in provider.pictures] == [picture.data]

    async def test_quality_is_a_setting(
        self, cloud: SimpleNamespace, provider_of: Callable[..., Provider]
    ) -> None:
        """The quality of the question is a setting, exact unless the operator sets it, and the
        deadline leaves time for the answer to arrive."""
        cloud.reply = 200, {}, {"photos": [{"detections": []}]}
        for settings, quality in (
            ({}, "exact"),
            ({"quality": "target", "timeout_ms": 1000}, "target"),
        ):
            assert await provider_of(cloud.url, **settings).detect(picture_of(), Task.OBJECTS) == []
            assert f"quality={quality}" in cloud.requests[-1].path
        assert "deadline_ms=900" in cloud.requests[-1].path

    async def test_without_a_key_it_is_misconfigured(
        self, gateway_for: Callable[..., str], provider_of: Callable[..., Provider]
    ) -> None:
        """The key is one of the other gateway's native keys; without one no picture is looked at,
        and the provider is not ready."""
        provider = ScriptedProvider()
        url = gateway_for(
            provider, tenants=[{"name": "front", "keys": [{"dialect": "native", "key": "k-front"}]}]
        )
        assert await provider_of(url, key="k-front").detect(picture_of(), Task.OBJECTS)
        other = provider_of(url, key="k-other")
        with pytest.raises(Misconfigured, match="unauthenticated"):
            await other.detect(picture_of(), Task.OBJECTS)
        with pytest.raises(Misconfigured, match="unauthenticated"):
            await other.ready()

    @pytest.mark.parametrize("form", ["PNG", "WEBP"])
    async def test_a_picture_is_not_turned_again(
        self, gateway_for: Callable[..., str], provider_of: Callable[..., Provider], form: str
    ) -> None:
        """A PNG or WebP whose EXIF orientation the client's API ignores is not turned by the other
        gateway either."""
        image = PHOTO.copy()
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = 6
        provider = ScriptedProvider()
        picture = Picture(*image.size, data=encoded(image, form, orientation=6))
        (detection,) = await provider_of(gateway_for(provider)).detect(picture, Task.OBJECTS)
        assert (provider.pictures[0].width_px, provider.pictures[0].height_px) == (100, 200)
        assert detection.box == pytest.approx((0.25, 0.25, 0.75, 0.75), abs=0.02)

    def test_it_is_free_unless_priced(self, tmp_path: Path, make: Callable[..., Provider]) -> None:
        """Pictures cost nothing here, as the other gateway keeps the bill, unless the operator sets
        a price."""
        unpriced = make("gateway", tmp_path, endpoint="http://x")
        priced = make("gateway", tmp_path, endpoint="http://x", usd_per_image=0.001)
        assert (unpriced.about.price.usd_per_image, priced.about.price.usd_per_image) == (0, 0.001)

    def test_extras_are_none_of_its_tasks(self) -> None:
        """It serves objects unless it is configured otherwise; extras are a vendor's own and no
        task of the gateways' API."""
        options = load("gateway").Options
        assert options(kind="gateway", endpoint="http://x").tasks == (Task.OBJECTS,)
        with pytest.raises(ValidationError, match="extras are a vendor's own"):
            options(kind="gateway", endpoint="http://x", tasks=["objects", "extras"])


def failure(code: str) -> dict[str, Any]:
    """An error of the gateway's own API."""
    return {"error": {"code": code, "message": f"about {code}"}}


class TestErrors:
    """Errors of another gateway."""

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
    async def test_every_error_becomes_a_common_one(
        self,
        cloud: SimpleNamespace,
        provider_of: Callable[..., Provider],
        status: int,
        body: bytes | dict[str, Any],
        kind: type,
    ) -> None:
        """Each error of the other gateway, and each answer that is none, becomes the common error
        that says what to do."""
        cloud.reply = status, {"Retry-After": "7", "Location": "http://elsewhere"}, body
        with pytest.raises(kind) as raised:
            await provider_of(cloud.url).detect(picture_of(), Task.OBJECTS)
        assert type(raised.value) is kind
        assert getattr(raised.value, "retry_after_s", 7) == 7
        assert len(cloud.requests) == 1

    async def test_a_compressed_answer_is_not_unpacked(
        self, cloud: SimpleNamespace, provider_of: Callable[..., Provider]
    ) -> None:
        """A compressed answer is not unpacked: the question did not accept it, and it could be of
        any size."""
        cloud.reply = 200, {"Content-Encoding": "gzip"}, b"\x1f\x8b"
        with pytest.raises(NoAnswer, match="compressed"):
            await provider_of(cloud.url).detect(picture_of(), Task.OBJECTS)
        assert cloud.requests[0].headers["Accept-Encoding"] == "identity"

    async def test_a_lost_connection_may_have_been_billed(
        self, cloud: SimpleNamespace, provider_of: Callable[..., Provider]
    ) -> None:
        """A connection or a time limit that ends after the question leaves open what is billed;
        where no connection came about, nothing is."""
        provider = provider_of(cloud.url, timeout_ms=200)
        cloud.reply = None
        with pytest.raises(NoAnswer, match="hung up"):
            await provider.detect(picture_of(), Task.OBJECTS)
        cloud.wait.clear()
        with pytest.raises(NoAnswer, match=r"within 0.2 s \(timeout_ms\)"):
            await provider.detect(picture_of(), Task.OBJECTS)
        with pytest.raises(Unavailable, match="takes no connection"):
            await provider_of("http://127.0.0.1:9").detect(picture_of(), Task.OBJECTS)


class TestReady:
    """Readiness by that of another gateway."""

    async def test_it_is_ready_where_the_other_is(
        self, gateway_for: Callable[..., str], provider_of: Callable[..., Provider]
    ) -> None:
        """It is ready where the other gateway is, and not where all of that one's providers are
        away."""
        await provider_of(gateway_for(ScriptedProvider())).ready()
        with pytest.raises(Unavailable, match="no credit"):
            await provider_of(
                gateway_for(ScriptedProvider(problem=Misconfigured("no credit")))
            ).ready()
        with pytest.raises(Unavailable, match="takes no connection"):
            await provider_of("http://127.0.0.1:9").ready()

    async def test_a_proxy_that_hides_readiness_is_ready(
        self, cloud: SimpleNamespace, provider_of: Callable[..., Provider]
    ) -> None:
        """It is ready behind a proxy that lets nothing but the API through."""
        cloud.reply = 404, {}, b"nothing here"
        await provider_of(cloud.url).ready()


class TestChains:
    """Gateways that ask gateways."""

    async def test_hops_are_counted_by_canvas(
        self,
        cloud: SimpleNamespace,
        gateway_for: Callable[..., str],
        provider_of: Callable[..., Provider],
        make: Callable[..., Provider],
        tmp_path: Path,
    ) -> None:
        """A request says how many gateways it came through: one more than came in, and for a canvas
        one more than the most of its photos."""
        cloud.reply = 200, {}, {"photos": [{"detections": []}]}
        await provider_of(cloud.url).detect(picture_of(), Task.OBJECTS)
        await provider_of(cloud.url).detect(picture_of(hops=2), Task.OBJECTS)
        url = gateway_for(make("gateway", tmp_path, endpoint=cloud.url))

        def post(hops: str) -> int:
            headers = {"X-Imgrid-Hops": hops, "X-Imgrid-Quality": "exact"}
            return httpx.post(
                f"{url}/v1/detect", content=picture_of().data, headers=headers
            ).status_code

        assert post("1") == 200
        assert [call.headers["X-Imgrid-Hops"] for call in cloud.requests] == ["1", "3", "2"]

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
    def test_too_many_hops_are_refused_in_every_dialect(
        self, gateway_for: Callable[..., str], path: str, hops: int | str, code: str
    ) -> None:
        """A request that came through more gateways than anybody chains is refused in every
        dialect."""
        provider = ScriptedProvider()
        feature = {"image": {"content": ""}, "features": [{"type": "OBJECT_LOCALIZATION"}]}
        content = (
            picture_of().data
            if path == "/v1/detect"
            else json.dumps({"requests": [feature]}).encode()
        )
        answer = httpx.post(
            f"{gateway_for(provider)}{path}",
            content=content,
            headers={"X-Imgrid-Hops": str(hops).encode()},
        )
        assert answer.status_code == 400
        assert code in answer.text or path != "/v1/detect"
        assert "gateways" in answer.text
        assert provider.pictures == []

    def test_a_loop_of_two_gateways_ends_with_an_error(
        self,
        relay: SimpleNamespace,
        gateway_for: Callable[..., str],
        make: Callable[..., Provider],
        tmp_path: Path,
    ) -> None:
        """Two gateways that ask each other answer with an error: nothing goes round for ever."""
        first = gateway_for(make("gateway", tmp_path, endpoint=relay.url, timeout_ms=400))
        relay.target = gateway_for(make("gateway", tmp_path, endpoint=first, timeout_ms=400))
        headers = {"X-Imgrid-Deadline-Ms": "500", "X-Imgrid-Quality": "exact"}
        answer = httpx.post(f"{first}/v1/detect", content=picture_of().data, headers=headers)
        assert answer.json()["error"]["code"] in ("upstream_failed", "deadline_exceeded")
        assert max(relay.hops) <= MOST_HOPS
