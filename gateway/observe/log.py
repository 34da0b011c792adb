"""What an operator wants to read: failures and refusals, one line each. No bytes, no addresses with
queries."""

from __future__ import annotations

import logging

from gateway.core.events import (
    BreakerChanged,
    CallFailed,
    CanvasAnswered,
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
    """Logs an event at the level it deserves."""
    match event:
        case CallFailed():
            log.warning("provider %s: %s: %s", event.provider, event.reason, event.message)
        case BreakerChanged(state="open"):
            log.warning(
                "provider %s: too many of its last calls failed; nothing is sent to it for %.0f s",
                event.provider,
                event.rests_s,
            )
        case BreakerChanged():
            log.warning(
                "provider %s: %s",
                event.provider,
                "tried again" if event.state == "probing" else "well again",
            )
        case FellBack():
            log.info(
                "photo %s: %s is asked, not %s: %s",
                event.entry.photo.id,
                event.entry.lane.provider,
                event.provider,
                event.reason,
            )
        case LoopFailed():
            log.error("loop: %s", event.message)
        case LevelChanged():
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
        case GroupsChanged() if event.before != event.shape:
            level = logging.WARNING if ALONE in (event.before, event.shape) else logging.INFO
            log.log(
                level,
                "route %s asks about new photos %s: %s",
                event.route,
                "alone" if event.shape == ALONE else f"in groups of {event.shape}",
                event.reason,
            )
        case Settled() if event.outcome.error is not None:
            log.info(
                "photo %s of %s: %s",
                event.entry.photo.id,
                event.entry.tenant,
                event.outcome.error.code,
            )
        case CanvasAnswered():
            log.debug(
                "canvas %s: %s, %d photos of %s, %.0f ms",
                event.canvas,
                event.layout.shape,
                len(event.entries),
                event.lane.provider,
                1000 * event.asked_s,
            )


def _agreement(event: LevelChanged) -> str:
    interval = event.record.whole.interval
    return "{:.3f} ({:.3f} to {:.3f})".format(*interval) if interval else "unknown"
