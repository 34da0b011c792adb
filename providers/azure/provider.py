"""Azure AI Vision Image Analysis 4.0, or anything that answers like it, through
azure-ai-vision-imageanalysis.

https://learn.microsoft.com/azure/ai-services/computer-vision/concept-object-detection-40
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from pydantic import Field, SecretStr

from providers.azure import responses as answers
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
from providers.options import Options as ProviderOptions
from providers.prices import Price, Tier
from providers.remote.sdk import (
    CloudProvider,
    ExtraItem,
    forwarded,
    items_of,
    pause_s,
    pooled,
    read,
)

FORMATS = frozenset({"JPEG", "PNG", "GIF", "BMP", "WEBP"})
"""TIFF is taken too, but nothing says whether it is turned as its orientation says."""
LIMITS = Limits(
    20_971_520, min_side_px=50, max_side_px=16_000, max_pixels=256_000_000, formats=FORMATS
)

AS_OF = date(2026, 11, 20)
PRICE = Price(
    0.001, AS_OF, (Tier(1_000_000, 0.00065), Tier(10_000_000, 0.0006), Tier(100_000_000, 0.0004))
)
GENERATIVE = Price(0.0015, AS_OF, (Tier(1_000_000, 0.0006),))
PRICES = {Task.TEXT: GENERATIVE}
EXTRAS = {"caption": GENERATIVE, "denseCaptions": GENERATIVE, "smartCrops": PRICE}
"""Tier S1, as others quote it: nobody here has read Microsoft's own page. A feature is billed as
one image, however many are asked for at once; one source says that a call is."""

FEATURES = {Task.OBJECTS: "objects", Task.PEOPLE: "people", Task.TEXT: "read", Task.LABELS: "tags"}
READERS: dict[Task, Callable[[Any, answers.Size], list[Detection]]] = {
    Task.OBJECTS: answers.objects,
    Task.PEOPLE: answers.people,
    Task.TEXT: answers.text,
    Task.LABELS: answers.labels,
}
OPTIONS = ("language", "gender-neutral-caption", "smartcrops-aspect-ratios", "model-version")
"""Of extras: they are the whole call's."""

NAMED = re.compile(r"[A-Za-z]{1,64}:[A-Za-z]{1,64}")
"""What may be handed on, such as "imageanalysis:analyze"."""
CLIENTS_OWN = {"subscription-key"}
"""In a query: whom the gateway knows its client by."""


class Options(ProviderOptions):
    """Credentials are a key; both are found in the portal, at the resource's "Keys and
    Endpoint"."""

    endpoint: str = Field(
        pattern=r"^https?://",
        description="the resource's own, https://….cognitiveservices.azure.com",
    )
    key: SecretStr


def create(name: str, options: Options, folder: Path) -> Provider:
    """Raises Misconfigured where azure-ai-vision-imageanalysis is not installed."""
    analysis = need("azure.ai.vision.imageanalysis", "azure")
    from azure.core.credentials import AzureKeyCredential
    from azure.core.pipeline.policies import SansIOHTTPPolicy
    from azure.core.pipeline.transport import RequestsTransport
    from requests import Session

    timeout_s = options.timeout_ms / 1000
    client = analysis.ImageAnalysisClient(
        options.endpoint,
        AzureKeyCredential(options.key.get_secret_value()),
        transport=RequestsTransport(
            session=pooled(Session(), options.concurrency),
            connection_timeout=min(timeout_s, 5),
            read_timeout=timeout_s,
        ),
        retry_total=0,
        http_logging_policy=SansIOHTTPPolicy(),  # its own writes several lines about every call
    )
    return AzureProvider(name, options, client)


class AzureProvider(CloudProvider):
    """Holds the client, and what every remote provider holds."""

    def __init__(
        self,
        name: str,
        options: Options,
        client: Any,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        about = About(
            name,
            options.kind,
            frozenset(FEATURES) | {Task.EXTRAS},
            limits=LIMITS,
            price=options.usd_per_image or PRICE,
            prices={} if options.usd_per_image else PRICES,
            extras=dict.fromkeys(EXTRAS, options.usd_per_image)
            if options.usd_per_image
            else EXTRAS,
            canvas_px=options.canvas,
            concurrency=options.concurrency,
            vocabulary="azure",
            calls=options.calls,
        )
        super().__init__(about, options.endpoint, clock=clock)
        self._timeout_s = options.timeout_ms / 1000
        self._client = client

    def call(self, picture: Picture, task: Task, wanted: Sequence[str] = ()) -> Sequence[Detection]:
        """One feature of Analyze, or as many as extras are wanted."""
        items = items_of(wanted, OPTIONS) if task == Task.EXTRAS else []
        features = [item.name for item in items] or [FEATURES[task]]
        with _translating(task):
            answer = self._client.analyze(picture.data, features, params=_options(items))
            if items:
                return answers.extras(answer, items)
            return READERS[task](answer, (answer.metadata.width, answer.metadata.height))

    def send(self, call: ForwardCall) -> ForwardReply:
        from azure.core.rest import HttpRequest

        if not NAMED.fullmatch(call.target):
            raise PictureRefused(
                f"{call.target[:200]!r} is none of Azure's calls, such as imageanalysis:analyze"
            )
        query = urlencode(
            [pair for pair in call.query if pair[0].lower() not in CLIENTS_OWN], safe=","
        )
        headers = {"Content-Type": call.content_type, "Accept": "application/json"}
        request = HttpRequest(
            call.method, f"/{call.target}?{query}", headers=headers, content=call.body
        )
        until = time.monotonic() + self._timeout_s
        with (
            _translating(),
            self._client.send_request(request, stream=True, permit_redirects=False) as answer,
        ):
            return forwarded(answer.status_code, answer.headers, read(answer.iter_bytes(), until))

    def hang_up(self) -> None:
        self._client.close()


def _options(items: Sequence[ExtraItem]) -> dict[str, str]:
    """The options of all, as a query has them: the SDK writes it as it is given."""
    return {
        option: quote(value, safe=",") for item in items for option, value in item.options.items()
    }


@contextmanager
def _translating(task: Task | None = None) -> Iterator[None]:
    """Whatever goes wrong with a call, as one of the `ProviderError`s."""
    from azure.core.exceptions import AzureError, HttpResponseError, ServiceResponseError
    from requests import RequestException

    try:
        yield
    except (
        ServiceResponseError,
        RequestException,
    ) as error:  # the latter while an answer came bit by bit
        raise NoAnswer(
            str(error)
        ) from error  # it was sent, or part of it: nobody here knows whether it is billed
    except HttpResponseError as error:  # also of an answer that came and cannot be read
        raise _translated(error, optional=task == Task.EXTRAS) from error
    except AzureError as error:
        raise Unavailable(str(error)) from error
    except (AttributeError, LookupError, TypeError, ValueError, ZeroDivisionError) as error:
        raise NoAnswer(f"an answer that is not Azure's, and may be billed: {error!r}") from error


def _translated(error: Any, *, optional: bool) -> ProviderError:
    """By HTTP status, and whom a 400 is about by its code; `optional`: by a client's own options,
    which went out."""
    message, status = str(error.message), error.status_code or 200
    if status == 413 or (status == 400 and (optional or _of_the_picture(error.error))):
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
