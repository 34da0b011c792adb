"""Amazon Rekognition, or anything that answers like it, through boto3.

https://docs.aws.amazon.com/rekognition/latest/APIReference/API_DetectLabels.html
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import Field, SecretStr

from providers.base import About, ForwardCall, ForwardReply, Limits, Picture, Provider
from providers.detection import Detection, Task
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
from providers.rekognition import responses as answers
from providers.rekognition.forward import SignedConnection
from providers.remote.sdk import CloudProvider, ExtraItem, items_of, number

LIMITS = Limits(5_242_880, min_side_px=80, max_side_px=10_000, max_pixels=100_000_000)
OWN_LIMITS = {
    Task.EQUIPMENT: Limits(4_194_304, min_side_px=64, max_side_px=4096, max_pixels=4096**2)
}
"""https://docs.aws.amazon.com/rekognition/latest/dg/limits.html"""

AS_OF = date(2026, 10, 7)
TIERS = Tier(1_000_000, 0.0008), Tier(5_000_000, 0.0006), Tier(35_000_000, 0.0004)
PRICE = Price(0.001, AS_OF, TIERS)
"""Group 2 APIs, us-east-1, their images of a month counted together; what is beyond 5 million was
read 2025-12-03."""
EXTRAS = {
    "IMAGE_PROPERTIES": Price(
        0.00075,
        AS_OF,
        (Tier(1_000_000, 0.0006), Tier(5_000_000, 0.00045), Tier(35_000_000, 0.0003)),
    )
}
"""Of DetectLabels; what is beyond 5 million nobody here has read: it falls as the others do."""

MOST = {
    Task.OBJECTS: 1000,
    Task.LABELS: 1000,
    Task.TEXT: 100,
    Task.FACES: 100,
    Task.CELEBRITIES: 64,
    Task.EQUIPMENT: 15,
}
"""Labels that are asked for, which is as many as may be; words, largest faces and persons (model
2016-06-27)."""

COLOURS = "MaxDominantColors"
REFUSED = {"InvalidImageFormatException", "ImageTooLargeException", "InvalidParameterException"}
THROTTLED = {
    "ThrottlingException",
    "ProvisionedThroughputExceededException",
    "LimitExceededException",
}


class Options(ProviderOptions):
    """Credentials are found as boto3 finds them, unless they are given here."""

    region: str = "us-east-1"
    endpoint: str | None = Field(None, description="another address than AWS's own")
    access_key: str | None = None
    secret_key: SecretStr | None = None
    profile: str | None = Field(None, description="a profile of the AWS config files")
    min_confidence: float = Field(
        1.0, ge=0, le=100, description="asked upstream; low, so that there is much to judge"
    )


def create(name: str, options: Options, folder: Path) -> Provider:
    """Raises Misconfigured where boto3 is not installed or finds no credentials."""
    try:
        import boto3
        import botocore.session
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError
    except ImportError:
        raise Misconfigured(
            "boto3 is not installed; pip install 'imgrid-gateway[rekognition]'"
        ) from None
    timeout_s = options.timeout_ms / 1000
    config = Config(
        connect_timeout=min(timeout_s, 5),
        read_timeout=timeout_s,
        max_pool_connections=options.concurrency,
        retries={"total_max_attempts": 1, "mode": "standard"},
    )
    secret = options.secret_key.get_secret_value() if options.secret_key else None
    try:
        core = botocore.session.get_session()
        session = boto3.Session(
            options.access_key,
            secret,
            region_name=options.region,
            botocore_session=core,
            profile_name=options.profile,
        )
        if (credentials := session.get_credentials()) is None:
            raise Misconfigured(
                "no AWS credentials were found; set access_key and secret_key, a profile, or AWS_… in "
                "the environment (a stand-in takes any)"
            )
        client = session.client("rekognition", endpoint_url=options.endpoint, config=config)
    except BotoCoreError as error:
        raise Misconfigured(str(error)) from None
    line = SignedConnection(
        client, credentials, timeout_s, options.concurrency, core.get_config_variable("ca_bundle")
    )
    return RekognitionProvider(name, options, client, line)


class Operation(NamedTuple):
    """One operation of the client's, what else it is told than the image, and what makes detections
    of its answer."""

    operation: str
    settings: Mapping[str, Any]
    read: Callable[[answers.Answer], list[Detection]]


class RekognitionProvider(CloudProvider):
    """Holds the client, the line for what is handed on, and what every remote provider holds."""

    def __init__(
        self,
        name: str,
        options: Options,
        client: Any,
        line: SignedConnection,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        about = About(
            name,
            options.kind,
            frozenset(Task) - {Task.LOGOS},
            limits=LIMITS,
            own_limits=OWN_LIMITS,
            price=options.usd_per_image or PRICE,
            extras=dict.fromkeys(EXTRAS, options.usd_per_image)
            if options.usd_per_image
            else EXTRAS,
            canvas_px=options.canvas,
            concurrency=options.concurrency,
            calls=options.calls,
            most=MOST,
            applies_exif=True,
            vocabulary="rekognition",
        )
        super().__init__(about, client.meta.endpoint_url, clock=clock)
        self._options = options
        self._client = client
        self._line = line

    def call(self, picture: Picture, task: Task, wanted: Sequence[str] = ()) -> Sequence[Detection]:
        """One operation."""
        question = self._question(task, wanted)
        ask = getattr(self._client, question.operation)
        with _translating():
            return question.read(ask(Image={"Bytes": picture.data}, **question.settings))

    def _question(self, task: Task, wanted: Sequence[str]) -> Operation:
        """Everything is asked for, however faint: what is left out of it is the rules' and the
        clients' to say."""
        least = {"MinConfidence": self._options.min_confidence}
        most = {"MaxLabels": 1000, **least}
        if task == Task.EXTRAS:
            (item,) = items_of(wanted, [COLOURS])
            return Operation("detect_labels", _properties(item), answers.properties)
        return {
            Task.OBJECTS: Operation("detect_labels", most, answers.objects),
            Task.PEOPLE: Operation("detect_labels", most, answers.people),
            Task.LABELS: Operation("detect_labels", most, answers.labels),
            Task.TEXT: Operation("detect_text", {}, answers.text),
            Task.FACES: Operation("detect_faces", {"Attributes": ["ALL"]}, answers.faces),
            Task.CELEBRITIES: Operation("recognize_celebrities", {}, answers.celebrities),
            Task.EQUIPMENT: Operation("detect_protective_equipment", {}, answers.equipment),
            Task.MODERATION: Operation("detect_moderation_labels", least, answers.moderation),
        }[task]

    def send(self, call: ForwardCall) -> ForwardReply:
        with _translating():
            return self._line.send(call)

    def hang_up(self) -> None:
        self._client.close()
        self._line.close()


def _properties(item: ExtraItem) -> dict[str, Any]:
    """How DetectLabels is asked for nothing else; of labels it takes no settings then."""
    colours = number(item, COLOURS)
    settings = {} if colours is None else {"Settings": {"ImageProperties": {COLOURS: colours}}}
    return {"Features": [item.name], **settings}


@contextmanager
def _translating() -> Iterator[None]:
    """Whatever goes wrong with a call, as one of the `ProviderError`s."""
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        ConnectionClosedError,
        IncompleteReadError,
        ReadTimeoutError,
        ResponseStreamingError,
    )
    from botocore.parsers import ResponseParserError

    lost = (
        ReadTimeoutError,
        ConnectionClosedError,
        IncompleteReadError,
        ResponseStreamingError,
        ResponseParserError,
    )
    try:
        yield
    except ClientError as error:
        raise _translated(error.response, str(error)) from error
    except lost as error:
        raise NoAnswer(
            str(error)
        ) from error  # it was sent, or part of it: nobody here knows whether it is billed
    except BotoCoreError as error:
        raise Unavailable(str(error)) from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise NoAnswer(
            f"an answer that is not Rekognition's, and may be billed: {error!r}"
        ) from error


def _translated(response: dict[str, Any], message: str) -> ProviderError:
    """https://docs.aws.amazon.com/rekognition/latest/dg/error-handling.html"""
    code = response.get("Error", {}).get("Code", "")
    meta = response.get("ResponseMetadata", {})
    status = meta.get("HTTPStatusCode", 500)
    if code in REFUSED:
        return PictureRefused(message)
    if code in THROTTLED or status == 429:
        wait_ms = meta.get("HTTPHeaders", {}).get("x-amz-retry-after", "")
        return Throttled(message, int(wait_ms) / 1000 if wait_ms.isdigit() else None)
    return Unavailable(message) if status >= 500 else Misconfigured(message)
