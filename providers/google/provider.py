"""Kind `google`: Google Cloud Vision, or a service with the same API, through google-cloud-vision.

https://cloud.google.com/vision/docs/reference/rest/v1/images/annotate
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlencode, urlsplit

from pydantic import Field, SecretStr, model_validator

from providers.base import ForwardCall, ForwardReply, Limits, Picture, Provider
from providers.detection import Detection, Task
from providers.errors import Misconfigured, PictureRefused
from providers.extras import import_package
from providers.google import responses
from providers.google.extras import detections_of, items_of, request_of
from providers.google.faults import image_error, translate_errors
from providers.options import Options as ProviderOptions
from providers.options import about_of
from providers.prices import Price, Tier
from providers.remote.sdk import (
    CloudProvider,
    Size,
    enlarge_pool,
    extra_prices,
    forward_reply,
    read_body,
)

HOST = "vision.googleapis.com"
SCOPES = (
    "https://www.googleapis.com/auth/cloud-platform",
    "https://www.googleapis.com/auth/cloud-vision",
)
FORMATS = frozenset({"JPEG", "PNG", "GIF", "BMP", "WEBP"})
"""Google also takes TIFF, but does not document whether it applies a TIFF's orientation."""
MAX_BYTES = {"grpc": 20_000_000, "rest": 7_000_000}
"""An image may have 20 MB, a JSON request 10 MB: base64 makes an image larger by a third."""

AS_OF = date(2026, 5, 28)
PRICE = Price(0.0015, AS_OF, (Tier(5_000_000, 0.0006),))
OBJECT_PRICE = Price(0.00225, AS_OF, (Tier(5_000_000, 0.0015),))
PRICES = {
    Task.OBJECTS: OBJECT_PRICE,
    Task.PEOPLE: OBJECT_PRICE,
    Task.LABELS: Price(0.0015, AS_OF, (Tier(5_000_000, 0.001),)),
}
EXTRAS = {
    "LANDMARK_DETECTION": PRICE,
    "IMAGE_PROPERTIES": PRICE,
    "CROP_HINTS": PRICE,
    "WEB_DETECTION": Price(0.0035, AS_OF),
    "PRODUCT_SEARCH": Price(0.0045, AS_OF),
}
"""The free first thousand images of a month are left out: ledger and quotes use the first price,
and would count everything as free. Discounts of one feature beside another (crop hints beside image
properties) are left out as well. The price of product search is a guess; its page was not read."""

FEATURES = {
    Task.OBJECTS: "OBJECT_LOCALIZATION",
    Task.PEOPLE: "OBJECT_LOCALIZATION",
    Task.FACES: "FACE_DETECTION",
    Task.TEXT: "TEXT_DETECTION",
    Task.LOGOS: "LOGO_DETECTION",
    Task.LABELS: "LABEL_DETECTION",
    Task.MODERATION: "SAFE_SEARCH_DETECTION",
}
READERS: dict[Task, Callable[[Any, Size], list[Detection]]] = {
    Task.OBJECTS: responses.objects,
    Task.PEOPLE: responses.people,
    Task.FACES: responses.faces,
    Task.TEXT: responses.text,
    Task.LOGOS: responses.logos,
    Task.LABELS: responses.labels,
    Task.MODERATION: responses.moderation,
}
MAX_RESULTS = 1000
"""Sent with every feature; without it Google returns ten results. TEXT_DETECTION ignores it."""

FORWARD_PATHS = re.compile(
    r"/v1(p[1-4]beta1)?(/projects/[\w.:-]+)?(/locations/[\w-]+)?"
    r"/((images|files):\w+|operations/[\w-]+)",
    re.ASCII,
)
"""The calls that may be forwarded: images, files and operations, within a project or not."""
CLIENT_CREDENTIALS = {"key", "access_token", "oauth_token"}
"""Query parameters that hold the client's key of this gateway; they are not forwarded."""


class Options(ProviderOptions):
    """Settings of kind `google`. Without a key, the credentials are the application's default ones,
    or none for an endpoint that is not Google's."""

    transport: Literal["grpc", "rest"] = Field(
        "grpc", description="rest where only HTTP/1.1 passes, or plain http"
    )
    endpoint: str | None = Field(None, description="another address than Google's own")
    api_key: SecretStr | None = None

    @model_validator(mode="after")
    def _check_transport(self) -> Options:
        if self.transport == "grpc" and (self.endpoint or "").startswith("http://"):
            raise ValueError("gRPC needs TLS; an endpoint of http://… needs transport: rest")
        return self


def create(name: str, options: Options, folder: Path) -> Provider:
    """The provider. Raises Misconfigured if google-cloud-vision is not installed or finds no
    credentials."""
    vision = import_package("google.cloud.vision", "google")
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
    session = AuthorizedSession(  # type: ignore[no-untyped-call]  # google-auth has no types
        credentials, max_refresh_attempts=0, default_host=HOST
    )
    enlarge_pool(session, options.concurrency)
    return GoogleProvider(name, options, client, session)


def _credentials(options: Options, endpoint: str) -> Any:
    """The API key, the application's default credentials, or none for an endpoint that is not
    Google's. Raises GoogleAuthError if Google needs credentials and there are none."""
    from google.auth import api_key, default
    from google.auth.credentials import AnonymousCredentials

    if options.api_key:
        key = options.api_key.get_secret_value()
        return api_key.Credentials(key)  # type: ignore[no-untyped-call]  # google-auth: no types
    if not _is_google(endpoint):
        return AnonymousCredentials()  # type: ignore[no-untyped-call]  # google-auth has no types
    credentials, _ = default(default_scopes=SCOPES)
    return credentials


def _is_google(endpoint: str) -> bool:
    """Whether the endpoint is Google's, such as eu-vision.googleapis.com. Those all need
    credentials."""
    host = urlsplit(endpoint if "://" in endpoint else f"//{endpoint}").hostname or ""
    return f".{host}".endswith(".googleapis.com")


class GoogleProvider(CloudProvider):
    """State: the SDK's client, a session with the same credentials for forwarded calls, and that of
    CloudProvider."""

    def __init__(
        self,
        name: str,
        options: Options,
        client: Any,
        session: Any,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        about = replace(
            about_of(name, options, frozenset(FEATURES) | {Task.EXTRAS}, PRICE),
            limits=Limits(MAX_BYTES[options.transport], max_pixels=75_000_000, formats=FORMATS),
            prices={} if options.usd_per_image else PRICES,
            extras=extra_prices(options, EXTRAS),
            vocabulary="google",
            most=dict.fromkeys(FEATURES.keys() - {Task.TEXT}, MAX_RESULTS),
        )
        super().__init__(about, options.endpoint or HOST, clock=clock)
        self._timeout_s = options.timeout_ms / 1000
        self._client = client
        self._session = session

    def call(self, picture: Picture, task: Task, extras: Sequence[str] = ()) -> Sequence[Detection]:
        """The detections of one annotate call for one image, with one feature or with all
        extras."""
        items = items_of(extras) if task == Task.EXTRAS else []
        question = request_of(items) if items else _task_request(task)
        request = {"image": {"content": picture.data}, **question}
        with translate_errors(task):
            batch = self._client.batch_annotate_images(
                {"requests": [request]}, retry=None, timeout=self._timeout_s
            )
            (response,) = type(batch).pb(batch).responses
            if response.error.code:
                raise image_error(response.error.code, response.error.message)
            if items:
                return detections_of(items, response)
            return READERS[task](response, (picture.width_px, picture.height_px))

    def send(self, call: ForwardCall) -> ForwardReply:
        """The response to a forwarded call. It goes by REST, whatever the transport: the session
        speaks nothing else."""
        path = call.target
        if not FORWARD_PATHS.fullmatch(path) or ".." in path:
            raise PictureRefused(f"{path[:200]!r} is no path of images, files or operations")
        pairs = [pair for pair in call.query if pair[0] not in CLIENT_CREDENTIALS]
        query = f"?{urlencode(pairs)}" if pairs else ""
        deadline_s = time.monotonic() + self._timeout_s
        with (
            translate_errors(),
            self._session.request(
                call.method,
                f"{self._url.geturl().rstrip('/')}{path}{query}",
                data=call.body,
                headers={"Content-Type": call.content_type},
                timeout=(min(self._timeout_s, 5), self._timeout_s),
                allow_redirects=False,
                stream=True,
            ) as response,
        ):
            body = read_body(response.iter_content(65536), deadline_s)
            return forward_reply(response.status_code, response.headers, body)

    def disconnect(self) -> None:
        self._client.transport.close()
        self._session.close()


def _task_request(task: Task) -> dict[str, Any]:
    """The request's feature and context. Google scores words only on demand."""
    return {
        "features": [{"type_": FEATURES[task], "max_results": MAX_RESULTS}],
        "image_context": {
            "text_detection_params": {"enable_text_detection_confidence_score": task == Task.TEXT}
        },
    }
