"""The context of a trace: W3C's `traceparent`, and the spans whose ids are known before they end.

A span's id follows from its trace and the name of what it is about, such as a photo's id. So every
replica that works on a photo names the same span, and nothing but the request's `traceparent` has
to travel with the photo.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple

HEADER = "traceparent"
TRACEPARENT: ContextVar[str] = ContextVar("imgrid_traceparent", default="")
"""The `traceparent` of the current task's request; empty where there is none that is traced."""
_FORM = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})"
)
_VERSION_0 = "00-"


class TraceContext(NamedTuple):
    """The place of a span: the ids of its trace and of itself, 32 and 16 hexadecimal digits, and
    whether it is exported."""

    trace_id: str
    span_id: str
    is_sampled: bool

    @property
    def traceparent(self) -> str:
        """The header's value (W3C Trace Context, section 3.2)."""
        return f"{_VERSION_0}{self.trace_id}-{self.span_id}-{int(self.is_sampled):02x}"

    def child(self, name: str) -> TraceContext:
        """The context of the span that is about `name`, in the same trace."""
        return self._replace(span_id=_digest(f"{self.trace_id} {name}", 8))


def trace_context(traceparent: str | None) -> TraceContext | None:
    """The context that a header names; None where it names none.

    A later version may have more parts, which are not read (section 3.2.2).
    """
    head, rest = (traceparent or "")[:55], (traceparent or "")[55:]
    match = _FORM.fullmatch(head)
    if match is None or (rest and (head.startswith(_VERSION_0) or rest[0] != "-")):
        return None
    trace_id, span_id, flags = match.groups()
    return TraceContext(trace_id, span_id, bool(int(flags, 16) & 1))


class CanvasTrace(NamedTuple):
    """The context of a canvas's span, and of its parent if it has one."""

    context: TraceContext
    parent: TraceContext | None


def canvas_trace(canvas_id: str, traceparents: Iterable[str]) -> CanvasTrace | None:
    """The place of a canvas whose photos are of these requests; None where no request is traced.

    A canvas of one request is a part of its trace. A canvas of several has a trace of its own,
    which is exported where that of one of its requests is.
    """
    distinct = dict.fromkeys(traceparents)
    contexts = [context for text in distinct if (context := trace_context(text)) is not None]
    if not contexts:
        return None
    if len(distinct) == 1:
        return CanvasTrace(contexts[0].child(canvas_id), contexts[0])
    is_sampled = any(context.is_sampled for context in contexts)
    own = TraceContext(_digest(canvas_id, 16), "", is_sampled)
    return CanvasTrace(own.child(canvas_id), None)


class RequestTrace(NamedTuple):
    """The context of a request's span, and of the client's span if it told one."""

    context: TraceContext
    parent: TraceContext | None = None


BeginTrace = Callable[[str | None], RequestTrace | None]
"""The trace of a new request with this `traceparent`; None where requests are not traced."""


def no_trace(traceparent: str | None) -> None:
    """No trace, whatever the request says."""


@dataclass(frozen=True, slots=True)
class TraceSampler:
    """Begins the traces of requests. The client's decision counts; a request without one is sampled
    with the chance `share`."""

    share: float
    rng: random.Random

    def __call__(self, traceparent: str | None) -> RequestTrace:
        span_id = f"{self.rng.randrange(1, 1 << 64):016x}"
        if (parent := trace_context(traceparent)) is not None:
            return RequestTrace(parent._replace(span_id=span_id), parent)
        trace_id = f"{self.rng.randrange(1, 1 << 128):032x}"
        return RequestTrace(TraceContext(trace_id, span_id, self.rng.random() < self.share))


def _digest(text: str, size_bytes: int) -> str:
    return blake2b(text.encode(), digest_size=size_bytes).hexdigest()
