"""The contract of providers: a picture in, detections out.

A provider knows nothing of grids and thresholds. It gets one picture and returns what it detects.
Before any call, its `About` says what it can be asked. Each lives in a module or folder named after
its `kind`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol, runtime_checkable

from PIL import Image

from providers.call_limits import CallLimits
from providers.detection import Detection, Task, Vocabulary
from providers.prices import Price

Draw = Callable[[tuple[int, int]], Image.Image]
"""Draws a picture as RGB pixels for a provider that sees it in that width and height: in that size,
or in its own proportions where it is not twice as large. It may be called in any thread. Raises
PictureRefused where the picture cannot be decoded."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture for a provider: encoded bytes, RGB pixels, or what draws them, as its
    `About.wants` says.

    `hops` counts the gateways that the request has come through. `traceparent` is the W3C trace
    context for the provider's own spans, empty where there is none.
    """

    width_px: int
    height_px: int
    data: bytes = b""
    pixels: Image.Image | None = None
    draw: Draw | None = None
    hops: int = 0
    traceparent: str = ""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.width_px, self.height_px


@dataclass(frozen=True, slots=True)
class Limits:
    """The pictures an API accepts: their bytes, sides and pixels, and their formats in Pillow's
    names.

    `turned` are the formats whose EXIF orientation counts. TIFF is never among them: its
    orientation is part of the format, and decoding applies it.
    """

    max_bytes: int = 20 * 1024 * 1024
    min_side_px: int = 1
    max_side_px: int = 16_000
    max_pixels: int = 50_000_000
    formats: frozenset[str] = frozenset({"JPEG", "PNG"})
    turned: frozenset[str] = frozenset({"JPEG"})


@dataclass(frozen=True, slots=True)
class About:
    """The properties of a provider, known before it is asked."""

    name: str
    kind: str
    tasks: frozenset[Task]
    wants: Literal["bytes", "pixels", "drawing"] = "bytes"
    """drawing: the pixels of a canvas, and of a photo alone what draws it, so that it is decoded in
    the thread that looks at it, and once only, in the size that the provider sees."""
    limits: Limits = Limits()
    price: Price = Price()
    prices: Mapping[Task, Price] = field(default_factory=dict)
    """Prices of the tasks that do not cost `price`."""
    extras: Mapping[str, Price] = field(default_factory=dict)
    """The features that EXTRAS can name, in the vendor's words, and the price of each."""
    own_limits: Mapping[Task, Limits] = field(default_factory=dict)
    """Limits of the tasks to which `limits` does not apply."""
    canvas_px: tuple[int, int] = (1280, 1280)
    concurrency: int = 8
    calls: CallLimits = CallLimits()
    most: Mapping[Task, int] = field(default_factory=dict)
    """The most detections that one answer can hold, for all photos on the picture together: words
    of TEXT, persons of EQUIPMENT, and whatever an answer consists of for other tasks."""
    in_process: bool = False
    """True if the provider computes in this process: a call ends with it, and is billed by nobody
    else."""
    applies_exif: bool = False
    """True if the provider turns JPEGs upright by their EXIF before it looks at them."""
    vocabulary: Vocabulary = ""
    """The vocabulary of the labels. They are translated for clients of another vendor's API."""
    labels: tuple[str, ...] = ()
    """The labels by class id, where they are known; "" for a class that is never reported."""

    def price_of(self, task: Task, extras: Sequence[str] = ()) -> Price:
        """The price of one picture for a task. For EXTRAS, the prices of all features in `extras`
        are added; each feature counts once."""
        if task != Task.EXTRAS:
            return self.prices.get(task, self.price)
        names = dict.fromkeys(map(feature_name, extras))
        return Price.total([self.extras.get(name, self.price) for name in names])

    def limits_of(self, task: Task) -> Limits:
        """The limits of pictures for a task."""
        return self.own_limits.get(task, self.limits)

    def for_task(self, task: Task) -> About:
        """These properties narrowed to one task: its limits, and a canvas size within them."""
        if task not in self.own_limits:
            return self
        limits = self.own_limits[task]
        width, height = (min(side, limits.max_side_px) for side in self.canvas_px)
        return replace(self, limits=limits, own_limits={}, canvas_px=(width, height))


def feature_name(item: str) -> str:
    """The vendor's name of the feature that an item of `extras` asks for, without the options
    behind "?"."""
    return item.partition("?")[0]


class Provider(Protocol):
    """Answers one picture at a time; calls may overlap."""

    @property
    def about(self) -> About: ...

    async def detect(
        self, picture: Picture, task: Task, extras: Sequence[str] = ()
    ) -> Sequence[Detection]:
        """All detections, in any order. Boxes are fractions of the picture and may reach outside
        it.

        `extras` is for EXTRAS: the features to return, by the vendor's names. Each gives one
        detection, with the feature's name as label, the box WHOLE, and the vendor's JSON in
        `details`.

        Raises a `ProviderError` and nothing else.
        """
        ...

    async def ready(self) -> None:
        """Returns if the provider could be asked now, else raises a `ProviderError`. It makes no
        billed call."""
        ...

    async def close(self) -> None:
        """Releases threads and connections. May be called again."""
        ...


@dataclass(frozen=True, slots=True)
class ForwardCall:
    """A client's whole call, to be forwarded to the vendor.

    `target` is the vendor's name of the call: an operation of Rekognition ("CompareFaces"), a path
    of Google's ("/v1/files:annotate"), or the part after `/computervision/` of Azure's
    ("imageanalysis:analyze").
    """

    target: str
    body: bytes = b""
    method: str = "POST"
    query: Sequence[tuple[str, str]] = ()
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class ForwardReply:
    """The vendor's response, errors included. `headers` are those that clients use, in lower
    case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@runtime_checkable
class Forwarder(Protocol):
    """A provider that can forward a client's call to its vendor."""

    async def forward(self, call: ForwardCall) -> ForwardReply:
        """The vendor's response to the call, sent once with the gateway's credentials in place of
        the client's.

        A refusal by the vendor is a response too. Raises PictureRefused if the vendor has no such
        target, and NoAnswer or Unavailable if no response came.
        """
        ...
