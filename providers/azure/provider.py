"""Kind `azure`: Azure AI Vision Image Analysis 4.0, or a service with the same API, through
azure-ai-vision-imageanalysis.

https://learn.microsoft.com/azure/ai-services/computer-vision/concept-object-detection-40
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from pydantic import Field, SecretStr

from providers.azure import responses
from providers.base import ForwardCall, ForwardReply, Limits, Picture, Provider
from providers.detection import Detection, Task
from providers.errors import (
    NoAnswer,
    PictureRefused,
    ProviderError,
    Unavailable,
)
from providers.extras import import_package
from providers.options import Options as ProviderOptions
from providers.options import about_of
from providers.prices import Price, Tier
from providers.remote.sdk import (
    CloudProvider,
    ExtraItem,
    Size,
    enlarge_pool,
    extra_items,
    extra_prices,
    forward_reply,
    read_body,
)
from providers.remote.status import status_error

FORMATS = frozenset({"JPEG", "PNG", "GIF", "BMP", "WEBP"})
"""Azure also takes TIFF, but does not document whether it applies a TIFF's orientation."""
LIMITS = Limits(
    20_971_520, min_side_px=50, max_side_px=16_000, max_pixels=256_000_000, formats=FORMATS
)

AS_OF = date(2026, 11, 20)
PRICE = Price(
    0.001, AS_OF, (Tier(1_000_000, 0.00065), Tier(10_000_000, 0.0006), Tier(100_000_000, 0.0004))
)
GENERATIVE_PRICE = Price(0.0015, AS_OF, (Tier(1_000_000, 0.0006),))
PRICES = {Task.TEXT: GENERATIVE_PRICE}
EXTRAS = {"caption": GENERATIVE_PRICE, "denseCaptions": GENERATIVE_PRICE, "smartCrops": PRICE}
"""Prices of tier S1 as third parties quote them; Microsoft's own page was not read. Each feature is
billed as one image, also if one call asks for several; one source says that a call is."""

FEATURES = {Task.OBJECTS: "objects", Task.PEOPLE: "people", Task.TEXT: "read", Task.LABELS: "tags"}
READERS: dict[Task, Callable[[Any, Size], list[Detection]]] = {
    Task.OBJECTS: responses.objects,
    Task.PEOPLE: responses.people,
    Task.TEXT: responses.text,
    Task.LABELS: responses.labels,
}
EXTRA_OPTIONS = (
    "language",
    "gender-neutral-caption",
    "smartcrops-aspect-ratios",
    "model-version",
)
"""Options of extras. Azure applies each to the whole call."""

CALL_NAME = re.compile(r"[A-Za-z]{1,64}:[A-Za-z]{1,64}")
"""The calls that may be forwarded, such as "imageanalysis:analyze"."""
CLIENT_CREDENTIALS = {"subscription-key"}
"""Query parameters that hold the client's key of this gateway; they are not forwarded."""


class Options(ProviderOptions):
    """Settings of kind `azure`. Endpoint and key are on the resource's page "Keys and Endpoint" in
    the portal."""

    endpoint: str = Field(
        pattern=r"^https?://",
        description="the resource's own, https://….cognitiveservices.azure.com",
    )
    key: SecretStr


def create(name: str, options: Options, folder: Path) -> Provider:
    """The provider. Raises Misconfigured if azure-ai-vision-imageanalysis is not installed."""
    sdk = import_package("azure.ai.vision.imageanalysis", "azure")
    from azure.core.credentials import AzureKeyCredential
    from azure.core.pipeline.policies import SansIOHTTPPolicy
    from azure.core.pipeline.transport import RequestsTransport
    from requests import Session

    timeout_s = options.timeout_ms / 1000
    session = Session()
    enlarge_pool(session, options.concurrency)
    client = sdk.ImageAnalysisClient(
        options.endpoint,
        AzureKeyCredential(options.key.get_secret_value()),
        transport=RequestsTransport(
            session=session, connection_timeout=min(timeout_s, 5), read_timeout=timeout_s
        ),
        retry_total=0,
        http_logging_policy=SansIOHTTPPolicy(),  # the default logs several lines for each call
    )
    return AzureProvider(name, options, client)


class AzureProvider(CloudProvider):
    """State: the SDK's client, and that of CloudProvider."""

    def __init__(
        self,
        name: str,
        options: Options,
        client: Any,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        about = replace(
            about_of(name, options, frozenset(FEATURES) | {Task.EXTRAS}, PRICE),
            limits=LIMITS,
            prices={} if options.usd_per_image else PRICES,
            extras=extra_prices(options, EXTRAS),
            vocabulary="azure",
        )
        super().__init__(about, options.endpoint, clock=clock)
        self._timeout_s = options.timeout_ms / 1000
        self._client = client

    def call(self, picture: Picture, task: Task, extras: Sequence[str] = ()) -> Sequence[Detection]:
        """The detections of one Analyze call, with one feature or with all extras."""
        items = extra_items(extras, EXTRA_OPTIONS) if task == Task.EXTRAS else []
        features = [item.name for item in items] or [FEATURES[task]]
        with _translate_errors(task):
            response = self._client.analyze(picture.data, features, params=_params(items))
            if items:
                return responses.extras(response, items)
            return READERS[task](response, (response.metadata.width, response.metadata.height))

    def send(self, call: ForwardCall) -> ForwardReply:
        from azure.core.rest import HttpRequest

        if not CALL_NAME.fullmatch(call.target):
            raise PictureRefused(
                f"{call.target[:200]!r} is none of Azure's calls, such as imageanalysis:analyze"
            )
        pairs = [pair for pair in call.query if pair[0].lower() not in CLIENT_CREDENTIALS]
        request = HttpRequest(
            call.method,
            f"/{call.target}?{urlencode(pairs, safe=',')}",
            headers={"Content-Type": call.content_type, "Accept": "application/json"},
            content=call.body,
        )
        deadline_s = time.monotonic() + self._timeout_s
        with (
            _translate_errors(),
            self._client.send_request(request, stream=True, permit_redirects=False) as response,
        ):
            body = read_body(response.iter_bytes(), deadline_s)
            return forward_reply(response.status_code, response.headers, body)

    def disconnect(self) -> None:
        self._client.close()


def _params(items: Sequence[ExtraItem]) -> dict[str, str]:
    """The options of all extras, quoted: the SDK writes them into the query unchanged."""
    params: dict[str, str] = {}
    for item in items:
        for option, value in item.options.items():
            params[option] = quote(value, safe=",")
    return params


@contextmanager
def _translate_errors(task: Task | None = None) -> Iterator[None]:
    """Translates the SDK's errors, and those of reading its response, into a `ProviderError`."""
    from azure.core.exceptions import AzureError, HttpResponseError, ServiceResponseError
    from requests import RequestException

    try:
        yield
    except (ServiceResponseError, RequestException) as error:
        # the request was sent, at least in part; requests fails while a response is streamed
        raise NoAnswer(str(error)) from error
    except HttpResponseError as error:  # also for a response that cannot be read
        raise _error_of(error, client_options=task == Task.EXTRAS) from error
    except AzureError as error:
        raise Unavailable(str(error)) from error
    except (AttributeError, LookupError, TypeError, ValueError, ZeroDivisionError) as error:
        raise NoAnswer(f"an answer that is not Azure's, and may be billed: {error!r}") from error


def _error_of(error: Any, *, client_options: bool) -> ProviderError:
    """The error by HTTP status; for a 400, the code tells whether the picture is at fault. With
    `client_options` in the call, a 400 is the client's fault."""
    message, status = str(error.message), error.status_code or 200
    if status == 413:
        return PictureRefused(message)
    if status == 400 and (client_options or _is_about_picture(error.error)):
        return PictureRefused(message)
    if status < 400:
        return NoAnswer(message)
    return status_error(status, message, getattr(error.response, "headers", {}))


def _is_about_picture(error: Any) -> bool:
    """Whether the picture is at fault. Without an inner code, only the text tells."""
    if error is None or error.code != "InvalidRequest":
        return False
    inner_code = (error.innererror or {}).get("code")
    return inner_code.startswith("InvalidImage") if inner_code else "image" in error.message.lower()
