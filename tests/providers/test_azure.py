"""The provider `azure`: what it asks, what it makes of the answers, and of everything that is
none."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from pydantic import ValidationError

from gateway.testing.pictures import drawn, encoded
from providers.azure.provider import Options
from providers.base import Picture
from providers.detection import WHOLE, Box, Task
from providers.errors import Misconfigured, NoAnswer, PictureRefused, Throttled, Unavailable

PICTURE = Picture(200, 100, data=encoded(drawn((200, 100)), "JPEG"))
BOX = {"x": 40, "y": 0, "w": 60, "h": 50}


def answered(**results):
    body = {"modelVersion": "2023-10-01", "metadata": {"width": 400, "height": 200}}
    return 200, {}, {**body, **{f"{feature}Result": result for feature, result in results.items()}}


def polygon(x0, y0, x1, y1):
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


def refused(status, code="", text="no", inner=None):
    error = {"code": code or str(status), "message": text}
    return (
        status,
        {},
        {"error": {**error, **({"innererror": {"code": inner, "message": text}} if inner else {})}},
    )


async def once(provider, task, wanted=()):
    try:
        return await provider.detect(PICTURE, task, wanted)
    finally:
        await provider.close()


@pytest.fixture
def ask(cloud: SimpleNamespace, make: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    """`ask(task, wanted, **options)`: the answer to one picture."""

    def asking(task=Task.OBJECTS, wanted=(), **options):
        return asyncio.run(
            once(make("azure", tmp_path, endpoint=cloud.url, key="secret", **options), task, wanted)
        )

    return asking


@pytest.mark.parametrize(
    ("task", "feature", "reply"),
    [
        (Task.OBJECTS, "objects", OBJECTS),
        (Task.PEOPLE, "people", PEOPLE),
        (Task.TEXT, "read", TEXT),
        (Task.LABELS, "tags", answered(tags={"values": []})),
    ],
)
def test_it_asks_for_one_feature(
    cloud: SimpleNamespace,
    ask: Callable[..., Any],
    task: Task,
    feature: str,
    reply: tuple[
        dict[Any, Any] | dict[str, dict[str, int] | dict[str, list[Any]] | str] | int, ...
    ],
) -> None:
    """A task is one feature; the picture goes out as it is, with the key."""
    cloud.reply = reply
    ask(task)
    (asked,) = cloud.requests
    url = urlsplit(asked.path)
    assert url.path == "/computervision/imageanalysis:analyze"
    assert parse_qs(url.query)["features"] == [feature]
    assert asked.body == PICTURE.data
    assert asked.headers["Ocp-Apim-Subscription-Key"] == "secret"


def test_extras_are_one_call(
    cloud: SimpleNamespace,
    ask: Callable[..., Any],
    said: dict[
        str,
        dict[
            str,
            dict[str, dict[Any, Any] | list[Any]]
            | dict[str, dict[Any, Any]]
            | dict[str, list[Any]],
        ]
        | dict[str, dict[str, dict[Any, Any]] | dict[str, list[Any] | str] | dict[str, list[Any]]]
        | dict[str, dict[str, float | str] | dict[str, list[Any]]],
    ],
) -> None:
    """Several extras are one call, with the options of all of them; each is handed on as it came by
    the wire."""
    names = ["caption", "denseCaptions", "smartCrops"]
    cloud.reply = answered(**{name: said["azure"][name] for name in names})
    options = ["?language=en&gender-neutral-caption=true", "", "?smartcrops-aspect-ratios=0.9,1.33"]
    found = ask(Task.EXTRAS, [name + option for name, option in zip(names, options, strict=True)])
    (asked,) = cloud.requests
    query = parse_qs(urlsplit(asked.path).query)
    query.pop("api-version")
    assert query == {
        "features": ["caption,denseCaptions,smartCrops"],
        "language": ["en"],
        "gender-neutral-caption": ["true"],
        "smartcrops-aspect-ratios": ["0.9,1.33"],
    }
    assert [(each.label, each.score, each.box) for each in found] == [
        (name, 1.0, WHOLE) for name in names
    ]
    assert [each.details for each in found] == [{"raw": said["azure"][name]} for name in names]


def test_options_stay_options(cloud: SimpleNamespace, ask: Callable[..., Any]) -> None:
    """What a client writes for an option cannot become another parameter of the call."""
    cloud.reply = answered(caption={"text": "a dog", "confidence": 0.5})
    ask(Task.EXTRAS, ["caption?language=en%26features%3Dread"])
    query = parse_qs(urlsplit(cloud.requests[0].path).query)
    assert (query["language"], query["features"]) == (["en&features=read"], ["caption"])


def test_unknown_options(cloud: SimpleNamespace, ask: Callable[..., Any]) -> None:
    """Options that Azure does not have are refused before anything is asked."""
    with pytest.raises(PictureRefused, match=r"no option subscription-key, but .*language"):
        ask(Task.EXTRAS, ["caption?subscription-key=mine"])
    assert not cloud.requests


@pytest.mark.parametrize("said", [{}, {"caption": None}])
def test_missing_extras(
    cloud: SimpleNamespace, ask: Callable[..., Any], said: dict[Any, Any] | dict[str, None]
) -> None:
    """An answer that says nothing of what was wanted is none."""
    cloud.reply = answered(**said)
    with pytest.raises(NoAnswer, match="caption"):
        ask(Task.EXTRAS, ["caption"])


def test_refused_extras(cloud: SimpleNamespace, ask: Callable[..., Any]) -> None:
    """What Azure does not take about an extra is of the one question: a language, or a region that
    has no captions."""
    cloud.reply = refused(
        400, "InvalidRequest", "The language is not supported.", "NotSupportedLanguage"
    )
    with pytest.raises(PictureRefused, match="language"):
        ask(Task.EXTRAS, ["caption?language=xx"])


def test_it_tells_the_log_nothing(
    cloud: SimpleNamespace, ask: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    """The SDK's several lines about every call are not written."""
    cloud.reply = OBJECTS
    with caplog.at_level(logging.INFO):
        ask()
    assert not caplog.records


@pytest.mark.parametrize("endpoint", ["shop.cognitiveservices.azure.com", "ftp://shop"])
def test_endpoints_have_a_scheme(endpoint: str) -> None:
    """An endpoint is http or https, and says so: the SDK assumes nothing."""
    with pytest.raises(ValidationError, match="endpoint"):
        Options(kind="azure", endpoint=endpoint, key="any")


def test_prices(make: Callable[..., Any], tmp_path: Path) -> None:
    """Text has a price of its own, unless the operator says what pictures cost."""
    about = make("azure", tmp_path, endpoint="http://127.0.0.1", key="any").about
    assert [about.price_of(task).usd_per_image for task in (Task.OBJECTS, Task.TEXT)] == [
        0.001,
        0.0015,
    ]
    assert about.price_of(Task.PEOPLE).usd_per_month(2_000_000) == pytest.approx(1_650)
    about = make("azure", tmp_path, endpoint="http://127.0.0.1", key="any", usd_per_image=0.5).about
    assert about.price_of(Task.TEXT).usd_per_image == 0.5


def test_prices_of_extras(make: Callable[..., Any], tmp_path: Path) -> None:
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


def test_objects(cloud: SimpleNamespace, ask: Callable[..., Any]) -> None:
    """Pixels become fractions by the size that the answer names, not by the picture's."""
    cloud.reply = OBJECTS
    (laptop,) = ask()
    assert (laptop.label, laptop.score) == ("Laptop", 0.88)
    assert laptop.box == pytest.approx(Box(0.1, 0, 0.25, 0.25))


def test_people(cloud: SimpleNamespace, ask: Callable[..., Any]) -> None:
    """Everybody is told of, however unsure: thresholds are the rules' and the clients' own."""
    cloud.reply = PEOPLE
    assert [(each.label, each.score) for each in ask(Task.PEOPLE)] == [
        ("Person", 0.96),
        ("Person", 0.0017),
    ]


def test_labels(
    cloud: SimpleNamespace,
    ask: Callable[..., Any],
    said: dict[
        str,
        dict[
            str,
            dict[str, dict[Any, Any] | list[Any]]
            | dict[str, dict[Any, Any]]
            | dict[str, list[Any]],
        ]
        | dict[str, dict[str, dict[Any, Any]] | dict[str, list[Any] | str] | dict[str, list[Any]]]
        | dict[str, dict[str, float | str] | dict[str, list[Any]]],
    ],
) -> None:
    """Tags are of the whole picture."""
    cloud.reply = answered(tags=said["azure"]["tags"])
    found = ask(Task.LABELS)
    assert [(each.label, each.kind, each.score) for each in found] == [
        ("rectangle", "LABEL", 0.96875),
        ("red", "LABEL", 0.75),
    ]
    assert {each.box for each in found} == {WHOLE}


def test_text(cloud: SimpleNamespace, ask: Callable[..., Any]) -> None:
    """A word names its line by key, and a line's score is the mean of its words'; one without words
    is none."""
    cloud.reply = TEXT
    found = ask(Task.TEXT)
    assert [(each.kind, each.label, each.score) for each in found] == [
        ("LINE", "OPEN LATE", 0.75),
        ("LINE", "LATE", 1.0),
        ("WORD", "OPEN", 0.5),
        ("WORD", "LATE", 1.0),
        ("WORD", "LATE", 1.0),
    ]
    assert [(each.key, each.parent) for each in found] == [
        (0, None),
        (1, None),
        (None, 0),
        (None, 0),
        (None, 1),
    ]
    assert found[0].polygon == ((0.0, 0.0), (0.5, 0.0), (0.5, 0.1), (0.0, 0.1))


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
def test_what_is_no_answer(
    cloud: SimpleNamespace, ask: Callable[..., Any], reply: Any, error: type
) -> None:
    """Every error becomes the one in the common tree that says what to do about it, after one
    call."""
    cloud.reply = reply
    with pytest.raises(error):
        ask()
    assert len(cloud.requests) == 1


@pytest.mark.parametrize(("said", "wait_s"), [("7", 7), ("Thu, 26 Nov 2026 12:00:00 GMT", None)])
def test_it_says_how_long_to_wait(
    cloud: SimpleNamespace, ask: Callable[..., Any], said: str, wait_s: int | None
) -> None:
    """A pause in seconds is passed on, and not waited for by the SDK."""
    cloud.reply = 429, {"Retry-After": said}, {}
    with pytest.raises(Throttled) as raised:
        ask()
    assert raised.value.retry_after_s == wait_s
    assert len(cloud.requests) == 1


def test_silence_may_have_been_billed(cloud: SimpleNamespace, ask: Callable[..., Any]) -> None:
    """A call that was sent and not answered in time is told apart from one that failed."""
    cloud.wait.clear()
    with pytest.raises(NoAnswer):
        ask(timeout_ms=60)


def test_nobody_there(make: Callable[..., Any], tmp_path: Path) -> None:
    """An address that takes no connection is unavailable, and not ready."""
    provider = make("azure", tmp_path, endpoint="http://127.0.0.1:9", key="any")
    with pytest.raises(Unavailable):
        asyncio.run(provider.ready())
    with pytest.raises(Unavailable):
        asyncio.run(once(provider, Task.OBJECTS))
