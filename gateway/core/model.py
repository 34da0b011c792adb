"""The values that travel through the gateway: routes, photos, lanes, entries and outcomes. All are
frozen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Literal, NamedTuple

from gateway.core.errors import GatewayError
from gateway.core.origin import Origin
from providers.detection import Detection, Task
from thresholds.cascade import Cascade, Stage
from thresholds.made_with import Mismatch
from thresholds.shape import ALONE, Shape
from thresholds.variants import TARGET, ladder, variants

Quality = Literal["exact", "target", "cheapest"]
"""The quality that a client requests: `exact` for its photo alone, `target` for the promise of the
route, `cheapest` for at most one paid call a photo."""

Labels = Literal["alone", "boxes", "listed"]
"""How a route finds the labels of a whole photo: `alone` asks about each by itself, `boxes` takes
those of the route for objects, and `listed` tests groups for clients that list their labels."""


@dataclass(frozen=True, slots=True)
class Tenant:
    """An authenticated client. Photos of one `pool` may share a canvas; by default a tenant has a
    pool of its own. `key` is the name of the key that it showed, and `tags` are those of the
    request, such as `env=prod,team=search`: its accounts are kept by both. An operator is no client
    but sees the accounts of all."""

    name: str
    pool: str
    key: str = ""
    tags: str = ""
    is_operator: bool = False


@dataclass(frozen=True, slots=True)
class Fallback:
    """The provider that is asked in place of a route's own after certain faults, by their names in
    `core.fault_names`."""

    provider: str
    on: frozenset[str]


@dataclass(frozen=True, slots=True)
class CacheTerms:
    """How a route caches answers: for how long, within which Hamming distance of perceptual hashes
    two photos are near-duplicates (None: no two), and what answers depend on beside the photo."""

    ttl_s: float
    origin: Origin
    near_distance: int | None = None


PLAN_MARK = "#"
"""Between the pool and the digest in the name of a learned plan."""


@dataclass(frozen=True, slots=True)
class Route:
    """How one task is served, and to which tenants.

    Only its `tenants` may use it; all if empty. `kind` is the provider's; `labels` counts for the
    task LABELS. `companion` names a free provider that sees every photo alone, at stage 0.
    `variants` are those of the cascade by name. `plan` is the learned plan that the
    cascade is of, empty where it is as configured. `levels` names those through which the drift
    monitor tightens the route, in turn; the first is the cascade itself.
    """

    name: str
    task: Task
    provider: str
    cascade: Cascade
    max_wait_s: float = 0.15
    deadline_s: float = 30.0
    tenants: frozenset[str] = frozenset()
    companion: str = ""
    kind: str = ""
    operations: frozenset[str] = frozenset()
    """The calls that may be forwarded whole to the provider, by name."""
    fallback: Fallback | None = None
    labels: Labels = "alone"
    mismatches: list[Mismatch] = field(default_factory=list, compare=False)
    """Where the provider is another than the one that the cascade was made with. Those of another
    model take the place of earlier ones: `wiring.model_reloader`."""
    cache: CacheTerms | None = None
    """None where every photo is asked about."""
    looks: tuple[Stage, ...] = ()
    """What the gateway asks about for itself, to learn: each is a variant of that stage alone."""
    plan: str = ""
    plans: dict[str, Route] = field(default_factory=dict, repr=False, compare=False)
    """The route by each of its learned plans. `learning.lessons.Lessons` adds to it."""
    variants: Mapping[str, Cascade] = field(init=False, repr=False, compare=False)
    levels: tuple[str, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_name = variants(self.cascade, self.provider, self.companion, self.looks)
        object.__setattr__(self, "variants", by_name)
        levels = ladder(
            self.cascade, self.provider, self.companion, takes_near=self.takes_near(TARGET)
        )
        object.__setattr__(self, "levels", levels)

    @property
    def title(self) -> str:
        """The name, with the pool whose photos its plan was learned from."""
        return f"{self.name}/{self.plan.rpartition(PLAN_MARK)[0]}" if self.plan else self.name

    def variant(self, name: str) -> Cascade:
        """The variant of the cascade; the cascade itself where there is none of that name, as for
        photos from before a configuration changed."""
        return self.variants.get(name, self.cascade)

    def at(self, plan: str) -> Route:
        """The route by a learned plan; the route itself by none, or by one that is not known."""
        return self.plans.get(plan, self)

    def takes_near(self, variant: str) -> bool:
        """Whether a photo that goes by the variant may get a near-duplicate's answer. Only the
        drift monitor's first level does, so that tightening ends it."""
        is_near = self.cache is not None and self.cache.near_distance is not None
        return is_near and variant == TARGET

    @property
    def positive(self) -> float | None:
        """For routes that test groups: the lowest score whose recall is promised. A client that
        asks for lower scores needs the variant `exact`. None for all other routes."""
        return self.cascade.positive

    def in_groups(self, only_labels: Sequence[str]) -> bool:
        """Whether photos of a client that asks about `only_labels` are tested in groups. A route
        for labels needs a list of them for that."""
        return bool(self.cascade.groups) and (self.task != Task.LABELS or bool(only_labels))


class Way(NamedTuple):
    """How one task of a photo is served: its route, the variant of the route's cascade, and what
    the client asks for, as in `Entry`."""

    route: Route
    variant: str = TARGET
    extras: tuple[str, ...] = ()
    only_labels: tuple[str, ...] = ()


class Size(NamedTuple):
    """The sides of a picture."""

    width_px: int
    height_px: int

    @property
    def portrait(self) -> bool:
        return self.height_px > self.width_px


@dataclass(frozen=True, slots=True)
class Photo:
    """One client image. `size` is that of the upright photo, after its EXIF `orientation` (1 to 8)
    is applied. `hops` is the number of gateways that the photo passed before this one. A photo that
    `is_large` takes much memory to decode, however small it is drawn."""

    id: str
    data: bytes = field(repr=False)
    format: str
    size: Size
    orientation: int = 1
    hops: int = 0
    is_large: bool = False

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


LOOKUP = "(cache)"
"""The name of the provider in lanes of photos whose answer is looked up in the cache first."""

LARGE_POOL = " (large photos)"
"""The end of the names of pools for large photos. A pool's large photos share no canvas with its
others, which need not wait until they are decoded."""


class Lane(NamedTuple):
    """Photos of one lane may share a canvas."""

    provider: str
    task: Task
    pool: str
    shape: Shape

    @property
    def is_large(self) -> bool:
        """Whether its photos are large."""
        return self.pool.endswith(LARGE_POOL)

    @property
    def is_lookup(self) -> bool:
        """Whether its photos are looked up in the cache, and not asked about."""
        return self.provider == LOOKUP


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
"""Any lane of a buffer."""


@dataclass(frozen=True, slots=True)
class Step:
    """One call about a photo, and its result for the photo.

    `photos` is the number of photos on the canvas, `calls` the number of tries: 0 where the answer
    is that of an equal photo, from the cache. `waited_s`, `composed_s` and `asked_s` are the
    seconds in the lane, in the renderer and upstream. `detections` are fractions of the photo.
    `reason` is the verdict's, for people. `free`: the provider is the companion, which is not
    billed. `owes` is the photo's part of the bill, in images; None for equal parts. `fallback`: the
    route's fallback was asked in place of the stage's provider.
    """

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
    owes: float | None = None
    fallback: bool = False

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
    names a variant of the route's cascade, and `plan` the learned plan that this is of. `turn`
    counts the claims of the photo: the holder of an earlier turn has lost the photo to another.
    `extras` are, for the task EXTRAS, the vendor's names of the features that the client asks for;
    `only_labels` the only labels that it asks about, empty for all. `key` and `tags` are the
    tenant's. `traceparent` is its request's, empty where that is not traced.
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
    plan: str = ""
    watched: bool = False
    extras: tuple[str, ...] = ()
    only_labels: tuple[str, ...] = ()
    key: str = ""
    tags: str = ""
    traceparent: str = ""

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
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values |= {"photo": photo, "lane": lane, "put_at": put_at, "due_at": due_at}
        return Entry(**values)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a photo: detections as fractions of it, or an error. `photo` is None from a
    shared buffer, and for a photo that was not fetched."""

    photo: Photo | None
    detections: tuple[Detection, ...] = ()
    steps: tuple[Step, ...] = ()
    error: GatewayError | None = None

    @property
    def share(self) -> float:
        """The photo's part of the bills of all its canvases, in images."""
        return sum(step.share for step in self.steps)

    def alone(self, provider: str) -> Sequence[Detection] | None:
        """The provider's answer for the photo alone, where one of the steps asked for it; it need
        not be paid for twice. What another photo was answered, from the cache, does not count."""
        for step in self.steps:
            if step.calls and step.shape == ALONE and step.provider == provider:
                return step.detections
        return None

    @property
    def fell_back(self) -> bool:
        """Whether a step was the fallback's."""
        return any(step.fallback for step in self.steps)

    @property
    def is_cached(self) -> bool:
        """Whether it came from the cache: nobody was asked."""
        return bool(self.steps) and self.steps[-1].calls == 0
