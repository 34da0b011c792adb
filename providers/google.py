"""Google Cloud Vision, or anything that answers like it, through google-cloud-vision.

https://cloud.google.com/vision/docs/reference/rest/v1/images/annotate
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from itertools import chain
from pathlib import Path
from statistics import fmean
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator

from providers import base
from providers._local import need
from providers._remote import Remote, bounds, fractions, pause_s
from providers.base import (
    About,
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

HOST = "vision.googleapis.com"
FORMATS = frozenset({"JPEG", "PNG", "GIF", "BMP", "WEBP"})
"""TIFF is taken too, but nothing says whether it is turned as its orientation says."""
MAX_BYTES = {"grpc": 20_000_000, "rest": 7_000_000}
"""An image may have 20 MB, a JSON request 10 MB: base64 makes a third more of the image."""

AS_OF = date(2026, 5, 28)
PRICE = Price(0.0015, AS_OF, (Tier(5_000_000, 0.0006),))
PRICES = {Task.OBJECTS: Price(0.00225, AS_OF, (Tier(5_000_000, 0.0015),))}
"""Each feature's first thousand images of a month are free. They are left out: ledger and quotes go by the first price,
and would find everything free."""

FEATURES = {Task.OBJECTS: "OBJECT_LOCALIZATION", Task.FACES: "FACE_DETECTION", Task.TEXT: "TEXT_DETECTION"}
MOST = 1000
"""Always sent: without it ten are answered."""

SPACES = {1, 2}
ENDS = {3, 4, 5}
"""Of a line: `DetectedBreak.BreakType` EOL_SURE_SPACE, HYPHEN and LINE_BREAK; spaces are SPACE and SURE_SPACE."""

OF_THE_PICTURE = re.compile(r"image|payload size", re.IGNORECASE)
CALLED = re.compile(r"^POST \S+: ")
"""What the SDK puts before a message that came by REST. It must go: the URL ends in `images:annotate`."""
CUT_OFF = re.compile(r"socket closed|reset by peer|stream removed|rst_stream|broken pipe|cancelling", re.IGNORECASE)
"""How gRPC says UNAVAILABLE of a call that was under way."""


class Options(base.Options):
    """Without a key, credentials are the application's default ones; none for a stand-in."""

    transport: Literal["grpc", "rest"] = Field("grpc", description="rest where only HTTP/1.1 passes, or plain http")
    endpoint: str | None = Field(None, description="another address than Google's own")
    api_key: SecretStr | None = None

    @model_validator(mode="after")
    def _speaks(self) -> Options:
        if self.transport == "grpc" and (self.endpoint or "").startswith("http://"):
            raise ValueError("gRPC needs TLS; an endpoint of http://… needs transport: rest")
        return self


def create(name: str, options: Options, folder: Path) -> Provider:  # noqa: ARG001  it has no files
    """Raises Misconfigured where google-cloud-vision is not installed or finds no credentials."""
    vision = need("google.cloud.vision", "google")
    from google.auth.credentials import AnonymousCredentials
    from google.auth.exceptions import GoogleAuthError

    key = options.api_key.get_secret_value() if options.api_key else None
    endpoint = (options.endpoint or HOST).rstrip("/")
    if options.transport == "grpc":
        endpoint = endpoint.removeprefix("https://")
    anonymous = AnonymousCredentials() if not key and not _of_google(endpoint) else None  # type: ignore[no-untyped-call]
    settings = {"api_endpoint": endpoint, **({"api_key": key} if key else {})}
    try:
        client = vision.ImageAnnotatorClient(
            credentials=anonymous, transport=options.transport, client_options=settings
        )
    except (GoogleAuthError, ValueError) as error:
        raise Misconfigured(f"{error} (or set api_key)") from None
    return Google(name, options, client)


def _of_google(endpoint: str) -> bool:
    """Whether it is one of Google's own, such as eu-vision.googleapis.com, where nobody may ask without credentials."""
    host = urlsplit(endpoint if "://" in endpoint else f"//{endpoint}").hostname or ""
    return f".{host}".endswith(".googleapis.com")


class Google(Remote):
    """Holds the client, and what every remote provider holds."""

    def __init__(
        self, name: str, options: Options, client: Any, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        about = About(
            name,
            options.kind,
            frozenset(FEATURES),
            limits=Limits(MAX_BYTES[options.transport], max_pixels=75_000_000, formats=FORMATS),
            price=options.usd_per_image or PRICE,
            prices={} if options.usd_per_image else PRICES,
            canvas_px=options.canvas,
            concurrency=options.concurrency,
            vocabulary="google",
        )
        super().__init__(about, options.endpoint or HOST, clock=clock)
        self._timeout_s = options.timeout_ms / 1000
        self._client = client

    def call(self, picture: Picture, task: Task, wanted: Sequence[str] = ()) -> Sequence[Detection]:  # noqa: ARG002
        """One image, one feature."""
        from google.api_core.exceptions import GoogleAPICallError
        from google.auth.exceptions import GoogleAuthError, TransportError
        from google.protobuf.json_format import ParseError
        from requests import RequestException

        asked = {"requests": [_request(picture, task)]}
        try:
            answer = self._client.batch_annotate_images(asked, retry=None, timeout=self._timeout_s)
            (response,) = type(answer).pb(answer).responses  # the bare messages: their wrappers are slow, word by word
            if response.error.code:
                raise _refused(response.error.code, response.error.message)
            return READERS[task](response, (picture.width_px, picture.height_px))
        except GoogleAPICallError as error:
            raise _translated(error) from error
        except GoogleAuthError as error:  # no token was to be had, or a 401 was answered; its text is lost by then
            passing = error.retryable or isinstance(error, TransportError)
            raise (Unavailable if passing else Misconfigured)(f"no valid credentials: {error}") from error
        except RequestException as error:
            raise _lost(error) from error
        except (ParseError, AttributeError, TypeError, ValueError) as error:
            raise NoAnswer(f"an answer that is not Google's, and may be billed: {error!r}") from error

    def hang_up(self) -> None:
        self._client.transport.close()


def _request(picture: Picture, task: Task) -> dict[str, Any]:
    """Scores of words are told only where they are asked for."""
    return {
        "image": {"content": picture.data},
        "features": [{"type_": FEATURES[task], "max_results": MOST}],
        "image_context": {"text_detection_params": {"enable_text_detection_confidence_score": task == Task.TEXT}},
    }


def _translated(error: Any) -> ProviderError:
    """By HTTP status, which errors of gRPC have too. https://cloud.google.com/apis/design/errors"""
    message, status = CALLED.sub("", error.message), error.code or 500
    if status == 413 or (status == 400 and not error.reason and OF_THE_PICTURE.search(message)):
        return PictureRefused(message)
    if status == 429:
        return Throttled(message, pause_s(getattr(error.response, "headers", {})))
    if status in (499, 504) or (status == 503 and CUT_OFF.search(message)):
        return NoAnswer(message)
    return Unavailable(message) if status in (408, 409) or (status >= 500 and status != 501) else Misconfigured(message)


def _refused(code: int, message: str) -> ProviderError:
    """By the google.rpc.Code of one image, in an answer that was a good one otherwise."""
    kinds: dict[int, type[ProviderError]]
    kinds = {3: PictureRefused, 4: NoAnswer, 7: Misconfigured, 8: Throttled, 12: Misconfigured, 16: Misconfigured}
    return kinds.get(code, Unavailable)(message or f"google.rpc.Code {code}")


def _lost(error: Exception) -> ProviderError:
    """Whether a call by REST was cut off before or after it was sent."""
    from requests import ConnectionError
    from urllib3.exceptions import ProtocolError, ReadTimeoutError

    inner = error.args[0] if error.args else None
    sent = not isinstance(error, ConnectionError) or isinstance(inner, ProtocolError | ReadTimeoutError)
    return NoAnswer(str(error)) if sent else Unavailable(str(error))


def _objects(response: Any, size: tuple[int, int]) -> list[Detection]:  # noqa: ARG001  these come as fractions
    return [
        Detection(
            row.name,
            row.score,
            bounds(fractions(row.bounding_poly.normalized_vertices, (1, 1))),
            details={"mid": row.mid},
        )
        for row in response.localized_object_annotations
    ]


def _faces(response: Any, size: tuple[int, int]) -> list[Detection]:
    return [
        Detection("Face", row.detection_confidence, bounds(fractions(row.bounding_poly.vertices, size)))
        for row in response.face_annotations
    ]


def _text(response: Any, size: tuple[int, int]) -> list[Detection]:
    """Lines first, then their words."""
    lines, words = list[Detection](), list[Detection]()
    for page in response.full_text_annotation.pages:
        seen = page.width or size[0], page.height or size[1]
        for paragraph in chain.from_iterable(block.paragraphs for block in page.blocks):
            for row in _rows(paragraph.words):
                own = [_word(word, seen, len(lines)) for word in row]
                lines.append(_line(row, own))
                words += own
    return lines + words


def _rows(words: Sequence[Any]) -> Iterator[list[Any]]:
    """A paragraph's words, line by line; those that nothing was read of are left out."""
    row = []
    for word in filter(_read, words):
        row.append(word)
        if _break(word) in ENDS:
            yield row
            row = []
    if row:
        yield row


def _line(row: Sequence[Any], words: Sequence[Detection]) -> Detection:
    """Words that no break parts, such as a comma and what it follows, stand together."""
    text = "".join(_read(word) + " " * (_break(word) in SPACES) for word in row).strip()
    around = bounds(chain.from_iterable((word.box[:2], word.box[2:]) for word in words))
    return Detection(text, fmean(word.score for word in words), around, kind="LINE", key=words[0].parent)


def _word(word: Any, size: tuple[int, int], line: int) -> Detection:
    """One that says nothing of its confidence was read for sure: some models of Google's never say."""
    corners = fractions(word.bounding_box.vertices, size)
    return Detection(_read(word), word.confidence or 1.0, bounds(corners), kind="WORD", polygon=corners, parent=line)


def _read(word: Any) -> str:
    return "".join(symbol.text for symbol in word.symbols)


def _break(word: Any) -> int:
    """The `BreakType` after the word, 0 for none."""
    return int(word.symbols[-1].property.detected_break.type_)


READERS: dict[Task, Callable[[Any, tuple[int, int]], list[Detection]]] = {
    Task.OBJECTS: _objects,
    Task.FACES: _faces,
    Task.TEXT: _text,
}
