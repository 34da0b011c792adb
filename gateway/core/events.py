"""The events of a running gateway. The parts that tell them know no listener."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from gateway.core.layout import Layout
from gateway.core.model import BufferEntry, Entry, Lane, Outcome
from gateway.core.trace_context import RequestTrace
from providers.base import Picture
from providers.detection import Detection
from providers.errors import ProviderError
from thresholds.drift import Record
from thresholds.shape import Shape

log = logging.getLogger("imgrid")


@dataclass(frozen=True, slots=True)
class CanvasAnswered:
    """A provider answered a canvas, which is billed as one image unless it is `free`.

    `entries` are its photos in the layout's order. Those at the indices of `empty_cells` could not
    be drawn. `detections` are fractions of the canvas. `dropped` others were not sane. `usd` is its
    price.
    """

    canvas: str
    lane: Lane
    layout: Layout
    picture: Picture
    entries: Sequence[Entry]
    detections: Sequence[Detection]
    calls: int
    composed_s: float
    asked_s: float
    empty_cells: frozenset[int] = frozenset()
    free: bool = False
    dropped: int = 0
    usd: float = 0.0

    @property
    def billed(self) -> list[Entry]:
        """The photos that share the bill: those that were drawn."""
        return [entry for index, entry in enumerate(self.entries) if index not in self.empty_cells]


@dataclass(frozen=True, slots=True)
class BudgetRefused:
    """A budget of the tenant refused a photo or a call, or would have if it were hard; `budget` is
    its title."""

    tenant: str
    budget: str
    mode: str


@dataclass(frozen=True, slots=True)
class BudgetReached:
    """How much of a budget, by its title, is spent: a share of its limit, over 1 beyond it."""

    tenant: str
    budget: str
    share: float


@dataclass(frozen=True, slots=True)
class CallFailed:
    """One call about a canvas failed after `asked_s`, and may be repeated. `entries` are its
    photos; a companion's call has none, because its failure delays no photo."""

    provider: str
    error: ProviderError
    entries: Sequence[Entry] = ()
    canvas: str = ""
    asked_s: float = 0.0

    @property
    def reason(self) -> str:
        """The error's class, for metrics and the log."""
        return type(self.error).__name__

    @property
    def message(self) -> str:
        return str(self.error)


@dataclass(frozen=True, slots=True)
class BreakerChanged:
    """A provider's circuit breaker is now closed, open (for `open_s`) or probing."""

    provider: str
    state: str
    open_s: float


@dataclass(frozen=True, slots=True)
class FellBack:
    """After the fault `reason` of `provider`, a photo waits for the fallback, which its lane
    names."""

    entry: Entry
    provider: str
    reason: str


@dataclass(frozen=True, slots=True)
class StageSkipped:
    """A photo keeps the answer that it has, though its route would ask again: there is no time
    left, or too many photos wait."""

    entry: Entry


@dataclass(frozen=True, slots=True)
class Settled:
    """A photo has its answer or its error, `total_s` after it was accepted. `is_reusable`: an equal
    photo may get the same answer."""

    entry: BufferEntry
    outcome: Outcome
    total_s: float
    is_reusable: bool = False


class LookupResult(StrEnum):
    """What became of a photo that was looked up in the cache: the answer of an equal photo, that of
    a near-duplicate, or none. The values are a metric's labels."""

    HIT = "hit"
    NEAR = "near"
    MISS = "miss"


@dataclass(frozen=True, slots=True)
class CacheLookedUp:
    """A photo was looked up in the cache."""

    entry: Entry
    result: LookupResult


@dataclass(frozen=True, slots=True)
class RequestRefused:
    """A request or a photo was refused before it reached the buffer, with the error's `code`."""

    dialect: str
    code: str


@dataclass(frozen=True, slots=True)
class RequestCall:
    """What a request called: HTTP's method, the path, and the template of the path where it has an
    endpoint. gRPC has no method."""

    path: str = ""
    method: str = ""
    route: str = ""


@dataclass(frozen=True, slots=True)
class RequestEnded:
    """A request has its answer, with the HTTP status or gRPC's code, `elapsed_s` after it came.

    `tenant`, `dialect` and `task` are empty as far as they did not become known. `billed` is in
    images, None where that is not known; `cached` counts answers that came from the cache.
    `trace` is None where it is not traced.
    """

    id: str
    tenant: str
    dialect: str
    task: str
    photos: int
    outcome: str
    status: int
    elapsed_s: float
    billed: float | None
    cached: int = 0
    call: RequestCall = RequestCall()
    trace: RequestTrace | None = None


@dataclass(frozen=True, slots=True)
class CallRepeated:
    """A repeated call was answered by the run that an earlier try had begun."""

    dialect: str


@dataclass(frozen=True, slots=True)
class PhotoAbandoned:
    """A client went away before its photo was settled."""

    entry: Entry


@dataclass(frozen=True, slots=True)
class LoopFailed:
    """The scheduler's loop survived an unexpected exception."""

    message: str


@dataclass(frozen=True, slots=True)
class PhotoCompared:
    """A photo's answer from its route's cascade was compared with its answer alone. `record` holds
    all comparisons so far."""

    route: str
    record: Record


@dataclass(frozen=True, slots=True)
class ComparisonSkipped:
    """A photo chosen for comparison was not compared: too many wait for it, or there was no
    answer."""

    route: str


@dataclass(frozen=True, slots=True)
class LevelChanged:
    """The drift monitor changed a route's variant, because of `record`, to the one at `level` of
    `Route.levels`."""

    route: str
    before: str
    after: str
    level: int
    record: Record


@dataclass(frozen=True, slots=True)
class LessonRead:
    """What a route has learned of the photos of a pool, as it was read: its phase, the number of
    observations, and images that were `paid` for clients' photos, `saved`, and `spent` on
    learning and watching."""

    route: str
    pool: str
    phase: str
    observations: int
    images: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class PlanLearned:
    """A route has a new plan for the photos of a pool, made from so many `photos`; it saves at
    `images` a photo, or asks about them alone. `drop` is the bound of what it loses, None without a
    promise. `certifiable_images` and `certifiable_photos` say what may be certified with more
    photos; None where nothing is known of that."""

    route: str
    pool: str
    is_saving: bool
    images: float
    photos: int
    drop: float | None
    certifiable_images: float | None
    certifiable_photos: int | None


@dataclass(frozen=True, slots=True)
class GroupsChanged:
    """The first shape of a route's photos changed from `before`, or their rate of flagged photos
    changed. `before` is None for the initial shape. The shape 1x1 stands for photos alone, where
    that is cheapest. `images` is the expected number of images a photo."""

    route: str
    shape: Shape
    rate: float
    images: float
    reason: str
    before: Shape | None


@dataclass(frozen=True, slots=True)
class ConnectionDropped:
    """The HTTP port closed a client's connection: `slow_header` (no whole head of a request came in
    time), `evicted` (another connection took its place) or `refused` (there was no place)."""

    reason: str


@dataclass(frozen=True, slots=True)
class ConnectionsExhausted:
    """All of the `connections` for strangers, or all of the process's `descriptors`, are taken;
    `limit` is how many there are."""

    resource: str
    limit: int


class DeliveryResult(StrEnum):
    """The result of one attempt to deliver a webhook; RETRY where another attempt follows. The
    values are a metric's labels."""

    DELIVERED = "made"
    RETRY = "again"
    DEAD = "dead"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class WebhookAttempted:
    """One attempt to deliver a webhook ended after `elapsed_s`; `error` says why it failed, and
    `retry_at` (Unix seconds) when the next attempt follows."""

    delivery_id: str
    result: DeliveryResult
    elapsed_s: float
    error: str = ""
    retry_at: float | None = None


Event = (
    CanvasAnswered
    | CallFailed
    | BreakerChanged
    | FellBack
    | StageSkipped
    | Settled
    | CacheLookedUp
    | RequestRefused
    | RequestEnded
    | CallRepeated
    | PhotoAbandoned
    | LoopFailed
    | PhotoCompared
    | ComparisonSkipped
    | LevelChanged
    | LessonRead
    | PlanLearned
    | GroupsChanged
    | WebhookAttempted
    | ConnectionDropped
    | ConnectionsExhausted
    | BudgetReached
    | BudgetRefused
)
Listener = Callable[[Event], None]


@dataclass
class Events:
    """Tells every listener. A listener that fails is logged and affects no other. Holds the
    listeners."""

    listeners: list[Listener] = field(default_factory=list)

    def tell(self, event: Event) -> None:
        for listener in self.listeners:
            try:
                listener(event)
            except Exception:
                log.exception("a listener failed on %s", type(event).__name__)
