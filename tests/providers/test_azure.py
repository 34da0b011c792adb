"""The provider `azure`: its questions, its reading of the answers, and its errors."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from pydantic import ValidationError

from gateway.testing.pictures import drawn, encoded
from providers.azure.provider import Options
from providers.base import Picture, Provider
from providers.detection import WHOLE, Box, Detection, Task
from providers.errors import Misconfigured, NoAnswer, PictureRefused, Throttled, Unavailable
from tests.support.providers import ask_once
from tests.support.services import Reply
from tests.support.vendor_stand_ins import VendorAnswers

PICTURE = Picture(200, 100, data=encoded(drawn((200, 100)), "JPEG"))
BOX = {"x": 40, "y": 0, "w": 60, "h": 50}


def reply_with(**results: Any) -> Reply:
    """The reply with these results by feature."""
    body = {"modelVersion": "2023-10-01", "metadata": {"width": 400, "height": 200}}
    return 200, {}, {**body, **{f"{feature}Result": result for feature, result in results.items()}}


def polygon(x0: int, y0: int, x1: int, y1: int) -> list[dict[str, int]]:
    """The corners of a rectangle as Azure writes them."""
    return [{"x": x, "y": y} for x, y in ((x0, y0), (x1, y0), (x1, y1), (x0, y1))]


OBJECTS = reply_with(
    objects={"values": [{"boundingBox": BOX, "tags": [{"name": "Laptop", "confidence": 0.88}]}]}
)
PEOPLE = reply_with(
    people={
        "values": [{"boundingBox": BOX, "confidence": confidence} for confidence in (0.96, 0.0017)]
    }
)
WORDS = [
    {"text": "OPEN", "boundingPolygon": polygon(0, 0, 80, 20), "confidence": 0.5},
    {"text": "LATE", "boundingPolygon": polygon(100, 0, 200, 20), "confidence": 1.0},
]
LINES = [
    {"text": "OPEN LATE", "boundingPolygon": polygon(0, 0, 200, 20), "words": WORDS},
    {"text": "", "boundingPolygon": polygon(0, 0, 1, 1), "words": []},
    {"text": "LATE", "boundingPolygon": polygon(100, 0, 200, 20), "words": WORDS[1:]},
]
TEXT = reply_with(read={"blocks": [{"lines": LINES}]})


def error_reply(status: int, code: str = "", text: str = "no", inner: str | None = None) -> Reply:
    """An error of Azure's, with an inner code where one is given."""
    error = {"code": code or str(status), "message": text}
    return (
        status,
        {},
        {"error": {**error, **({"innererror": {"code": inner, "message": text}} if inner else {})}},
    )


@pytest.fixture
def ask(ask_cloud: Callable[..., list[Detection]]) -> Callable[..., list[Detection]]:
    """`ask(task, extras, **options)`: the answer to one picture."""
    return partial(ask_cloud, "azure", PICTURE, key="secret")


@pytest.mark.parametrize(
    ("task", "feature", "reply"),
    [
        (Task.OBJECTS, "objects", OBJECTS),
        (Task.PEOPLE, "people", PEOPLE),
        (Task.TEXT, "read", TEXT),
        (Task.LABELS, "tags", reply_with(tags={"values": []})),
    ],
)
def test_a_task_is_one_feature(
    cloud: SimpleNamespace,
    ask: Callable[..., list[Detection]],
    task: Task,
    feature: str,
    reply: Reply,
) -> None:
    """A task is one feature; the picture is sent unchanged, with the key."""
    cloud.reply = reply
    ask(task)
    (request,) = cloud.requests
    url = urlsplit(request.path)
    assert url.path == "/computervision/imageanalysis:analyze"
    assert parse_qs(url.query)["features"] == [feature]
    assert request.body == PICTURE.data
    assert request.headers["Ocp-Apim-Subscription-Key"] == "secret"


def test_several_extras_are_one_call(
    cloud: SimpleNamespace,
    ask: Callable[..., list[Detection]],
    vendor_answers: VendorAnswers,
) -> None:
    """Several extras are one call, with the options of all of them, and each answer has the
    vendor's own members."""
    names = ["caption", "denseCaptions", "smartCrops"]
    cloud.reply = reply_with(**{name: vendor_answers["azure"][name] for name in names})
    options = ["?language=en&gender-neutral-caption=true", "", "?smartcrops-aspect-ratios=0.9,1.33"]
    detections = ask(
        Task.EXTRAS, [name + option for name, option in zip(names, options, strict=True)]
    )
    (request,) = cloud.requests
    query = parse_qs(urlsplit(request.path).query)
    query.pop("api-version")
    assert query == {
        "features": ["caption,denseCaptions,smartCrops"],
        "language": ["en"],
        "gender-neutral-caption": ["true"],
        "smartcrops-aspect-ratios": ["0.9,1.33"],
    }
    assert [(each.label, each.score, each.box) for each in detections] == [
        (name, 1.0, WHOLE) for name in names
    ]
    assert [each.details for each in detections] == [
        {"raw": vendor_answers["azure"][name]} for name in names
    ]


def test_an_option_cannot_become_a_parameter(
    cloud: SimpleNamespace, ask: Callable[..., list[Detection]]
) -> None:
    """A client's value of an option cannot become another parameter of the call."""
    cloud.reply = reply_with(caption={"text": "a dog", "confidence": 0.5})
    ask(Task.EXTRAS, ["caption?language=en%26features%3Dread"])
    query = parse_qs(urlsplit(cloud.requests[0].path).query)
    assert (query["language"], query["features"]) == (["en&features=read"], ["caption"])


def test_unknown_options_are_refused_before_the_call(
    cloud: SimpleNamespace, ask: Callable[..., list[Detection]]
) -> None:
    """Options that Azure does not have are refused before anything is asked."""
    with pytest.raises(PictureRefused, match=r"no option subscription-key, but .*language"):
        ask(Task.EXTRAS, ["caption?subscription-key=mine"])
    assert not cloud.requests


@pytest.mark.parametrize("results", [{}, {"caption": None}])
def test_an_answer_without_the_extra_is_none(
    cloud: SimpleNamespace, ask: Callable[..., list[Detection]], results: dict[str, None]
) -> None:
    """An answer that lacks the extra of the question is no answer."""
    cloud.reply = reply_with(**results)
    with pytest.raises(NoAnswer, match="caption"):
        ask(Task.EXTRAS, ["caption"])


def test_a_refused_extra_is_the_pictures_error(
    cloud: SimpleNamespace, ask: Callable[..., list[Detection]]
) -> None:
    """Azure's refusal of an extra, such as a language or a region without captions, concerns the
    one question."""
    cloud.reply = error_reply(
        400, "InvalidRequest", "The language is not supported.", "NotSupportedLanguage"
    )
    with pytest.raises(PictureRefused, match="language"):
        ask(Task.EXTRAS, ["caption?language=xx"])


def test_the_sdk_writes_no_log(
    cloud: SimpleNamespace, ask: Callable[..., list[Detection]], caplog: pytest.LogCaptureFixture
) -> None:
    """The SDK's several lines about every call are not written."""
    cloud.reply = OBJECTS
    with caplog.at_level(logging.INFO):
        ask()
    assert not caplog.records


@pytest.mark.parametrize("endpoint", ["shop.cognitiveservices.azure.com", "ftp://shop"])
def test_an_endpoint_needs_a_scheme(endpoint: str) -> None:
    """An endpoint must begin with http or https: the SDK assumes neither."""
    with pytest.raises(ValidationError, match="endpoint"):
        Options(kind="azure", endpoint=endpoint, key="any")


def test_text_has_its_own_price(make: Callable[..., Provider], tmp_path: Path) -> None:
    """Text has a price of its own, unless the operator sets the price of pictures."""
    about = make("azure", tmp_path, endpoint="http://127.0.0.1", key="any").about
    assert [about.price_of(task).usd_per_image for task in (Task.OBJECTS, Task.TEXT)] == [
        0.001,
        0.0015,
    ]
    assert about.price_of(Task.PEOPLE).usd_per_month(2_000_000) == pytest.approx(1_650)
    about = make("azure", tmp_path, endpoint="http://127.0.0.1", key="any", usd_per_image=0.5).about
    assert about.price_of(Task.TEXT).usd_per_image == 0.5


def test_each_extra_is_billed_at_its_price(make: Callable[..., Provider], tmp_path: Path) -> None:
    """Words about pictures cost more than crops of them, and each extra is billed."""
    about = make("azure", tmp_path, endpoint="http://127.0.0.1", key="any").about
    each = [
        about.price_of(Task.EXTRAS, [name]).usd_per_image
        for name in ("caption", "denseCaptions", "smartCrops")
    ]
    assert each == [0.0015, 0.0015, 0.001]
    together = about.price_of(Task.EXTRAS, ["caption?language=en", "smartCrops"])
    assert together.usd_per_image == pytest.approx(0.0025)
    assert together.usd_per_month(2_000_000) == pytest.approx(2_100 + 1_650)


def test_pixels_become_fractions_of_the_answers_size(
    cloud: SimpleNamespace, ask: Callable[..., list[Detection]]
) -> None:
    """Pixels become fractions of the size that the answer names, not of the picture's."""
    cloud.reply = OBJECTS
    (laptop,) = ask()
    assert (laptop.label, laptop.score) == ("Laptop", 0.88)
    assert laptop.box == pytest.approx(Box(0.1, 0, 0.25, 0.25))


def test_everybody_is_reported_however_unsure(
    cloud: SimpleNamespace, ask: Callable[..., list[Detection]]
) -> None:
    """Every person is reported, however unsure: thresholds are up to the rules and the clients."""
    cloud.reply = PEOPLE
    assert [(each.label, each.score) for each in ask(Task.PEOPLE)] == [
        ("Person", 0.96),
        ("Person", 0.0017),
    ]


def test_tags_are_labels_of_the_whole_picture(
    cloud: SimpleNamespace,
    ask: Callable[..., list[Detection]],
    vendor_answers: VendorAnswers,
) -> None:
    """Tags become labels of the whole picture."""
    cloud.reply = reply_with(tags=vendor_answers["azure"]["tags"])
    detections = ask(Task.LABELS)
    assert [(each.label, each.kind, each.score) for each in detections] == [
        ("rectangle", "LABEL", 0.96875),
        ("red", "LABEL", 0.75),
    ]
    assert {each.box for each in detections} == {WHOLE}


def test_words_name_their_line_by_key(
    cloud: SimpleNamespace, ask: Callable[..., list[Detection]]
) -> None:
    """A word names its line by key, and a line's score is the mean of its words'; a line without
    words is left out."""
    cloud.reply = TEXT
    detections = ask(Task.TEXT)
    assert [(each.kind, each.label, each.score) for each in detections] == [
        ("LINE", "OPEN LATE", 0.75),
        ("LINE", "LATE", 1.0),
        ("WORD", "OPEN", 0.5),
        ("WORD", "LATE", 1.0),
        ("WORD", "LATE", 1.0),
    ]
    assert [(each.key, each.parent) for each in detections] == [
        (0, None),
        (1, None),
        (None, 0),
        (None, 0),
        (None, 1),
    ]
    assert detections[0].polygon == ((0.0, 0.0), (0.5, 0.0), (0.5, 0.1), (0.0, 0.1))


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (
            error_reply(400, "InvalidRequest", "Image format is not valid.", "InvalidImageFormat"),
            PictureRefused,
        ),
        (
            error_reply(
                400, "InvalidRequest", "The image dimension is too small.", "InvalidImageSize"
            ),
            PictureRefused,
        ),
        (
            error_reply(400, "InvalidRequest", "The image size is not allowed to be zero."),
            PictureRefused,
        ),
        (error_reply(413), PictureRefused),
        (
            error_reply(400, "InvalidRequest", "not for this image", "NotSupportedVisualFeature"),
            Misconfigured,
        ),
        (
            error_reply(400, "InvalidRequest", "The feature is not supported in this region."),
            Misconfigured,
        ),
        (error_reply(400, "BadArgument", "image"), Misconfigured),
        ((400, {}, {}), Misconfigured),
        (error_reply(401), Misconfigured),
        (error_reply(403), Misconfigured),
        (error_reply(404), Misconfigured),
        (error_reply(408), Unavailable),
        (error_reply(429), Throttled),
        (error_reply(500), Unavailable),
        ((502, {}, b"<html>bad gateway</html>"), Unavailable),
        ((503, {"Content-Type": "text/html"}, b""), Unavailable),
        (error_reply(504), NoAnswer),
        ((200, {}, b""), NoAnswer),
        ((200, {}, b"{not json"), NoAnswer),
        ((200, {}, {}), NoAnswer),
        ((200, {"Content-Type": "text/html"}, b"<html>"), NoAnswer),
        ((202, {}, {}), NoAnswer),
        (reply_with(), NoAnswer),
        (
            reply_with(objects={"values": [{"tags": [{"name": "Laptop", "confidence": 0.5}]}]}),
            NoAnswer,
        ),
        ((200, {"Content-Length": 1000}, {}), NoAnswer),
        (None, NoAnswer),
    ],
)
def test_every_error_becomes_a_common_one(
    cloud: SimpleNamespace, ask: Callable[..., list[Detection]], reply: Reply, error: type
) -> None:
    """Every error becomes the common one that says what to do about it, after one call."""
    cloud.reply = reply
    with pytest.raises(error):
        ask()
    assert len(cloud.requests) == 1


@pytest.mark.parametrize(
    ("retry_after", "wait_s"), [("7", 7), ("Thu, 26 Nov 2026 12:00:00 GMT", None)]
)
def test_a_pause_in_seconds_is_passed_on(
    cloud: SimpleNamespace,
    ask: Callable[..., list[Detection]],
    retry_after: str,
    wait_s: int | None,
) -> None:
    """A pause in seconds is passed on, and the SDK does not wait for it."""
    cloud.reply = 429, {"Retry-After": retry_after}, {}
    with pytest.raises(Throttled) as raised:
        ask()
    assert raised.value.retry_after_s == wait_s
    assert len(cloud.requests) == 1


def test_silence_may_have_been_billed(
    cloud: SimpleNamespace, ask: Callable[..., list[Detection]]
) -> None:
    """A call that was sent and not answered in time is told apart from one that failed."""
    cloud.wait.clear()
    with pytest.raises(NoAnswer):
        ask(timeout_ms=60)


def test_an_address_without_connection_is_unavailable(
    make: Callable[..., Provider], tmp_path: Path
) -> None:
    """An address that takes no connection is unavailable, and not ready."""
    provider = make("azure", tmp_path, endpoint="http://127.0.0.1:9", key="any")
    with pytest.raises(Unavailable):
        asyncio.run(provider.ready())
    with pytest.raises(Unavailable):
        asyncio.run(ask_once(provider, PICTURE, Task.OBJECTS))
