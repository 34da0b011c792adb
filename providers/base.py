"""What every provider speaks: a picture in, detections out.

A provider knows nothing of grids and thresholds. It is asked about one picture, answers with what it sees in it, and
tells the world beforehand what it can be asked (`About`). Each lives in a file of its own named after its `kind`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Annotated, Any, Literal, NamedTuple, Protocol, runtime_checkable

from PIL import Image
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from providers._calls import BreakerOptions as BreakerOptions
from providers._calls import Calls as Calls
from providers._prices import Price as Price
from providers._prices import PriceList as PriceList
from providers._prices import Tier as Tier


class Task(StrEnum):
    """What can be asked about a photo.

    Those of `BOXED` answer with boxes, which can be taken apart by photo. LABELS and MODERATION judge a whole picture:
    a canvas can only be cleared of what was not seen on it, and what was is asked about in smaller groups. EXTRAS is
    what a vendor alone can say, named one by one as `wanted`: always about one photo, and handed on as it came.
    """

    OBJECTS = "objects"
    FACES = "faces"
    TEXT = "text"
    PEOPLE = "people"
    LOGOS = "logos"
    CELEBRITIES = "celebrities"
    EQUIPMENT = "equipment"
    LABELS = "labels"
    MODERATION = "moderation"
    EXTRAS = "extras"


BOXED = frozenset(Task) - {Task.LABELS, Task.MODERATION, Task.EXTRAS}


Vocabulary = Literal["", "coco", "rekognition", "google", "azure"]
"""Whose names labels are; "": unknown."""


class Box(NamedTuple):
    """Corners as fractions of a picture's width and height, origin at the top left."""

    x0: float
    y0: float
    x1: float
    y1: float

    @property
    def area(self) -> float:
        """Share of the picture, 0 for an empty box."""
        return max(self.x1 - self.x0, 0.0) * max(self.y1 - self.y0, 0.0)

    @property
    def midpoint(self) -> tuple[float, float]:
        return (self.x0 + self.x1) / 2, (self.y0 + self.y1) / 2

    def clip(self) -> Box:
        """The part of the box that lies inside the picture; its area is 0 where none does."""
        return Box(*(min(max(side, 0.0), 1.0) for side in self))


WHOLE = Box(0.0, 0.0, 1.0, 1.0)
"""The box of what is true of a picture and lies nowhere on it."""


class Landmark(NamedTuple):
    """A named point, such as an eye's: fractions of a picture; `z` is a depth in the unit of `x`."""

    name: str
    x: float
    y: float
    z: float = 0.0


@dataclass(frozen=True, slots=True)
class Detection:
    """One thing seen: for text the label is what was read.

    `key` and `parent` tie parts to a whole: a word's `parent` is the `key` of its line, a helmet's that of who wears
    it. `details` is whatever else the provider said of it, kept for dialects that can pass it on; nothing in it is a
    place on the picture, for it is not mapped from canvas to photo.
    """

    label: str
    score: float
    box: Box
    kind: str = ""
    polygon: tuple[tuple[float, float], ...] = ()
    key: int | None = None
    parent: int | None = None
    details: Mapping[str, Any] = field(default_factory=dict)  # Python 3.11 takes no mapping as a default
    landmarks: tuple[Landmark, ...] = ()


@dataclass(frozen=True, slots=True)
class Picture:
    """What a provider is asked about: encoded bytes or RGB pixels, as its `About.wants` says.

    `hops` is how many gateways asked another about it before this one did.
    """

    width_px: int
    height_px: int
    data: bytes = b""
    pixels: Image.Image | None = None
    hops: int = 0


@dataclass(frozen=True, slots=True)
class Limits:
    """What an API takes: bytes of one picture, its sides and pixels, and its formats in Pillow's names.

    `turned` are the formats whose EXIF orientation counts. TIFF is never among them: its orientation is part of the
    format, and decoding applies it.
    """

    max_bytes: int = 20 * 1024 * 1024
    min_side_px: int = 1
    max_side_px: int = 16_000
    max_pixels: int = 50_000_000
    formats: frozenset[str] = frozenset({"JPEG", "PNG"})
    turned: frozenset[str] = frozenset({"JPEG"})


@dataclass(frozen=True, slots=True)
class About:
    """What can be said of a provider before it is asked."""

    name: str
    kind: str
    tasks: frozenset[Task]
    wants: Literal["bytes", "pixels"] = "bytes"
    limits: Limits = Limits()
    price: Price = Price()
    prices: Mapping[Task, Price] = field(default_factory=dict)
    """Of the tasks that cost something else than `price`."""
    extras: Mapping[str, Price] = field(default_factory=dict)
    """What EXTRAS can say, by the vendor's own names, and what each of it costs."""
    own_limits: Mapping[Task, Limits] = field(default_factory=dict)
    """Of the tasks that take something else than `limits`."""
    canvas_px: tuple[int, int] = (1280, 1280)
    concurrency: int = 8
    calls: Calls = Calls()
    most: Mapping[Task, int] = field(default_factory=dict)
    """How many detections an answer holds at most, however many more there are on the picture, and whosever photos are
    on it: words of TEXT, persons of EQUIPMENT, and of the other tasks whatever the answer consists of."""
    applies_exif: bool = False
    """True where JPEGs are turned upright by their EXIF before they are looked at."""
    vocabulary: Vocabulary = ""
    """Whose names its labels are; they are translated for clients who expect another's."""

    def price_of(self, task: Task, wanted: Sequence[str] = ()) -> Price:
        """What a picture costs that is asked about for that task; of EXTRAS all that is wanted, each of it once."""
        if task != Task.EXTRAS:
            return self.prices.get(task, self.price)
        return Price.together([self.extras.get(name, self.price) for name in dict.fromkeys(map(feature, wanted))])

    def limits_of(self, task: Task) -> Limits:
        """What may be sent for that task."""
        return self.own_limits.get(task, self.limits)

    def for_task(self, task: Task) -> About:
        """The same as it is for that task alone: with its limits, and canvases within them."""
        if task not in self.own_limits:
            return self
        limits = self.own_limits[task]
        width, height = (min(side, limits.max_side_px) for side in self.canvas_px)
        return replace(self, limits=limits, own_limits={}, canvas_px=(width, height))


def feature(item: str) -> str:
    """The vendor's name of what an item of `wanted` asks for, without the options behind its "?"."""
    return item.partition("?")[0]


class Provider(Protocol):
    """Answers one picture."""

    @property
    def about(self) -> About: ...

    async def detect(self, picture: Picture, task: Task, wanted: Sequence[str] = ()) -> Sequence[Detection]:
        """All that is seen, in any order; boxes are fractions of the picture and may reach outside it.

        `wanted` is for EXTRAS: the vendor's own names of what to say. Of each comes one detection with that name for
        its label, the box WHOLE, and the vendor's own words, as JSON has them, for `details`.

        Raises one of the `ProviderError`s and nothing else.
        """
        ...

    async def ready(self) -> None:
        """Returns if the provider could be asked now, without asking anything that is billed; else raises."""
        ...

    async def close(self) -> None:
        """Gives back what the provider holds."""
        ...


@dataclass(frozen=True, slots=True)
class Call:
    """A client's whole call, as the vendor is to get it.

    `target` is what the vendor calls it: an operation of Rekognition's ("CompareFaces"), a path of Google's
    ("/v1/files:annotate") or what stands behind `/computervision/` in Azure's ("imageanalysis:analyze").
    """

    target: str
    body: bytes = b""
    method: str = "POST"
    query: Sequence[tuple[str, str]] = ()
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Forwarded:
    """What the vendor answered, be it an error; `headers` are those that clients go by, in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@runtime_checkable
class Forwarder(Protocol):
    """A provider that can hand a client's call on to its vendor."""

    async def forward(self, call: Call) -> Forwarded:
        """The vendor's answer to the call, sent once with the gateway's credentials in place of the client's.

        Raises PictureRefused where the target is none of the vendor's, and NoAnswer or Unavailable where no answer
        came; what the vendor itself refuses is an answer.
        """
        ...


class ProviderError(Exception):
    """Something went wrong upstream. Nothing was billed unless a subclass says otherwise."""


class PictureRefused(ProviderError):
    """The provider will not look at this picture, now or later; another picture may pass."""


class Throttled(ProviderError):
    """Too many requests; `retry_after_s` where the provider said how long to wait."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Unavailable(ProviderError):
    """A passing fault: an internal error, no connection."""


class NoAnswer(ProviderError):
    """The request was sent and no answer came in time: it may or may not have been billed."""


class Misconfigured(ProviderError):
    """The provider will refuse every picture until somebody changes something: credentials, permissions, a file."""


class Canvas(NamedTuple):
    """Sides of the largest picture worth sending, in pixels."""

    width_px: int
    height_px: int


def parse_size(value: object) -> Canvas:
    """`"640x480"` (width x height) or a pair, as a `Canvas`. Raises ValueError with the form expected."""
    parts = value.lower().split("x") if isinstance(value, str) else value
    try:
        width, height = (int(part) for part in parts)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        raise ValueError(f"{value!r} is no size; write width x height in pixels, such as 1280x1280") from None
    return Canvas(width, height)


def _sane_canvas(canvas: Canvas) -> Canvas:
    if not (min(canvas) >= 80 and max(canvas) <= 8192):
        raise ValueError("each side must be between 80 and 8192 pixels")
    return canvas


CanvasSize = Annotated[
    Canvas,
    BeforeValidator(parse_size),
    AfterValidator(_sane_canvas),
    PlainSerializer(lambda canvas: f"{canvas[0]}x{canvas[1]}"),
]


class Options(BaseModel):
    """The settings every provider has; a provider's own `Options` adds to them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str
    canvas: CanvasSize = Field(Canvas(1280, 1280), description="largest picture sent, width x height in pixels")
    concurrency: int = Field(8, ge=1, le=256, description="pictures asked about at the same time")
    timeout_ms: int = Field(20_000, ge=10, description="how long one call may take")
    rate_per_s: float | None = Field(None, gt=0, description="calls a second; more of them wait for their turn")
    breaker: BreakerOptions | None = BreakerOptions()
    usd_per_image: PriceList | None = Field(
        None, description="overrides the list price; one, or by the number of images a month from which it counts"
    )

    @property
    def calls(self) -> Calls:
        return Calls(self.rate_per_s, self.breaker)
