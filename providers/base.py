"""What every provider speaks: a picture in, detections out.

A provider knows nothing of grids and thresholds. It is asked about one picture, answers with what
it sees in it, and tells the world beforehand what it can be asked (`About`). Each lives in a file
of its own named after its `kind`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol, runtime_checkable

from PIL import Image

from providers.call_limits import Calls
from providers.detection import Detection, Task, Vocabulary
from providers.prices import Price


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
    """What an API takes: bytes of one picture, its sides and pixels, and its formats in Pillow's
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
    """How many detections an answer holds at most, however many more there are on the picture, and
    whosever photos are on it: words of TEXT, persons of EQUIPMENT, and of the other tasks whatever
    the answer consists of."""
    applies_exif: bool = False
    """True where JPEGs are turned upright by their EXIF before they are looked at."""
    vocabulary: Vocabulary = ""
    """Whose names its labels are; they are translated for clients who expect another's."""

    def price_of(self, task: Task, wanted: Sequence[str] = ()) -> Price:
        """What a picture costs that is asked about for that task; of EXTRAS all that is wanted,
        each of it once."""
        if task != Task.EXTRAS:
            return self.prices.get(task, self.price)
        return Price.together(
            [self.extras.get(name, self.price) for name in dict.fromkeys(map(feature, wanted))]
        )

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
    """The vendor's name of what an item of `wanted` asks for, without the options behind its
    "?"."""
    return item.partition("?")[0]


class Provider(Protocol):
    """Answers one picture."""

    @property
    def about(self) -> About: ...

    async def detect(
        self, picture: Picture, task: Task, wanted: Sequence[str] = ()
    ) -> Sequence[Detection]:
        """All that is seen, in any order; boxes are fractions of the picture and may reach outside
        it.

        `wanted` is for EXTRAS: the vendor's own names of what to say. Of each comes one detection
        with that name for its label, the box WHOLE, and the vendor's own words, as JSON has them,
        for `details`.

        Raises one of the `ProviderError`s and nothing else.
        """
        ...

    async def ready(self) -> None:
        """Returns if the provider could be asked now, without asking anything that is billed; else
        raises."""
        ...

    async def close(self) -> None:
        """Gives back what the provider holds."""
        ...


@dataclass(frozen=True, slots=True)
class ForwardCall:
    """A client's whole call, as the vendor is to get it.

    `target` is what the vendor calls it: an operation of Rekognition's ("CompareFaces"), a path of
    Google's ("/v1/files:annotate") or what stands behind `/computervision/` in Azure's
    ("imageanalysis:analyze").
    """

    target: str
    body: bytes = b""
    method: str = "POST"
    query: Sequence[tuple[str, str]] = ()
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class ForwardReply:
    """What the vendor answered, be it an error; `headers` are those that clients go by, in lower
    case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@runtime_checkable
class Forwarder(Protocol):
    """A provider that can hand a client's call on to its vendor."""

    async def forward(self, call: ForwardCall) -> ForwardReply:
        """The vendor's answer to the call, sent once with the gateway's credentials in place of the
        client's.

        Raises PictureRefused where the target is none of the vendor's, and NoAnswer or Unavailable
        where no answer came; what the vendor itself refuses is an answer.
        """
        ...
