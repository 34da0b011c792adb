"""Kind `gateway`: another of these gateways, through its own API (`POST /v1/detect`, docs/api.md).

It keeps the bill, and its own shapes are asked for only where the operator says so: what comes from
here is a canvas already, and gridded again its photos would be too small to see.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

import msgspec
from msgspec import Meta, Struct
from PIL import ExifTags, Image
from pydantic import Field, SecretStr, field_validator

from providers.base import About, Limits, Picture, Provider
from providers.detection import Box, Detection, Landmark, Task
from providers.errors import NoAnswer, PictureRefused, ProviderError, Unavailable
from providers.options import Options as ProviderOptions
from providers.prices import Price
from providers.remote.http import GREET_S, HttpAnswer, HttpProvider, refusal

LIMITS = Limits(
    formats=frozenset({"JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"}),
    turned=frozenset({"JPEG", "PNG", "WEBP"}),
)
MOST_BYTES = 8 * 1024 * 1024
"""Of an answer: a page of ten thousand words."""
LONGEST_DEADLINE_MS = 600_000
SPARE = 0.9
"""Of the time-out is the other's deadline, so that its own word for being late arrives."""

OF_THE_PICTURE = frozenset(
    {
        "empty_photo",
        "photo_too_large",
        "invalid_format",
        "invalid_dimensions",
        "invalid_photo",
        "not_fetched",
    }
)
PERHAPS_BILLED = frozenset(
    {"billed_unknown", "upstream_failed", "deadline_exceeded", "dead_letter", "internal"}
)
"""What the other says after it has asked, or may have: whether it was billed only its own ledger
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
    def _not_extras(cls, tasks: tuple[Task, ...]) -> tuple[Task, ...]:
        if Task.EXTRAS in tasks:
            raise ValueError(
                "extras are a vendor's own; the gateways' API has none, so name other tasks"
            )
        return tasks


class _Box(Struct):
    x0: float
    y0: float
    x1: float
    y1: float


class _Landmark(Struct):
    name: str
    x: float
    y: float
    z: float = 0.0


class _Found(Struct):
    label: str
    score: Annotated[float, Meta(ge=0, le=1)]
    box: _Box
    kind: str = ""
    polygon: list[tuple[float, float]] = []
    key: int | None = None
    parent: int | None = None
    landmarks: list[_Landmark] = []
    details: dict[str, Any] = {}


class _Photo(Struct):
    detections: list[_Found]


class _Said(Struct):
    photos: Annotated[list[_Photo], Meta(min_length=1, max_length=1)]


class _Problem(Struct):
    code: str = ""
    message: str = ""


class _Failure(Struct):
    error: _Problem


def create(name: str, options: Options, folder: Path) -> Provider:
    return GatewayProvider(name, options)


class GatewayProvider(HttpProvider):
    """Holds what every provider over HTTP holds."""

    def __init__(
        self, name: str, options: Options, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        about = About(
            name,
            options.kind,
            frozenset(options.tasks),
            limits=LIMITS,
            price=options.usd_per_image or Price(),
            canvas_px=options.canvas,
            concurrency=options.concurrency,
            calls=options.calls,
            applies_exif=True,
            vocabulary="" if options.vocabulary == "none" else options.vocabulary,
        )
        key = {"Authorization": f"Bearer {options.key.get_secret_value()}"} if options.key else {}
        super().__init__(about, options.endpoint, options.timeout_ms, headers=key, clock=clock)
        self._quality = options.quality
        self._deadline_ms = min(max(int(options.timeout_ms * SPARE), 1), LONGEST_DEADLINE_MS)

    def call(self, picture: Picture, task: Task, wanted: Sequence[str] = ()) -> Sequence[Detection]:
        query = {"task": task.value, "quality": self._quality, "deadline_ms": self._deadline_ms}
        headers = {
            "Content-Type": "application/octet-stream",
            "X-Imgrid-Hops": str(picture.hops + 1),
        }
        answer = self.exchange(
            "POST",
            f"/v1/detect?{urlencode(query)}",
            content=_unturned(picture.data),
            headers=headers,
            most_bytes=MOST_BYTES,
        )
        if answer.status != 200:
            raise _translated(answer)
        try:
            (photo,) = msgspec.json.decode(answer.body, type=_Said).photos
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise NoAnswer(
                f"an answer that is not a gateway's, and may be billed: {error}"
            ) from error
        return [_detection(found) for found in photo.detections]

    def greet(self) -> None:
        """What stands in front of it may let only its API through: that there is no /readyz is no
        fault."""
        try:
            answer = self.exchange("GET", "/readyz", timeout_s=GREET_S)
        except NoAnswer as error:  # a greeting is never billed
            raise Unavailable(str(error)) from error
        if answer.status not in (200, 401, 403, 404):
            raise Unavailable(
                f"the gateway is not ready ({answer.status}): {answer.body[:300].decode(errors='replace')}"
            )


def _translated(answer: HttpAnswer) -> ProviderError:
    """By the code of the gateway's error, or by the status where something in between answered."""
    try:
        problem = msgspec.json.decode(answer.body, type=_Failure).error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        problem = _Problem("", answer.body.decode(errors="replace"))
    message = f"{problem.code} {problem.message}".strip()
    if problem.code in OF_THE_PICTURE or (answer.status == 413 and not problem.code):
        return PictureRefused(message)
    if problem.code in PERHAPS_BILLED:
        return NoAnswer(message)
    return refusal(answer, message)


def _detection(found: _Found) -> Detection:
    box = found.box
    landmarks = tuple(Landmark(mark.name, mark.x, mark.y, mark.z) for mark in found.landmarks)
    return Detection(
        found.label,
        found.score,
        Box(box.x0, box.y0, box.x1, box.y1),
        found.kind,
        tuple(found.polygon),
        found.key,
        found.parent,
        found.details,
        landmarks,
    )


def _unturned(data: bytes) -> bytes:
    """The picture, where it is a PNG or WebP without the EXIF by which the other gateway would turn
    it: they come here only from clients whose API does not turn them."""
    if not data.startswith((b"\x89PNG", b"RIFF")):
        return data
    try:
        with Image.open(BytesIO(data), formats=("PNG", "WEBP")) as image:
            if "exif" not in image.info or image.getexif().get(
                ExifTags.Base.Orientation, 1
            ) not in range(2, 9):
                return data
            out = BytesIO()
            image.save(out, "PNG", exif=b"")
            return out.getvalue()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise PictureRefused(
            f"these {len(data)} bytes cannot be decoded as a picture: {error}"
        ) from error
