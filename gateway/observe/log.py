"""The listener that logs failures and refusals for the operator, one line each.

It logs no bytes of photos, and no URLs with queries.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from gateway.core.events import (
    BreakerChanged,
    CallFailed,
    CanvasAnswered,
    ConnectionsExhausted,
    Event,
    FellBack,
    GroupsChanged,
    LevelChanged,
    LoopFailed,
    Settled,
)
from thresholds.shape import ALONE

log = logging.getLogger("imgrid")


def write(event: Event) -> None:
    """Logs an event, if its kind is logged at all."""
    writer = _WRITERS.get(type(event))
    if writer is not None:
        writer(event)


def _call_failed(event: CallFailed) -> None:
    log.warning("provider %s: %s: %s", event.provider, event.reason, event.message)


def _breaker_changed(event: BreakerChanged) -> None:
    if event.state == "open":
        log.warning(
            "provider %s: too many of its last calls failed; nothing is sent to it for %.0f s",
            event.provider,
            event.open_s,
        )
    else:
        change = "tried again" if event.state == "probing" else "well again"
        log.warning("provider %s: %s", event.provider, change)


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


def _fell_back(event: FellBack) -> None:
    log.info(
        "photo %s: %s is asked, not %s: %s",
        event.entry.photo.id,
        event.entry.lane.provider,
        event.provider,
        event.reason,
    )


def _loop_failed(event: LoopFailed) -> None:
    log.error("loop: %s", event.message)


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
    """Logs a photo that failed."""
    if event.outcome.error is not None:
        log.info(
            "photo %s of %s: %s",
            event.entry.photo.id,
            event.entry.tenant,
            event.outcome.error.code,
        )


def _canvas_answered(event: CanvasAnswered) -> None:
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
    BreakerChanged: _breaker_changed,
    CallFailed: _call_failed,
    CanvasAnswered: _canvas_answered,
    ConnectionsExhausted: _connections_exhausted,
    FellBack: _fell_back,
    GroupsChanged: _groups_changed,
    LevelChanged: _level_changed,
    LoopFailed: _loop_failed,
    Settled: _settled,
}
