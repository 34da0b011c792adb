"""The listener that logs for the operator: a line for each request, and what begins and ends.

It logs no bytes of photos, and no URLs with queries.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from gateway.core.clock import Clock
from gateway.core.events import (
    BreakerChanged,
    CallFailed,
    CanvasAnswered,
    ConnectionsExhausted,
    Event,
    FellBack,
    GroupsChanged,
    LevelChanged,
    PlanLearned,
    RequestEnded,
    Settled,
)
from gateway.core.model import Route
from gateway.core.outage_log import OutageLog
from gateway.observe.log_format import trace_fields, with_fields
from providers.errors import PictureRefused
from thresholds.shape import ALONE

log = logging.getLogger("imgrid")


class EventLog:
    """Writes events to the log, if their kind is logged at all. Holds the outages of providers."""

    def __init__(self, clock: Clock) -> None:
        self._outages = OutageLog(clock)
        self._writers: Mapping[type[Any], Callable[[Any], None]] = {
            **_WRITERS,
            BreakerChanged: self._breaker_changed,
            CallFailed: self._call_failed,
            CanvasAnswered: self._canvas_answered,
            FellBack: self._fell_back,
        }

    def __call__(self, event: Event) -> None:
        writer = self._writers.get(type(event))
        if writer is not None:
            writer(event)

    def _call_failed(self, event: CallFailed) -> None:
        """Logs a failed call; a picture that a provider refuses is no outage."""
        if isinstance(event.error, PictureRefused):
            log.info("provider %s: %s: %s", event.provider, event.reason, event.message)
            return
        message = f"{event.reason}: {event.message}"
        self._outages.failed(_name(event.provider), event.reason, message)

    def _breaker_changed(self, event: BreakerChanged) -> None:
        name = _name(event.provider)
        if event.state == "open":
            self._outages.failed(
                name,
                "open",
                "too many of its last calls failed; nothing is sent to it for "
                f"{event.open_s:.0f} s",
            )
        elif event.state == "closed":
            self._outages.worked(name, is_over=True)
        else:
            log.debug("%s: tried again", name)

    def _fell_back(self, event: FellBack) -> None:
        self._outages.failed(
            _name(event.provider),
            f"fallback {event.entry.lane.provider}",
            f"{event.reason}: photos go to {event.entry.lane.provider}, such as "
            f"{event.entry.photo.id}",
        )

    def _canvas_answered(self, event: CanvasAnswered) -> None:
        self._outages.worked(_name(event.lane.provider))
        _write_canvas(event)


def write_mismatches(routes: Iterable[Route]) -> None:
    """Logs where routes differ from what their cascades were made with."""
    for route in routes:
        if route.mismatches:
            log.warning(
                "route %s: its cascade was made with %s; its thresholds and its promise may not "
                "hold: profile this provider, and use the cascade that comes of it",
                route.name,
                "; ".join(map(str, route.mismatches)),
            )


def _name(provider: str) -> str:
    return f"provider {provider}"


def _request_ended(event: RequestEnded) -> None:
    """Writes the access line of a request. Requests of orchestrators and scrapers, which have no
    dialect, are logged for debugging only."""
    fields = {
        "id": event.id,
        "tenant": event.tenant,
        "dialect": event.dialect,
        "task": event.task,
        "photos": event.photos,
        "outcome": event.outcome,
        "status": event.status,
        "ms": round(1000 * event.elapsed_s, 1),
        "billed": event.billed if event.billed is None else round(event.billed, 6),
        "cached": event.cached,
    }
    text = " ".join(f"{name}={_word(value)}" for name, value in fields.items())
    level = logging.INFO if event.dialect or event.status >= 400 else logging.DEBUG
    log.log(level, "request %s", text, extra=with_fields(fields))


def _word(value: Any) -> str:
    """The value as one word: `-` for nothing, in quotes where it has spaces."""
    text = "-" if value in (None, "") else str(value)
    return repr(text) if " " in text else text


def _connections_exhausted(event: ConnectionsExhausted) -> None:
    """Logs what ran out, and the setting that counts."""
    if event.resource == "connections":
        log.warning(
            "strangers have taken their share of the %d connections (limits.max_connections): new "
            "ones take the places of silent ones",
            event.limit,
        )
    else:
        log.error(
            "all of this process's %d descriptors are open, so connections are lost: raise its "
            "limit (ulimit -n), or lower limits.max_connections and providers' concurrency",
            event.limit,
        )


def _level_changed(event: LevelChanged) -> None:
    log.warning(
        "route %s goes by %s, no longer by %s: its agreement with photos alone has %s the promised "
        "%.3f; since the last change it was %s",
        event.route,
        event.after,
        event.before,
        "fallen below" if event.level > event.record.level else "risen above",
        event.record.promised,
        _agreement(event),
    )


def _agreement(event: LevelChanged) -> str:
    interval = event.record.overall.interval
    return "{:.3f} ({:.3f} to {:.3f})".format(*interval) if interval else "unknown"


def _plan_learned(event: PlanLearned) -> None:
    """Logs a plan, and what more photos may certify."""
    more = ""
    if event.certifiable_images is not None:
        more = f"; {event.certifiable_images:.3f} images a photo may be certified"
        if event.certifiable_photos:
            more += f" with about {event.certifiable_photos} photos"
    promise = f", which lose at most {event.drop:.3f}" if event.drop is not None else ""
    log.warning(
        "route %s, pool %s: from %d photos it learned to ask at %.3f images a photo%s%s",
        event.route,
        event.pool,
        event.photos,
        event.images,
        promise if event.is_saving else " (alone: nothing cheaper is certified)",
        more,
    )


def _groups_changed(event: GroupsChanged) -> None:
    """Logs a change of the shape; it is a warning where photos go alone from now on, or no
    longer."""
    if event.before == event.shape:
        return
    log.log(
        logging.WARNING if ALONE in (event.before, event.shape) else logging.INFO,
        "route %s asks about new photos %s: %s",
        event.route,
        "alone" if event.shape == ALONE else f"in groups of {event.shape}",
        event.reason,
    )


def _settled(event: Settled) -> None:
    """Logs a photo that failed. That of a waiting client is in its request's line too."""
    if event.outcome.error is not None:
        log.log(
            logging.INFO if event.entry.job else logging.DEBUG,
            "photo %s of %s: %s",
            event.entry.photo.id,
            event.entry.tenant,
            event.outcome.error.code,
            extra=with_fields(trace_fields(event.entry.traceparent)),
        )


def _write_canvas(event: CanvasAnswered) -> None:
    if event.dropped:
        log.warning(
            "provider %s: %d detections of canvas %s were dropped: no finite numbers near the "
            "picture, no text, or nested too deep",
            event.lane.provider,
            event.dropped,
            event.canvas,
        )
    log.debug(
        "canvas %s: %s, %d photos of %s, %.0f ms",
        event.canvas,
        event.layout.shape,
        len(event.entries),
        event.lane.provider,
        1000 * event.asked_s,
    )


_WRITERS: Mapping[type[Any], Callable[[Any], None]] = {
    ConnectionsExhausted: _connections_exhausted,
    GroupsChanged: _groups_changed,
    LevelChanged: _level_changed,
    PlanLearned: _plan_learned,
    RequestEnded: _request_ended,
    Settled: _settled,
}
