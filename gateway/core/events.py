"""What happened, for whoever listens: the flow tells and knows no listener."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from gateway.core.layout import Layout
from gateway.core.model import BufferEntry, Entry, Lane, Outcome
from providers.base import Picture
from providers.detection import Detection
from providers.errors import ProviderError
from thresholds.drift import Record
from thresholds.shape import Shape

log = logging.getLogger("imgrid")


@dataclass(frozen=True, slots=True)
class CanvasAnswered:
    """A canvas was answered, and billed: one image, unless it was `free`. `entries` are its photos
    in the layout's order; the photos at the indices of `empty_cells` could not be drawn."""

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

    @property
    def billed(self) -> list[Entry]:
        """The photos that share the bill, if there is one: those that are to be seen."""
        return [entry for index, entry in enumerate(self.entries) if index not in self.empty_cells]


@dataclass(frozen=True, slots=True)
class CallFailed:
    """One call to a provider failed; it may be repeated. `entries` are the photos of the canvas,
    none for a companion's."""

    provider: str
    error: ProviderError
    entries: Sequence[Entry] = ()

    @property
    def reason(self) -> str:
        """The error's class."""
        return type(self.error).__name__

    @property
    def message(self) -> str:
        return str(self.error)


@dataclass(frozen=True, slots=True)
class BreakerChanged:
    """A provider's breaker is closed, open or probing from now on; open for `open_s`."""

    provider: str
    state: str
    open_s: float


@dataclass(frozen=True, slots=True)
class FellBack:
    """A photo that `provider` was to be asked about waits for another, its lane's, because of the
    fault `reason`."""

    entry: Entry
    provider: str
    reason: str


@dataclass(frozen=True, slots=True)
class Settled:
    """A photo has its answer or its error; `total_s` is from its acceptance until now."""

    entry: BufferEntry
    outcome: Outcome
    total_s: float


@dataclass(frozen=True, slots=True)
class Refused:
    """A request or a photo was refused before it was buffered; `code` is the error's."""

    dialect: str
    code: str


@dataclass(frozen=True, slots=True)
class Repeated:
    """A call was answered from a run of it that an earlier try had begun."""

    dialect: str


@dataclass(frozen=True, slots=True)
class Left:
    """A client went away before its photo was settled."""

    entry: Entry


@dataclass(frozen=True, slots=True)
class LoopFailed:
    """The flow's loop survived something that should not have happened."""

    message: str


@dataclass(frozen=True, slots=True)
class Compared:
    """A photo's answer by its route's cascade was compared with its answer alone; `record` is all
    that was so far."""

    route: str
    record: Record


@dataclass(frozen=True, slots=True)
class Overlooked:
    """A photo was to be compared and was not: too many were, or its answer did not come."""

    route: str


@dataclass(frozen=True, slots=True)
class LevelChanged:
    """A route goes by another variant of its cascade from now on, its `level`th, because of what
    `record` holds."""

    route: str
    before: str
    after: str
    level: int
    record: Record


@dataclass(frozen=True, slots=True)
class GroupsChanged:
    """A route's photos are asked about first at another shape than `before` (None at the
    beginning), alone where that is cheapest, or the share of them that is flagged has moved.
    `images` a photo are expected."""

    route: str
    shape: Shape
    rate: float
    images: float
    reason: str
    before: Shape | None


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
    | Settled
    | Refused
    | Repeated
    | Left
    | LoopFailed
    | Compared
    | Overlooked
    | LevelChanged
    | GroupsChanged
    | WebhookAttempted
)
Listener = Callable[[Event], None]


@dataclass
class Events:
    """Tells every listener; one that fails is logged and harms nobody. Holds the listeners."""

    listeners: list[Listener] = field(default_factory=list)

    def tell(self, event: Event) -> None:
        for listener in self.listeners:
            try:
                listener(event)
            except Exception:
                log.exception("a listener failed on %s", type(event).__name__)
