"""Amazon Rekognition, or anything that answers like it, through boto3.

https://docs.aws.amazon.com/rekognition/latest/APIReference/API_DetectLabels.html
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr

from providers import base
from providers._remote import Remote
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

LIMITS = Limits(5_242_880, min_side_px=80, max_side_px=10_000, max_pixels=100_000_000)
TIERS = Tier(1_000_000, 0.0008), Tier(5_000_000, 0.0006), Tier(35_000_000, 0.0004)
PRICE = Price(0.001, date(2026, 10, 7), TIERS)
"""Group 2 APIs, us-east-1, their images of a month counted together; what is beyond 5 million was read 2025-12-03."""

MOST_WORDS = 100
"""DetectText tells of a picture (model 2016-06-27), whosever photos are on it."""

REFUSED = {"InvalidImageFormatException", "ImageTooLargeException", "InvalidParameterException"}
THROTTLED = {"ThrottlingException", "ProvisionedThroughputExceededException", "LimitExceededException"}


class Options(base.Options):
    """Credentials are found as boto3 finds them, unless they are given here."""

    region: str = "us-east-1"
    endpoint: str | None = Field(None, description="another address than AWS's own")
    access_key: str | None = None
    secret_key: SecretStr | None = None
    profile: str | None = Field(None, description="a profile of the AWS config files")
    min_confidence: float = Field(1.0, ge=0, le=100, description="asked upstream; low, so that there is much to judge")


def create(name: str, options: Options, folder: Path) -> Provider:  # noqa: ARG001  it has no files
    """Raises Misconfigured where boto3 is not installed or finds no credentials."""
    try:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError
    except ImportError:
        raise Misconfigured("boto3 is not installed; pip install 'imgrid-gateway[rekognition]'") from None
    timeout_s = options.timeout_ms / 1000
    config = Config(
        connect_timeout=min(timeout_s, 5),
        read_timeout=timeout_s,
        max_pool_connections=options.concurrency,
        retries={"total_max_attempts": 1, "mode": "standard"},
    )
    secret = options.secret_key.get_secret_value() if options.secret_key else None
    try:
        session = boto3.Session(options.access_key, secret, region_name=options.region, profile_name=options.profile)
        if session.get_credentials() is None:
            raise Misconfigured("no AWS credentials were found; set access_key and secret_key, a profile, or AWS_… in "
                                "the environment (a stand-in takes any)")  # fmt: skip
        client = session.client("rekognition", endpoint_url=options.endpoint, config=config)
    except BotoCoreError as error:
        raise Misconfigured(str(error)) from None
    return Rekognition(name, options, client)


class Rekognition(Remote):
    """Holds the client, and what every remote provider holds."""

    def __init__(
        self, name: str, options: Options, client: Any, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        about = About(
            name,
            options.kind,
            frozenset({Task.OBJECTS, Task.TEXT}),
            limits=LIMITS,
            price=options.usd_per_image or PRICE,
            canvas_px=options.canvas,
            concurrency=options.concurrency,
            most_words=MOST_WORDS,
            applies_exif=True,
            vocabulary="rekognition",
        )
        super().__init__(about, client.meta.endpoint_url, clock=clock)
        self._options = options
        self._client = client

    def call(self, picture: Picture, task: Task, wanted: Sequence[str] = ()) -> Sequence[Detection]:  # noqa: ARG002
        """DetectLabels or DetectText. Labels without instances belong to no place and are left out."""
        from botocore.exceptions import (
            BotoCoreError,
            ClientError,
            ConnectionClosedError,
            ReadTimeoutError,
            ResponseStreamingError,
        )
        from botocore.parsers import ResponseParserError

        image = {"Bytes": picture.data}
        try:
            if task == Task.TEXT:
                return _text(self._client.detect_text(Image=image))
            least = self._options.min_confidence
            return _objects(self._client.detect_labels(Image=image, MaxLabels=1000, MinConfidence=least))
        except ClientError as error:
            raise _translated(error.response, str(error)) from error
        except (ReadTimeoutError, ConnectionClosedError, ResponseStreamingError, ResponseParserError) as error:
            raise NoAnswer(str(error)) from error  # it was sent, or part of it: nobody here knows whether it is billed
        except BotoCoreError as error:
            raise Unavailable(str(error)) from error
        except (KeyError, TypeError, ValueError) as error:
            raise NoAnswer(f"an answer that is not Rekognition's, and may be billed: {error!r}") from error

    def hang_up(self) -> None:
        self._client.close()


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


def _objects(answer: dict[str, Any]) -> list[Detection]:
    found = []
    for label in answer["Labels"]:
        details = {
            key.lower(): tuple(each["Name"] for each in label.get(key) or ())
            for key in ("Parents", "Aliases", "Categories")
        }
        for instance in label.get("Instances", ()):
            box = _box(instance["BoundingBox"])
            found.append(Detection(label["Name"], instance["Confidence"] / 100, box, details=details))
    return found


def _text(answer: dict[str, Any]) -> list[Detection]:
    return [
        Detection(
            row["DetectedText"],
            row["Confidence"] / 100,
            _box(row["Geometry"]["BoundingBox"]),
            kind=row["Type"],
            polygon=tuple((point["X"], point["Y"]) for point in row["Geometry"].get("Polygon", ())),
            key=row["Id"] if row["Type"] == "LINE" else None,
            parent=row.get("ParentId"),
        )
        for row in answer["TextDetections"]
    ]


def _box(box: dict[str, float]) -> Box:
    return Box(box["Left"], box["Top"], box["Left"] + box["Width"], box["Top"] + box["Height"])
