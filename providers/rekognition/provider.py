"""Kind `rekognition`: Amazon Rekognition, or a service with the same API, through boto3.

https://docs.aws.amazon.com/rekognition/latest/APIReference/API_DetectLabels.html
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import Field, SecretStr

from providers.base import ForwardCall, ForwardReply, Limits, Picture, Provider
from providers.detection import Detection, Task
from providers.errors import (
    Misconfigured,
    NoAnswer,
    PictureRefused,
    ProviderError,
    Throttled,
    Unavailable,
)
from providers.extras import import_package
from providers.options import Options as ProviderOptions
from providers.options import about_of
from providers.prices import Price, Tier
from providers.rekognition import responses
from providers.rekognition.forward import SignedConnection
from providers.rekognition.regions import Region
from providers.remote.sdk import CloudProvider, ExtraItem, extra_items, extra_prices, int_option

LIMITS = Limits(5_242_880, min_side_px=80, max_side_px=10_000, max_pixels=100_000_000)
TASK_LIMITS = {
    Task.EQUIPMENT: Limits(4_194_304, min_side_px=64, max_side_px=4096, max_pixels=4096**2)
}
"""https://docs.aws.amazon.com/rekognition/latest/dg/limits.html"""

AS_OF = date(2026, 10, 7)
TIERS = Tier(1_000_000, 0.0008), Tier(5_000_000, 0.0006), Tier(35_000_000, 0.0004)
PRICE = Price(0.001, AS_OF, TIERS)
"""Group 2 APIs, us-east-1; the images of a month are counted together. The tiers beyond 5 million
were read on 2025-12-03."""
EXTRAS = {
    "IMAGE_PROPERTIES": Price(
        0.00075,
        AS_OF,
        (Tier(1_000_000, 0.0006), Tier(5_000_000, 0.00045), Tier(35_000_000, 0.0003)),
    )
}
"""A feature of DetectLabels. The tiers beyond 5 million were not read: they fall as the others
do."""

MAX_LABELS = 1000
MAX_DETECTIONS = {
    Task.OBJECTS: MAX_LABELS,
    Task.LABELS: MAX_LABELS,
    Task.TEXT: 100,
    Task.FACES: 100,
    Task.CELEBRITIES: 64,
    Task.EQUIPMENT: 15,
}
"""For labels, the most that can be asked for; the others are words, the largest faces and persons
(model 2016-06-27)."""

MAX_COLOURS = "MaxDominantColors"
REFUSED_CODES = {
    "InvalidImageFormatException",
    "ImageTooLargeException",
    "InvalidParameterException",
}
THROTTLED_CODES = {
    "ThrottlingException",
    "ProvisionedThroughputExceededException",
    "LimitExceededException",
}


class Options(ProviderOptions):
    """Settings of kind `rekognition`. Without keys here, boto3 looks for credentials."""

    region: Region = "us-east-1"
    endpoint: str | None = Field(None, description="another address than AWS's own")
    access_key: str | None = None
    secret_key: SecretStr | None = None
    profile: str | None = Field(None, description="a profile of the AWS config files")
    min_confidence: float = Field(
        1.0, ge=0, le=100, description="asked upstream; low, so that there is much to judge"
    )


def create(name: str, options: Options, folder: Path) -> Provider:
    """The provider. Raises Misconfigured if boto3 is not installed or finds no credentials."""
    boto3 = import_package("boto3", "rekognition")
    import botocore.session
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    timeout_s = options.timeout_ms / 1000
    config = Config(
        connect_timeout=min(timeout_s, 5),
        read_timeout=timeout_s,
        max_pool_connections=options.concurrency,
        retries={"total_max_attempts": 1, "mode": "standard"},
    )
    secret_key = options.secret_key.get_secret_value() if options.secret_key else None
    try:
        core = botocore.session.get_session()
        session = boto3.Session(
            options.access_key,
            secret_key,
            region_name=options.region,
            botocore_session=core,
            profile_name=options.profile,
        )
        if (credentials := session.get_credentials()) is None:
            raise Misconfigured(
                "no AWS credentials were found; set access_key and secret_key, a profile, or "
                "AWS_… in the environment (any words do for a server that is not AWS)"
            )
        client = session.client("rekognition", endpoint_url=options.endpoint, config=config)
    except BotoCoreError as error:
        raise Misconfigured(str(error)) from None
    connection = SignedConnection(
        client,
        credentials,
        timeout_s,
        connections=options.concurrency,
        ca_bundle=core.get_config_variable("ca_bundle"),
    )
    return RekognitionProvider(name, options, client, connection)


class Operation(NamedTuple):
    """A method of boto3's client, its parameters besides the image, and the reader of its
    response."""

    method: str
    parameters: Mapping[str, Any]
    read: Callable[[responses.Row], list[Detection]]


class RekognitionProvider(CloudProvider):
    """State: the SDK's client, the connection for forwarded calls, and that of CloudProvider."""

    def __init__(
        self,
        name: str,
        options: Options,
        client: Any,
        connection: SignedConnection,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        about = replace(
            about_of(name, options, frozenset(Task) - {Task.LOGOS}, PRICE),
            limits=LIMITS,
            own_limits=TASK_LIMITS,
            extras=extra_prices(options, EXTRAS),
            most=MAX_DETECTIONS,
            applies_exif=True,
            vocabulary="rekognition",
        )
        super().__init__(about, client.meta.endpoint_url, clock=clock)
        self._options = options
        self._client = client
        self._connection = connection

    def call(self, picture: Picture, task: Task, extras: Sequence[str] = ()) -> Sequence[Detection]:
        """The detections of one operation."""
        operation = self._operation(task, extras)
        method = getattr(self._client, operation.method)
        with _translate_errors():
            response = method(Image={"Bytes": picture.data}, **operation.parameters)
            return operation.read(response)

    def send(self, call: ForwardCall) -> ForwardReply:
        with _translate_errors():
            return self._connection.send(call)

    def disconnect(self) -> None:
        self._client.close()
        self._connection.close()

    def _operation(self, task: Task, extras: Sequence[str]) -> Operation:
        """The operation of a task. It asks for detections of any score; rules and clients apply
        their own limits."""
        confidence = {"MinConfidence": self._options.min_confidence}
        limits = {"MaxLabels": MAX_LABELS, **confidence}
        if task == Task.EXTRAS:
            (item,) = extra_items(extras, [MAX_COLOURS])
            return Operation("detect_labels", _property_parameters(item), responses.properties)
        return {
            Task.OBJECTS: Operation("detect_labels", limits, responses.objects),
            Task.PEOPLE: Operation("detect_labels", limits, responses.people),
            Task.LABELS: Operation("detect_labels", limits, responses.labels),
            Task.TEXT: Operation("detect_text", {}, responses.text),
            Task.FACES: Operation("detect_faces", {"Attributes": ["ALL"]}, responses.faces),
            Task.CELEBRITIES: Operation("recognize_celebrities", {}, responses.celebrities),
            Task.EQUIPMENT: Operation("detect_protective_equipment", {}, responses.equipment),
            Task.MODERATION: Operation(
                "detect_moderation_labels", confidence, responses.moderation
            ),
        }[task]


def _property_parameters(item: ExtraItem) -> dict[str, Any]:
    """DetectLabels' parameters for image properties alone. It takes no label settings then."""
    colours = int_option(item, MAX_COLOURS)
    if colours is None:
        return {"Features": [item.name]}
    return {
        "Features": [item.name],
        "Settings": {"ImageProperties": {MAX_COLOURS: colours}},
    }


@contextmanager
def _translate_errors() -> Iterator[None]:
    """Translates botocore's errors, and those of reading its response, into a `ProviderError`."""
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        ConnectionClosedError,
        IncompleteReadError,
        ReadTimeoutError,
        ResponseStreamingError,
    )
    from botocore.parsers import ResponseParserError

    sent_errors = (
        ReadTimeoutError,
        ConnectionClosedError,
        IncompleteReadError,
        ResponseStreamingError,
        ResponseParserError,
    )
    try:
        yield
    except ClientError as error:
        raise _error_of(error.response, str(error)) from error
    except sent_errors as error:  # the request was sent, at least in part
        raise NoAnswer(str(error)) from error
    except BotoCoreError as error:
        raise Unavailable(str(error)) from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise NoAnswer(
            f"an answer that is not Rekognition's, and may be billed: {error!r}"
        ) from error


def _error_of(response: dict[str, Any], message: str) -> ProviderError:
    """The error by Rekognition's code and the HTTP status.

    https://docs.aws.amazon.com/rekognition/latest/dg/error-handling.html
    """
    code = response.get("Error", {}).get("Code", "")
    metadata = response.get("ResponseMetadata", {})
    status = metadata.get("HTTPStatusCode", 500)
    if code in REFUSED_CODES:
        return PictureRefused(message)
    if code in THROTTLED_CODES or status == 429:
        wait_ms = metadata.get("HTTPHeaders", {}).get("x-amz-retry-after", "")
        return Throttled(message, int(wait_ms) / 1000 if wait_ms.isdigit() else None)
    return Unavailable(message) if status >= 500 else Misconfigured(message)
