"""Azure AI Vision Image Analysis 4.0, or anything that answers like it, through azure-ai-vision-imageanalysis.

https://learn.microsoft.com/azure/ai-services/computer-vision/concept-object-detection-40
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from statistics import fmean
from typing import Any

from pydantic import Field, SecretStr

from providers import base
from providers._local import need
from providers._remote import Remote, bounds, fractions, pause_s
from providers.base import (
    About,
    Box,
    Detection,
    Limits,
    Misconfigured,
    NoAnswer,
    Picture,
    PictureRefused,
    Price,
    Provider,
    ProviderError,
    Task,
    Throttled,
    Tier,
    Unavailable,
)

FORMATS = frozenset({"JPEG", "PNG", "GIF", "BMP", "WEBP"})
"""TIFF is taken too, but nothing says whether it is turned as its orientation says."""
LIMITS = Limits(20_971_520, min_side_px=50, max_side_px=16_000, max_pixels=256_000_000, formats=FORMATS)

AS_OF = date(2026, 11, 20)
PRICE = Price(0.001, AS_OF, (Tier(1_000_000, 0.00065), Tier(10_000_000, 0.0006), Tier(100_000_000, 0.0004)))
PRICES = {Task.TEXT: Price(0.0015, AS_OF, (Tier(1_000_000, 0.0006),))}
"""Tier S1, as others quote it: nobody here has read Microsoft's own page."""

FEATURES = {Task.OBJECTS: "objects", Task.PEOPLE: "people", Task.TEXT: "read"}


class Options(base.Options):
    """Credentials are a key; both are found in the portal, at the resource's "Keys and Endpoint"."""

    endpoint: str = Field(
        pattern=r"^https?://", description="the resource's own, https://….cognitiveservices.azure.com"
    )
    key: SecretStr


def create(name: str, options: Options, folder: Path) -> Provider:  # noqa: ARG001  it has no files
    """Raises Misconfigured where azure-ai-vision-imageanalysis is not installed."""
    analysis = need("azure.ai.vision.imageanalysis", "azure")
    from azure.core.credentials import AzureKeyCredential
    from azure.core.pipeline.policies import SansIOHTTPPolicy
    from azure.core.pipeline.transport import RequestsTransport

    timeout_s = options.timeout_ms / 1000
    client = analysis.ImageAnalysisClient(
        options.endpoint,
        AzureKeyCredential(options.key.get_secret_value()),
        transport=RequestsTransport(
            session=_session(options.concurrency), connection_timeout=min(timeout_s, 5), read_timeout=timeout_s
        ),
        retry_total=0,
        http_logging_policy=SansIOHTTPPolicy(),  # its own writes several lines about every call
    )
    return Azure(name, options, client)


def _session(connections: int) -> Any:
    """One that keeps so many connections; ten else, however many are opened."""
    from requests import Session
    from requests.adapters import HTTPAdapter

    session = Session()
    for scheme in ("https://", "http://"):
        session.mount(scheme, HTTPAdapter(pool_maxsize=connections))
    return session


class Azure(Remote):
    """Holds the client, and what every remote provider holds."""

    def __init__(
        self, name: str, options: Options, client: Any, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        about = About(
            name,
            options.kind,
            frozenset(FEATURES),
            limits=LIMITS,
            price=options.usd_per_image or PRICE,
            prices={} if options.usd_per_image else PRICES,
            canvas_px=options.canvas,
            concurrency=options.concurrency,
            vocabulary="azure",
        )
        super().__init__(about, options.endpoint, clock=clock)
        self._client = client

    def call(self, picture: Picture, task: Task, wanted: Sequence[str] = ()) -> Sequence[Detection]:  # noqa: ARG002
        """One feature of Analyze."""
        from azure.core.exceptions import AzureError, HttpResponseError, ServiceResponseError

        try:
            answer = self._client.analyze(picture.data, [FEATURES[task]])
            return READERS[task](answer, (answer.metadata.width, answer.metadata.height))
        except HttpResponseError as error:  # also of an answer that came and cannot be read
            raise _translated(error) from error
        except ServiceResponseError as error:
            raise NoAnswer(str(error)) from error  # it was sent, or part of it: nobody here knows whether it is billed
        except AzureError as error:
            raise Unavailable(str(error)) from error
        except (AttributeError, LookupError, TypeError, ValueError, ZeroDivisionError) as error:
            raise NoAnswer(f"an answer that is not Azure's, and may be billed: {error!r}") from error

    def hang_up(self) -> None:
        self._client.close()


def _translated(error: Any) -> ProviderError:
    """By HTTP status, and whom a 400 is about by its code."""
    message, status = str(error.message), error.status_code or 200
    if status == 413 or (status == 400 and _of_the_picture(error.error)):
        return PictureRefused(message)
    if status == 429:
        return Throttled(message, pause_s(error.response.headers))
    if status < 400 or status == 504:
        return NoAnswer(message)
    return Unavailable(message) if status >= 500 or status == 408 else Misconfigured(message)


def _of_the_picture(error: Any) -> bool:
    """Whether the picture is at fault; where there is no inner code only the text tells."""
    if error is None or error.code != "InvalidRequest":
        return False
    inner = (error.innererror or {}).get("code")
    return inner.startswith("InvalidImage") if inner else "image" in error.message.lower()


def _objects(answer: Any, size: tuple[int, int]) -> list[Detection]:
    return [
        Detection(tag.name, tag.confidence, _box(row.bounding_box, size))
        for row in answer.objects.list
        for tag in row.tags[:1]
    ]


def _people(answer: Any, size: tuple[int, int]) -> list[Detection]:
    """However unsure: Azure has no threshold of its own here."""
    return [Detection("Person", row.confidence, _box(row.bounding_box, size)) for row in answer.people.list]


def _text(answer: Any, size: tuple[int, int]) -> list[Detection]:
    """Lines first, then their words. Azure scores words only."""
    rows = [line for block in answer.read.blocks for line in block.lines if line.words]
    lines = [_line(row, size, number) for number, row in enumerate(rows)]
    return lines + [_word(word, size, number) for number, row in enumerate(rows) for word in row.words]


def _line(row: Any, size: tuple[int, int], number: int) -> Detection:
    corners = fractions(row.bounding_polygon, size)
    score = fmean(word.confidence for word in row.words)
    return Detection(row.text, score, bounds(corners), kind="LINE", polygon=corners, key=number)


def _word(word: Any, size: tuple[int, int], line: int) -> Detection:
    corners = fractions(word.bounding_polygon, size)
    return Detection(word.text, word.confidence, bounds(corners), kind="WORD", polygon=corners, parent=line)


def _box(box: Any, size: tuple[int, int]) -> Box:
    """Pixels of the picture that Azure saw, as fractions of it."""
    width, height = size
    return Box(box.x / width, box.y / height, (box.x + box.width) / width, (box.y + box.height) / height)


READERS: dict[Task, Callable[[Any, tuple[int, int]], list[Detection]]] = {
    Task.OBJECTS: _objects,
    Task.PEOPLE: _people,
    Task.TEXT: _text,
}
