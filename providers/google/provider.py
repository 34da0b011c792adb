"""Google Cloud Vision, or anything that answers like it, through google-cloud-vision.

https://cloud.google.com/vision/docs/reference/rest/v1/images/annotate
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlencode, urlsplit

from pydantic import Field, SecretStr, model_validator

from providers.base import About, ForwardCall, ForwardReply, Limits, Picture, Provider
from providers.detection import Detection, Task
from providers.engine.worker import need
from providers.errors import (
    Misconfigured,
    NoAnswer,
    PictureRefused,
    ProviderError,
    Throttled,
    Unavailable,
)
from providers.google import extras
from providers.google import responses as answers
from providers.options import Options as ProviderOptions
from providers.prices import Price, Tier
from providers.remote.sdk import CloudProvider, forwarded, pause_s, pooled, read

HOST = "vision.googleapis.com"
SCOPES = (
    "https://www.googleapis.com/auth/cloud-platform",
    "https://www.googleapis.com/auth/cloud-vision",
)
FORMATS = frozenset({"JPEG", "PNG", "GIF", "BMP", "WEBP"})
"""TIFF is taken too, but nothing says whether it is turned as its orientation says."""
MAX_BYTES = {"grpc": 20_000_000, "rest": 7_000_000}
"""An image may have 20 MB, a JSON request 10 MB: base64 makes a third more of the image."""

AS_OF = date(2026, 5, 28)
PRICE = Price(0.0015, AS_OF, (Tier(5_000_000, 0.0006),))
OF_OBJECTS = Price(0.00225, AS_OF, (Tier(5_000_000, 0.0015),))
PRICES = {
    Task.OBJECTS: OF_OBJECTS,
    Task.PEOPLE: OF_OBJECTS,
    Task.LABELS: Price(0.0015, AS_OF, (Tier(5_000_000, 0.001),)),
}
EXTRAS = {
    "LANDMARK_DETECTION": PRICE,
    "IMAGE_PROPERTIES": PRICE,
    "CROP_HINTS": PRICE,
    "WEB_DETECTION": Price(0.0035, AS_OF),
    "PRODUCT_SEARCH": Price(0.0045, AS_OF),
}
"""Each feature's first thousand images of a month are free. They are left out: ledger and quotes go
by the first price, and would find everything free. Left out as well is what one feature makes free
of another (crop hints beside image properties). What product search costs is a guess: nobody here
has read it."""

FEATURES = {
    Task.OBJECTS: "OBJECT_LOCALIZATION",
    Task.PEOPLE: "OBJECT_LOCALIZATION",
    Task.FACES: "FACE_DETECTION",
    Task.TEXT: "TEXT_DETECTION",
    Task.LOGOS: "LOGO_DETECTION",
    Task.LABELS: "LABEL_DETECTION",
    Task.MODERATION: "SAFE_SEARCH_DETECTION",
}
READERS: dict[Task, Callable[[Any, answers.Size], list[Detection]]] = {
    Task.OBJECTS: answers.objects,
    Task.PEOPLE: answers.people,
    Task.FACES: answers.faces,
    Task.TEXT: answers.text,
    Task.LOGOS: answers.logos,
    Task.LABELS: answers.labels,
    Task.MODERATION: answers.moderation,
}
MOST = 1000
"""Always sent, and heeded for all but text: without it ten are answered."""

PATHS = re.compile(
    r"/v1(p[1-4]beta1)?(/projects/[\w.:-]+)?(/locations/[\w-]+)?/((images|files):\w+|operations/[\w-]+)",
    re.ASCII,
)
"""Of the calls that are handed on: images, files and operations, within a project or not."""
CLIENTS_OWN = {"key", "access_token", "oauth_token"}
"""In a query: whom the gateway knows its client by."""

OF_THE_PICTURE = re.compile(r"image|payload size", re.IGNORECASE)
CALLED = re.compile(r"^POST \S+: ")
"""What the SDK puts before a message that came by REST. It must go: the URL ends in
`images:annotate`."""
CUT_OFF = re.compile(
    r"socket closed|reset by peer|stream removed|rst_stream|broken pipe|cancelling", re.IGNORECASE
)
"""How gRPC says UNAVAILABLE of a call that was under way."""


class Options(ProviderOptions):
    """Without a key, credentials are the application's default ones; none for a stand-in."""

    transport: Literal["grpc", "rest"] = Field(
        "grpc", description="rest where only HTTP/1.1 passes, or plain http"
    )
    endpoint: str | None = Field(None, description="another address than Google's own")
    api_key: SecretStr | None = None

    @model_validator(mode="after")
    def _speaks(self) -> Options:
        if self.transport == "grpc" and (self.endpoint or "").startswith("http://"):
            raise ValueError("gRPC needs TLS; an endpoint of http://… needs transport: rest")
        return self


def create(name: str, options: Options, folder: Path) -> Provider:
    """Raises Misconfigured where google-cloud-vision is not installed or finds no credentials."""
    vision = need("google.cloud.vision", "google")
    from google.auth.exceptions import GoogleAuthError
    from google.auth.transport.requests import AuthorizedSession

    endpoint = (options.endpoint or HOST).rstrip("/")
    if options.transport == "grpc":
        endpoint = endpoint.removeprefix("https://")
    try:
        credentials = _credentials(options, endpoint)
        client = vision.ImageAnnotatorClient(
            credentials=credentials,
            transport=options.transport,
            client_options={"api_endpoint": endpoint},
        )
    except (GoogleAuthError, ValueError) as error:
        raise Misconfigured(f"{error} (or set api_key)") from None
    session = AuthorizedSession(  # type: ignore[no-untyped-call]
        credentials, max_refresh_attempts=0, default_host=HOST
    )
    return GoogleProvider(name, options, client, pooled(session, options.concurrency))


def _credentials(options: Options, endpoint: str) -> Any:
    """A key, those of the application, or none. Raises GoogleAuthError where Google needs some and
    none are found."""
    from google.auth import api_key, default
    from google.auth.credentials import AnonymousCredentials

    if options.api_key:
        return api_key.Credentials(options.api_key.get_secret_value())  # type: ignore[no-untyped-call]
    if not _of_google(endpoint):
        return AnonymousCredentials()  # type: ignore[no-untyped-call]
    credentials, _ = default(default_scopes=SCOPES)
    return credentials


def _of_google(endpoint: str) -> bool:
    """Whether it is one of Google's own, such as eu-vision.googleapis.com, where nobody may ask
    without credentials."""
    host = urlsplit(endpoint if "://" in endpoint else f"//{endpoint}").hostname or ""
    return f".{host}".endswith(".googleapis.com")


class GoogleProvider(CloudProvider):
    """Holds the client, a session with its credentials for what is handed on, and what every remote
    provider holds."""

    def __init__(
        self,
        name: str,
        options: Options,
        client: Any,
        session: Any,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        about = About(
            name,
            options.kind,
            frozenset(FEATURES) | {Task.EXTRAS},
            limits=Limits(MAX_BYTES[options.transport], max_pixels=75_000_000, formats=FORMATS),
            price=options.usd_per_image or PRICE,
            prices={} if options.usd_per_image else PRICES,
            extras=dict.fromkeys(EXTRAS, options.usd_per_image)
            if options.usd_per_image
            else EXTRAS,
            canvas_px=options.canvas,
            concurrency=options.concurrency,
            vocabulary="google",
            calls=options.calls,
            most=dict.fromkeys(FEATURES.keys() - {Task.TEXT}, MOST),
        )
        super().__init__(about, options.endpoint or HOST, clock=clock)
        self._timeout_s = options.timeout_ms / 1000
        self._client = client
        self._session = session

    def call(self, picture: Picture, task: Task, wanted: Sequence[str] = ()) -> Sequence[Detection]:
        """One image; one feature, or as many as extras are wanted."""
        items = extras.items(wanted) if task == Task.EXTRAS else []
        asked = {
            "image": {"content": picture.data},
            **(extras.asked(items) if items else _asked(task)),
        }
        with _translating(task):
            answer = self._client.batch_annotate_images(
                {"requests": [asked]}, retry=None, timeout=self._timeout_s
            )
            (response,) = type(answer).pb(answer).responses
            if response.error.code:
                raise _refused(response.error.code, response.error.message)
            if items:
                return extras.found(items, response)
            return READERS[task](response, (picture.width_px, picture.height_px))

    def send(self, call: ForwardCall) -> ForwardReply:
        """By REST, whatever the transport: the session speaks nothing else."""
        path = call.target
        if not PATHS.fullmatch(path) or ".." in path:
            raise PictureRefused(f"{path[:200]!r} is no path of images, files or operations")
        query = urlencode([(key, value) for key, value in call.query if key not in CLIENTS_OWN])
        until = time.monotonic() + self._timeout_s
        with (
            _translating(),
            self._session.request(
                call.method,
                f"{self._url.geturl().rstrip('/')}{path}{'?' if query else ''}{query}",
                data=call.body,
                headers={"Content-Type": call.content_type},
                timeout=(min(self._timeout_s, 5), self._timeout_s),
                allow_redirects=False,
                stream=True,
            ) as answer,
        ):
            return forwarded(
                answer.status_code, answer.headers, read(answer.iter_content(65536), until)
            )

    def hang_up(self) -> None:
        self._client.transport.close()
        self._session.close()


def _asked(task: Task) -> dict[str, Any]:
    """Scores of words are told only where they are asked for."""
    return {
        "features": [{"type_": FEATURES[task], "max_results": MOST}],
        "image_context": {
            "text_detection_params": {"enable_text_detection_confidence_score": task == Task.TEXT}
        },
    }


@contextmanager
def _translating(task: Task | None = None) -> Iterator[None]:
    """Whatever goes wrong with a call, as one of the `ProviderError`s."""
    from google.api_core.exceptions import GoogleAPICallError
    from google.auth.exceptions import GoogleAuthError, TransportError
    from google.protobuf.json_format import ParseError
    from requests import RequestException

    try:
        yield
    except GoogleAPICallError as error:
        raise _translated(error, optional=task == Task.EXTRAS) from error
    except (
        GoogleAuthError
    ) as error:  # no token was to be had, or a 401 was answered; its text is lost by then
        passing = error.retryable or isinstance(error, TransportError)
        raise (Unavailable if passing else Misconfigured)(
            f"no valid credentials: {error}"
        ) from error
    except RequestException as error:
        raise _lost(error) from error
    except (ParseError, AttributeError, TypeError, ValueError) as error:
        raise NoAnswer(f"an answer that is not Google's, and may be billed: {error!r}") from error


def _translated(error: Any, *, optional: bool) -> ProviderError:
    """By HTTP status, which errors of gRPC have too. https://cloud.google.com/apis/design/errors

    `optional`: a client's own options went out, and are what is wrong unless a reason is given.
    """
    message, status = CALLED.sub("", error.message), error.code or 500
    if status == 413 or (
        status == 400 and not error.reason and (optional or OF_THE_PICTURE.search(message))
    ):
        return PictureRefused(message)
    if status == 429:
        return Throttled(message, pause_s(getattr(error.response, "headers", {})))
    if status in (499, 504) or (status == 503 and CUT_OFF.search(message)):
        return NoAnswer(message)
    return (
        Unavailable(message)
        if status in (408, 409) or (status >= 500 and status != 501)
        else Misconfigured(message)
    )


def _refused(code: int, message: str) -> ProviderError:
    """By the google.rpc.Code of one image, in an answer that was a good one otherwise."""
    kinds: dict[int, type[ProviderError]]
    kinds = {
        3: PictureRefused,
        4: NoAnswer,
        7: Misconfigured,
        8: Throttled,
        12: Misconfigured,
        16: Misconfigured,
    }
    return kinds.get(code, Unavailable)(message or f"google.rpc.Code {code}")


def _lost(error: Exception) -> ProviderError:
    """Whether a call by REST was cut off before or after it was sent."""
    from requests import ConnectionError
    from urllib3.exceptions import ProtocolError, ReadTimeoutError

    inner = error.args[0] if error.args else None
    sent = not isinstance(error, ConnectionError) or isinstance(
        inner, ProtocolError | ReadTimeoutError
    )
    return NoAnswer(str(error)) if sent else Unavailable(str(error))
