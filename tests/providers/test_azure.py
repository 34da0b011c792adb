"""The provider `azure`: its requests, its detections, and its errors."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from pydantic import ValidationError

from gateway.testing.pictures import drawn, encoded
from providers.azure.provider import Options
from providers.base import Picture, Provider
from providers.detection import WHOLE, Box, Detection, Task
from providers.errors import (
    Misconfigured,
    NoAnswer,
    PictureRefused,
    ProviderError,
    Throttled,
    Unavailable,
)
from tests.support.clouds import Cloud, Reply, VendorAnswers
from tests.support.providers import detect_once

Ask = Callable[..., Sequence[Detection]]

PICTURE = Picture(200, 100, data=encoded(drawn((200, 100)), "JPEG"))
BOX = {"x": 40, "y": 0, "w": 60, "h": 50}


def answered(**results: Any) -> Reply:
    body = {"modelVersion": "2023-10-01", "metadata": {"width": 400, "height": 200}}
    return 200, {}, {**body, **{f"{feature}Result": result for feature, result in results.items()}}


def polygon(x0: float, y0: float, x1: float, y1: float) -> list[dict[str, float]]:
    return [{"x": x, "y": y} for x, y in ((x0, y0), (x1, y0), (x1, y1), (x0, y1))]


OBJECTS = answered(
    objects={"values": [{"boundingBox": BOX, "tags": [{"name": "Laptop", "confidence": 0.88}]}]}
)
PEOPLE = answered(
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
TEXT = answered(read={"blocks": [{"lines": LINES}]})


def refused(status: int, code: str = "", text: str = "no", inner: str | None = None) -> Reply:
    error = {"code": code or str(status), "message": text}
    return (
        status,
        {},
        {"error": {**error, **({"innererror": {"code": inner, "message": text}} if inner else {})}},
    )


@pytest.fixture
def ask(cloud: Cloud, make: Callable[..., Provider], tmp_path: Path) -> Ask:
    """`ask(task, extras, **options)`: the detections in one picture."""

    def ask(
        task: Task = Task.OBJECTS, wanted: Sequence[str] = (), **options: Any
    ) -> Sequence[Detection]:
        provider = make("azure", tmp_path, endpoint=cloud.url, key="secret", **options)
        return asyncio.run(detect_once(provider, PICTURE, task, wanted))

    return ask


@pytest.mark.parametrize(
    ("task", "feature", "reply"),
    [
        (Task.OBJECTS, "objects", OBJECTS),
        (Task.PEOPLE, "people", PEOPLE),
        (Task.TEXT, "read", TEXT),
        (Task.LABELS, "tags", answered(tags={"values": []})),
    ],
)
def test_a_task_is_one_feature(
    cloud: Cloud,
    ask: Ask,
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


def test_extras_are_one_call(
    cloud: Cloud,
    ask: Ask,
    vendor_answers: VendorAnswers,
) -> None:
    """Several extras are one call, with the options of all of them; each is returned as Azure sent
    it."""
    names = ["caption", "denseCaptions", "smartCrops"]
    cloud.reply = answered(**{name: vendor_answers["azure"][name] for name in names})
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


def test_an_option_cannot_become_another_parameter(cloud: Cloud, ask: Ask) -> None:
    """The value of a client's option cannot become another parameter of the call."""
    cloud.reply = answered(caption={"text": "a dog", "confidence": 0.5})
    ask(Task.EXTRAS, ["caption?language=en%26features%3Dread"])
    query = parse_qs(urlsplit(cloud.requests[0].path).query)
    assert (query["language"], query["features"]) == (["en&features=read"], ["caption"])


def test_unknown_options_are_refused_before_the_call(cloud: Cloud, ask: Ask) -> None:
    """Options that Azure does not have are refused before any call."""
    with pytest.raises(PictureRefused, match=r"no option subscription-key, but .*language"):
        ask(Task.EXTRAS, ["caption?subscription-key=mine"])
    assert not cloud.requests


@pytest.mark.parametrize("results", [{}, {"caption": None}])
def test_an_answer_without_the_requested_extra_is_none(
    cloud: Cloud,
    ask: Ask,
    results: dict[str, None],
) -> None:
    """An answer without the requested extra is no answer."""
    cloud.reply = answered(**results)
    with pytest.raises(NoAnswer, match="caption"):
        ask(Task.EXTRAS, ["caption"])


def test_a_refused_extra_is_an_error_of_the_question(cloud: Cloud, ask: Ask) -> None:
    """Azure's refusal of an extra is an error of that one question: a language, or a region that
    has no captions."""
    cloud.reply = refused(
        400, "InvalidRequest", "The language is not supported.", "NotSupportedLanguage"
    )
    with pytest.raises(PictureRefused, match="language"):
        ask(Task.EXTRAS, ["caption?language=xx"])


def test_the_sdk_logs_nothing(cloud: Cloud, ask: Ask, caplog: pytest.LogCaptureFixture) -> None:
    """The SDK's several log lines about every call are not written."""
    cloud.reply = OBJECTS
    with caplog.at_level(logging.INFO):
        ask()
    assert not caplog.records


@pytest.mark.parametrize("endpoint", ["shop.cognitiveservices.azure.com", "ftp://shop"])
def test_an_endpoint_needs_a_scheme(endpoint: str) -> None:
    """An endpoint without the scheme http or https is refused, because the SDK assumes none."""
    with pytest.raises(ValidationError, match="endpoint"):
        Options(kind="azure", endpoint=endpoint, key="any")


def test_text_has_a_price_of_its_own(make: Callable[..., Provider], tmp_path: Path) -> None:
    """Text has a price of its own, unless the operator names the price of a picture."""
    about = make("azure", tmp_path, endpoint="http://127.0.0.1", key="any").about
    assert [about.price_of(task).usd_per_image for task in (Task.OBJECTS, Task.TEXT)] == [
        0.001,
        0.0015,
    ]
    assert about.price_of(Task.PEOPLE).usd_per_month(2_000_000) == pytest.approx(1_650)
    about = make("azure", tmp_path, endpoint="http://127.0.0.1", key="any", usd_per_image=0.5).about
    assert about.price_of(Task.TEXT).usd_per_image == 0.5


def test_each_extra_is_billed(make: Callable[..., Provider], tmp_path: Path) -> None:
    """Captions cost more than crops, and each extra is billed."""
    about = make("azure", tmp_path, endpoint="http://127.0.0.1", key="any").about
    each = [
        about.price_of(Task.EXTRAS, [name]).usd_per_image
        for name in ("caption", "denseCaptions", "smartCrops")
    ]
    assert each == [0.0015, 0.0015, 0.001]
    together = about.price_of(Task.EXTRAS, ["caption?language=en", "smartCrops"])
    assert together.usd_per_image == pytest.approx(0.0025)
    assert together.usd_per_month(2_000_000) == pytest.approx(2_100 + 1_650)


def test_boxes_are_fractions_of_the_answers_size(cloud: Cloud, ask: Ask) -> None:
    """Pixels become fractions of the size that the answer names, not of the picture's size."""
    cloud.reply = OBJECTS
    (laptop,) = ask()
    assert (laptop.label, laptop.score) == ("Laptop", 0.88)
    assert laptop.box == pytest.approx(Box(0.1, 0, 0.25, 0.25))


def test_all_people_are_reported_however_unsure(cloud: Cloud, ask: Ask) -> None:
    """Every person is reported, however unsure: thresholds belong to the rules and the clients."""
    cloud.reply = PEOPLE
    assert [(each.label, each.score) for each in ask(Task.PEOPLE)] == [
        ("Person", 0.96),
        ("Person", 0.0017),
    ]


def test_tags_are_of_the_whole_picture(
    cloud: Cloud,
    ask: Ask,
    vendor_answers: VendorAnswers,
) -> None:
    """Tags are detections of the whole picture."""
    cloud.reply = answered(tags=vendor_answers["azure"]["tags"])
    detections = ask(Task.LABELS)
    assert [(each.label, each.kind, each.score) for each in detections] == [
        ("rectangle", "LABEL", 0.96875),
        ("red", "LABEL", 0.75),
    ]
    assert {each.box for each in detections} == {WHOLE}


def test_words_name_their_line_by_key(cloud: Cloud, ask: Ask) -> None:
    """A word names its line by key; a line's score is the mean of its words' scores; a line without
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
            refused(400, "InvalidRequest", "Image format is not valid.", "InvalidImageFormat"),
            PictureRefused,
        ),
        (
            refused(400, "InvalidRequest", "The image dimension is too small.", "InvalidImageSize"),
            PictureRefused,
        ),
        (
            refused(400, "InvalidRequest", "The image size is not allowed to be zero."),
            PictureRefused,
        ),
        (refused(413), PictureRefused),
        (
            refused(400, "InvalidRequest", "not for this image", "NotSupportedVisualFeature"),
            Misconfigured,
        ),
        (
            refused(400, "InvalidRequest", "The feature is not supported in this region."),
            Misconfigured,
        ),
        (refused(400, "BadArgument", "image"), Misconfigured),
        ((400, {}, {}), Misconfigured),
        (refused(401), Misconfigured),
        (refused(403), Misconfigured),
        (refused(404), Misconfigured),
        (refused(408), Unavailable),
        (refused(429), Throttled),
        (refused(500), Unavailable),
        ((502, {}, b"<html>bad gateway</html>"), Unavailable),
        ((503, {"Content-Type": "text/html"}, b""), Unavailable),
        (refused(504), NoAnswer),
        ((200, {}, b""), NoAnswer),
        ((200, {}, b"{not json"), NoAnswer),
        ((200, {}, {}), NoAnswer),
        ((200, {"Content-Type": "text/html"}, b"<html>"), NoAnswer),
        ((202, {}, {}), NoAnswer),
        (answered(), NoAnswer),
        (
            answered(objects={"values": [{"tags": [{"name": "Laptop", "confidence": 0.5}]}]}),
            NoAnswer,
        ),
        ((200, {"Content-Length": 1000}, {}), NoAnswer),
        (None, NoAnswer),
    ],
)
def test_errors_become_the_common_tree_after_one_call(
    cloud: Cloud, ask: Ask, reply: Reply, error: type[ProviderError]
) -> None:
    """Every error becomes the one of the common tree that names the remedy, after one call."""
    cloud.reply = reply
    with pytest.raises(error):
        ask()
    assert len(cloud.requests) == 1


@pytest.mark.parametrize(
    ("retry_after", "wait_s"), [("7", 7), ("Thu, 26 Nov 2026 12:00:00 GMT", None)]
)
def test_a_pause_is_passed_on_and_not_waited_for(
    cloud: Cloud, ask: Ask, retry_after: str, wait_s: int | None
) -> None:
    """A pause in seconds is passed on, and the SDK does not wait for it."""
    cloud.reply = 429, {"Retry-After": retry_after}, {}
    with pytest.raises(Throttled) as raised:
        ask()
    assert raised.value.retry_after_s == wait_s
    assert len(cloud.requests) == 1


def test_a_call_without_an_answer_in_time_may_have_been_billed(cloud: Cloud, ask: Ask) -> None:
    """A call that was sent and not answered in time differs from one that failed."""
    cloud.wait.clear()
    with pytest.raises(NoAnswer):
        ask(timeout_ms=60)


def test_a_refused_connection_is_unavailable_and_not_ready(
    make: Callable[..., Provider], tmp_path: Path
) -> None:
    """A provider whose address takes no connection is unavailable, and not ready."""
    provider = make("azure", tmp_path, endpoint="http://127.0.0.1:9", key="any")
    with pytest.raises(Unavailable):
        asyncio.run(provider.ready())
    with pytest.raises(Unavailable):
        asyncio.run(detect_once(provider, PICTURE, Task.OBJECTS))
