"""Values that travel through the gateway. All are frozen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from gateway.core.errors import GatewayError
from providers.detection import Detection, Task
from thresholds.cascade import Cascade
from thresholds.shape import ALONE, Shape
from thresholds.variants import TARGET, ladder, variants

Quality = Literal["exact", "target", "cheapest"]
"""What a client may ask for: its photo alone, what the route promises, or no second question that
is paid for."""


Labels = Literal["alone", "boxes", "listed"]
"""How labels of a whole photo are come by: each photo asked about alone; those of its boxes, by the
route for objects; or in groups, for clients that ask about a list of labels only."""


@dataclass(frozen=True, slots=True)
class Tenant:
    """Who asks. Photos of one `pool` may share a canvas; a pool of its own keeps a tenant's photos
    to itself."""

    name: str
    pool: str


@dataclass(frozen=True, slots=True)
class Fallback:
    """Who is asked in the place of a route's provider, after which of its faults (names in
    `core.fault_names`)."""

    provider: str
    on: frozenset[str]


@dataclass(frozen=True, slots=True)
class Route:
    """How one task is served, to whom. `companion` names a free provider that sees every photo
    whole, at stage 0.

    `levels` are the variants of the cascade that the route tightens by, in turn; the first is the
    cascade itself.
    """

    name: str
    task: Task
    provider: str
    cascade: Cascade
    max_wait_s: float = 0.15
    deadline_s: float = 30.0
    tenants: frozenset[str] = frozenset()
    """Whom the route is for; nobody named means everybody."""
    companion: str = ""
    kind: str = ""
    """The kind of its provider."""
    operations: frozenset[str] = frozenset()
    """Calls that clients may have handed on to its provider whole, by name."""
    fallback: Fallback | None = None
    labels: Labels = "alone"
    """Of the task LABELS."""
    variants: Mapping[str, Cascade] = field(init=False, repr=False, compare=False)
    levels: tuple[str, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "variants", variants(self.cascade, self.provider, self.companion))
        object.__setattr__(self, "levels", ladder(self.cascade, self.provider, self.companion))

    def variant(self, name: str) -> Cascade:
        """The cascade of that name; the route's own where there is none, as for photos that an
        older one left."""
        return self.variants.get(name, self.cascade)

    @property
    def positive(self) -> float | None:
        """Where photos are cleared in groups, the score from which on what a photo alone shows is
        promised to be found: a client that asks for less is to be asked for exactly. None where
        each photo has its own answer."""
        return self.cascade.positive

    def in_groups(self, only_labels: Sequence[str]) -> bool:
        """Whether photos whose client asks about `only_labels` may be cleared together. A route for
        labels clears photos only of labels that are named."""
        return bool(self.cascade.groups) and (self.task != Task.LABELS or bool(only_labels))


class Way(NamedTuple):
    """How one task of a photo is served: its route, the variant of the route's cascade, and what
    the client asks for, as in `Entry`."""

    route: Route
    variant: str = TARGET
    extras: tuple[str, ...] = ()
    only_labels: tuple[str, ...] = ()


def concerning(detections: Sequence[Detection], only_labels: Sequence[str]) -> list[Detection]:
    """The detections whose label is among `only_labels`, in any case; all of them where no label is
    named."""
    labels = {label.casefold() for label in only_labels}
    return [
        detection for detection in detections if not labels or detection.label.casefold() in labels
    ]


class Size(NamedTuple):
    width_px: int
    height_px: int

    @property
    def portrait(self) -> bool:
        return self.height_px > self.width_px


@dataclass(frozen=True, slots=True)
class Photo:
    """One client image. `size` is upright: after its EXIF `orientation` (1 to 8) is applied. `hops`
    is how many gateways it came through before this one."""

    id: str
    data: bytes = field(repr=False)
    format: str
    size: Size
    orientation: int = 1
    hops: int = 0

    @property
    def pixels(self) -> int:
        return self.size.width_px * self.size.height_px

    @property
    def payload(self) -> bytes:
        """The bytes that a buffer holds of the photo."""
        return self.data


@dataclass(frozen=True, slots=True)
class RemotePhoto:
    """A photo of a job that is still to be fetched from its URL."""

    id: str
    url: str

    @property
    def pixels(self) -> int:
        """No pixels: a URL takes no room among the decoded photos."""
        return 0

    @property
    def payload(self) -> bytes:
        """The bytes that a buffer holds of the photo: its URL."""
        return self.url.encode()


class Lane(NamedTuple):
    """Photos of one lane may share a canvas."""

    provider: str
    task: Task
    pool: str
    shape: Shape


FETCH = "fetch"
"""The name under which fetch lanes stand beside the providers, in buffers and in the packer."""


class FetchLane(NamedTuple):
    """Remote photos of one task and pool. Each is fetched by itself."""

    task: Task
    pool: str

    @property
    def provider(self) -> str:
        return FETCH

    @property
    def shape(self) -> Shape:
        return ALONE


BufferLane = Lane | FetchLane


@dataclass(frozen=True, slots=True)
class Step:
    """One question that was asked about a photo, and what came of it."""

    stage: int
    provider: str
    canvas: str
    shape: Shape
    photos: int
    calls: int
    waited_s: float
    composed_s: float
    asked_s: float
    detections: tuple[Detection, ...]
    reason: str = ""
    free: bool = False
    """Asked of the route's companion: nobody is billed."""
    owes: float | None = None
    """The photo's part of the canvas's bill, in images, where it is not as large as the others'."""
    fallback: bool = False
    """Asked in the place of the stage's provider, which could not answer."""

    @property
    def share(self) -> float:
        """The photo's part of the canvas's bill, in images."""
        if self.free:
            return 0.0
        return 1 / self.photos if self.owes is None else self.owes


@dataclass(frozen=True, slots=True)
class BufferEntry:
    """What a buffer holds of one photo: either an `Entry` or a `FetchEntry`.

    Times are seconds of the buffer's clock. `put_at` is when the photo came into its lane, `due_at`
    when it no longer waits for company, and `deadline_at` when its client no longer waits for an
    answer. A photo of a job names the job and its `index` there. The gateway itself asks about a
    `watched` photo, which counts as no client's. For any other photo a client waits now. `variant`
    names a variant of the route's cascade. `turn` counts the claims of the photo: the holder of an
    earlier turn has lost the photo to another.
    """

    photo: Photo | RemotePhoto
    route: str
    tenant: str
    lane: BufferLane
    accepted_at: float
    put_at: float
    due_at: float
    deadline_at: float
    stage: int = 0
    steps: tuple[Step, ...] = ()
    job: str = ""
    index: int = 0
    turn: int = 0
    variant: str = TARGET
    watched: bool = False
    extras: tuple[str, ...] = ()
    """For the task EXTRAS: the vendor's names of the features that the client asks for."""
    only_labels: tuple[str, ...] = ()
    """The only labels that the client asks about; empty for all."""

    @property
    def patient(self) -> bool:
        """Whether photos of waiting clients go first."""
        return bool(self.job) or self.watched


@dataclass(frozen=True, slots=True)
class Entry(BufferEntry):
    """A photo that waits to be asked about, with the steps it has behind it."""

    photo: Photo
    lane: Lane


@dataclass(frozen=True, slots=True)
class FetchEntry(BufferEntry):
    """A photo of a job that waits to be fetched. No step was made for it yet."""

    photo: RemotePhoto
    lane: FetchLane

    def photo_entry(self, photo: Photo, lane: Lane, *, put_at: float, due_at: float) -> Entry:
        """The entry of the fetched photo, which waits in this lane from `put_at` on."""
        return Entry(
            photo=photo,
            route=self.route,
            tenant=self.tenant,
            lane=lane,
            accepted_at=self.accepted_at,
            put_at=put_at,
            due_at=due_at,
            deadline_at=self.deadline_at,
            job=self.job,
            index=self.index,
            turn=self.turn,
            variant=self.variant,
            extras=self.extras,
            only_labels=self.only_labels,
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a photo: detections as fractions of it, or an error."""

    photo: Photo | None
    detections: tuple[Detection, ...] = ()
    steps: tuple[Step, ...] = ()
    error: GatewayError | None = None

    @property
    def share(self) -> float:
        return sum(step.share for step in self.steps)

    @property
    def fell_back(self) -> bool:
        """Whether it is another provider's answer than the route's stages ask for."""
        return any(step.fallback for step in self.steps)


SIDEWAYS = frozenset({5, 6, 7, 8})
"""EXIF orientations whose width and height change places."""
