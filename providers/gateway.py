"""Kind `gateway`: another of these gateways, through its own API (`POST /v1/detect`, docs/api.md).

The other gateway keeps the ledger. By default it answers each picture alone: a picture from here is
a canvas already, and in another grid its photos would be too small to recognise.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

import msgspec
from msgspec import Meta, Struct
from PIL import ExifTags, Image
from pydantic import Field, SecretStr, field_validator

from providers.base import Limits, Picture, Provider
from providers.border import readable
from providers.detection import Box, Detection, Landmark, Task
from providers.errors import NoAnswer, PictureRefused, ProviderError, Unavailable
from providers.options import Options as ProviderOptions
from providers.options import about_of
from providers.remote.http import READY_TIMEOUT_S, HttpProvider, HttpResponse, response_error

LIMITS = Limits(
    formats=frozenset({"JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"}),
    turned=frozenset({"JPEG", "PNG", "WEBP"}),
)
MAX_ANSWER_BYTES = 8 * 1024 * 1024
"""A page of ten thousand words."""
MAX_DEADLINE_MS = 600_000
DEADLINE_SHARE = 0.9
"""The other gateway's deadline as a share of the timeout, so that its own error for a late answer
still arrives."""

PICTURE_CODES = frozenset(
    {
        "empty_photo",
        "photo_too_large",
        "invalid_format",
        "invalid_dimensions",
        "invalid_photo",
        "not_fetched",
    }
)
PERHAPS_BILLED_CODES = frozenset(
    {"billed_unknown", "upstream_failed", "deadline_exceeded", "dead_letter", "internal"}
)
"""Error codes after which the picture may have been billed: only the other gateway's ledger
knows."""


class Options(ProviderOptions):
    """Settings of kind `gateway`."""

    endpoint: str = Field(
        pattern=r"^https?://", description="where it listens, such as http://imgrid:8080"
    )
    key: SecretStr | None = Field(
        None, description="a native key of a tenant there; without one it must be open"
    )
    tasks: tuple[Task, ...] = Field(
        (Task.OBJECTS,), min_length=1, description="what it has routes for"
    )
    quality: Literal["exact", "target", "cheapest"] = Field(
        "exact",
        description="exact: each picture alone; else it may grid again what is a canvas already",
    )
    vocabulary: Literal["none", "coco", "rekognition", "google", "azure"] = Field(
        "none", description="whose names its labels are: its own API tells its providers' words"
    )

    @field_validator("tasks")
    @classmethod
    def _check_tasks(cls, tasks: tuple[Task, ...]) -> tuple[Task, ...]:
        if Task.EXTRAS in tasks:
            raise ValueError(
                "extras are a vendor's own; the gateways' API has none, so name other tasks"
            )
        return tasks


class _BoxJson(Struct):
    x0: float
    y0: float
    x1: float
    y1: float


class _LandmarkJson(Struct):
    name: str
    x: float
    y: float
    z: float = 0.0


class _DetectionJson(Struct):
    label: str
    score: Annotated[float, Meta(ge=0, le=1)]
    box: _BoxJson
    kind: str = ""
    polygon: list[tuple[float, float]] = []
    key: int | None = None
    parent: int | None = None
    landmarks: list[_LandmarkJson] = []
    details: dict[str, Any] = {}


class _PhotoJson(Struct):
    detections: list[msgspec.Raw]


class _AnswerJson(Struct):
    photos: Annotated[list[_PhotoJson], Meta(min_length=1, max_length=1)]


class _ErrorJson(Struct):
    code: str = ""
    message: str = ""


class _ErrorBodyJson(Struct):
    error: _ErrorJson


def create(name: str, options: Options, folder: Path) -> Provider:
    """The provider; the other gateway need not run yet."""
    return GatewayProvider(name, options)


class GatewayProvider(HttpProvider):
    """State: that of HttpProvider."""

    def __init__(
        self, name: str, options: Options, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        about = replace(
            about_of(name, options, frozenset(options.tasks)),
            limits=LIMITS,
            applies_exif=True,
            vocabulary="" if options.vocabulary == "none" else options.vocabulary,
        )
        key = {"Authorization": f"Bearer {options.key.get_secret_value()}"} if options.key else {}
        super().__init__(about, options.endpoint, options.timeout_ms, headers=key, clock=clock)
        self._quality = options.quality
        self._deadline_ms = min(max(int(options.timeout_ms * DEADLINE_SHARE), 1), MAX_DEADLINE_MS)

    def call(self, picture: Picture, task: Task, extras: Sequence[str] = ()) -> Sequence[Detection]:
        query: dict[str, str | int] = {
            "task": task.value,
            "quality": self._quality,
            "deadline_ms": self._deadline_ms,
            "min_score": 0,  # rules go by faint detections too
        }
        headers = {
            "Content-Type": "application/octet-stream",
            "X-Imgrid-Hops": str(picture.hops + 1),
        }
        if picture.traceparent:
            headers["traceparent"] = picture.traceparent
        response = self.request(
            "POST",
            f"/v1/detect?{urlencode(query)}",
            content=_without_orientation(picture.data),
            headers=headers,
            max_bytes=MAX_ANSWER_BYTES,
        )
        if response.status != 200:
            raise _error_of(response)
        try:
            (photo,) = msgspec.json.decode(response.body, type=_AnswerJson).photos
            return readable(photo.detections, _detection)
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise NoAnswer(
                f"an answer that is not a gateway's, and may be billed: {error}"
            ) from error

    def check_ready(self) -> None:
        """Returns if the other gateway is ready, or has no /readyz: a proxy in front of it may let
        only its API through."""
        try:
            response = self.request("GET", "/readyz", timeout_s=READY_TIMEOUT_S)
        except NoAnswer as error:  # this request is never billed
            raise Unavailable(str(error)) from error
        if response.status not in (200, 401, 403, 404):
            raise Unavailable(
                f"the gateway is not ready ({response.status}): "
                f"{response.body[:300].decode(errors='replace')}"
            )


def _error_of(response: HttpResponse) -> ProviderError:
    """The error by the gateway's code, or by the status if the response is a proxy's."""
    try:
        problem = msgspec.json.decode(response.body, type=_ErrorBodyJson).error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        problem = _ErrorJson("", response.body.decode(errors="replace"))
    message = f"{problem.code} {problem.message}".strip()
    if problem.code in PICTURE_CODES or (response.status == 413 and not problem.code):
        return PictureRefused(message)
    if problem.code in PERHAPS_BILLED_CODES:
        return NoAnswer(message)
    return response_error(response, message)


def _detection(raw: msgspec.Raw) -> Detection:
    """Raises ValueError where the JSON is no detection."""
    try:
        row = msgspec.json.decode(raw, type=_DetectionJson)
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from error
    box = row.box
    return Detection(
        row.label,
        row.score,
        Box(box.x0, box.y0, box.x1, box.y1),
        row.kind,
        tuple(row.polygon),
        row.key,
        row.parent,
        row.details,
        tuple(Landmark(mark.name, mark.x, mark.y, mark.z) for mark in row.landmarks),
    )


def _without_orientation(data: bytes) -> bytes:
    """The picture without the EXIF by which the other gateway would turn it, if it is a PNG or
    WebP: these come only from clients whose API does not turn them."""
    if not data.startswith((b"\x89PNG", b"RIFF")):
        return data
    try:
        with Image.open(BytesIO(data), formats=("PNG", "WEBP")) as image:
            if not _is_turned(image):
                return data
            buffer = BytesIO()
            image.save(buffer, "PNG", exif=b"")
            return buffer.getvalue()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise PictureRefused(
            f"these {len(data)} bytes cannot be decoded as a picture: {error}"
        ) from error


def _is_turned(image: Image.Image) -> bool:
    """Whether the EXIF asks for another orientation than upright, which is 1."""
    if "exif" not in image.info:
        return False
    return image.getexif().get(ExifTags.Base.Orientation, 1) in range(2, 9)
