"""The listener that makes OpenTelemetry spans (extra `otel`) of events: of requests, photos and
canvases.

A span is made when it ends, because events are told then. It holds no span that is under way: what
a span belongs to and links to follows from the `traceparent` of its photos' requests
(`core.trace_context`), so the replicas that work on a photo need not know of each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.util.types import AttributeValue

from gateway.core.clock import Clock
from gateway.core.events import (
    CallFailed,
    CanvasAnswered,
    Event,
    PhotoAbandoned,
    RequestEnded,
    Settled,
)
from gateway.core.model import BufferEntry, Entry
from gateway.core.trace_context import TraceContext, canvas_trace, trace_context
from gateway.observe.request_span import request_span

Attributes = Mapping[str, AttributeValue]


SCOPE = InstrumentationScope("imgrid")
_UNSET = Status(StatusCode.UNSET)


class TraceListener:
    """Makes the spans of sampled traces and has them exported in a thread. Holds the spans that
    wait for it; `kinds` are the kinds of vision providers by their names."""

    def __init__(
        self, exporter: SpanExporter, service: str, kinds: Mapping[str, str], *, clock: Clock
    ) -> None:
        self._kinds = kinds
        self._clock = clock
        self._resource = Resource.create({"service.name": service})
        self._processor: SpanProcessor = BatchSpanProcessor(exporter)
        self._handlers: dict[type[Any], Callable[[Any], None]] = {
            CallFailed: self._on_call_failed,
            CanvasAnswered: self._on_canvas_answered,
            PhotoAbandoned: self._on_photo_abandoned,
            RequestEnded: self._on_request_ended,
            Settled: self._on_settled,
        }

    def __call__(self, event: Event) -> None:
        handler = self._handlers.get(type(event))
        if handler is not None:
            handler(event)

    def close(self) -> None:
        """Exports the spans that wait for it."""
        self._processor.shutdown()

    # -- requests

    def _on_request_ended(self, event: RequestEnded) -> None:
        """Requests of orchestrators and scrapers, which have no dialect, have no span unless they
        fail, as in the log."""
        trace = event.trace
        if trace is None or not (event.dialect or event.status >= 400):
            return
        span, end_at = request_span(event), self._clock()
        self._span(
            span.name,
            trace.context,
            trace.parent,
            times=(end_at - event.elapsed_s, end_at),
            attributes=span.attributes,
            kind=SpanKind.SERVER,
            error=event.outcome if span.is_error else "",
        )

    # -- photos

    def _on_settled(self, event: Settled) -> None:
        entry, outcome, end_at = event.entry, event.outcome, self._clock()
        error = outcome.error
        attributes: dict[str, AttributeValue] = {
            "imgrid.steps": len(outcome.steps),
            "imgrid.billed_images": outcome.share,
            "imgrid.cached": outcome.is_cached,
        }
        self._photo_span(entry, end_at, attributes, error=error.code if error else "")
        steps = outcome.steps[len(entry.steps) :]
        if steps and not outcome.is_cached:
            asked_at = entry.put_at + max(
                step.waited_s + step.composed_s + step.asked_s for step in steps
            )
            self._part("judge", entry, steps[-1].canvas, times=(min(asked_at, end_at), end_at))

    def _on_photo_abandoned(self, event: PhotoAbandoned) -> None:
        self._photo_span(event.entry, self._clock(), {"imgrid.abandoned": True})

    def _photo_span(
        self, entry: BufferEntry, end_at: float, attributes: Attributes, *, error: str = ""
    ) -> None:
        if (context := _photo_context(entry)) is None:
            return
        self._span(
            "photo",
            context,
            trace_context(entry.traceparent),
            times=(entry.accepted_at, end_at),
            attributes={
                "imgrid.photo": entry.photo.id,
                "imgrid.tenant": entry.tenant,
                "imgrid.route": entry.route,
                "imgrid.task": entry.lane.task.value,
                **attributes,
            },
            error=error,
        )

    def _part(
        self,
        name: str,
        entry: BufferEntry,
        canvas_id: str,
        *,
        times: tuple[float, float],
        canvas: TraceContext | None = None,
        error: str = "",
    ) -> None:
        """Makes the span of a part of a photo's way to a canvas and back, with a link to the
        canvas's span where that is given."""
        if (photo := _photo_context(entry)) is None:
            return
        self._span(
            name,
            photo.child(f"{canvas_id} {entry.photo.id} {name} {times[0]}"),
            photo,
            times=times,
            attributes={"imgrid.canvas": canvas_id},
            links=(canvas,) if canvas is not None else (),
            error=error,
        )

    # -- canvases

    def _on_canvas_answered(self, event: CanvasAnswered) -> None:
        entries, end_at = event.billed, self._clock()
        asked_at = end_at - event.asked_s
        claimed_at = asked_at - event.composed_s
        attributes: dict[str, AttributeValue] = {
            "imgrid.shape": str(event.layout.shape),
            "imgrid.usd": event.usd,
            "imgrid.calls": event.calls,
            "imgrid.detections": len(event.detections),
        }
        canvas = self._canvas_span(
            event.lane.provider, event.canvas, entries, (claimed_at, end_at), attributes
        )
        for entry in entries:
            put_at = min(entry.put_at, claimed_at)
            self._part("wait", entry, event.canvas, times=(put_at, claimed_at))
            self._part("compose", entry, event.canvas, times=(claimed_at, asked_at))
            self._part("ask", entry, event.canvas, times=(asked_at, end_at), canvas=canvas)

    def _on_call_failed(self, event: CallFailed) -> None:
        """A call that fails has a span of its own; one that follows it may be answered."""
        end_at = self._clock()
        times = end_at - event.asked_s, end_at
        canvas = self._canvas_span(
            event.provider, event.canvas, event.entries, times, {}, error=event.reason
        )
        for entry in event.entries:
            self._part("ask", entry, event.canvas, times=times, canvas=canvas, error=event.reason)

    def _canvas_span(
        self,
        provider: str,
        canvas_id: str,
        entries: Sequence[Entry],
        times: tuple[float, float],
        attributes: Attributes,
        *,
        error: str = "",
    ) -> TraceContext | None:
        """Makes a canvas's span, with links to its photos' spans, and returns its context; None
        where no photo's request is traced."""
        trace = canvas_trace(canvas_id, [entry.traceparent for entry in entries])
        if trace is None:
            return None
        context = trace.context.child(f"{canvas_id} {times}") if error else trace.context
        self._span(
            "canvas",
            context,
            trace.parent,
            times=times,
            attributes={
                "gen_ai.provider.name": self._kinds.get(provider, provider),
                "imgrid.provider": provider,
                "imgrid.canvas": canvas_id,
                "imgrid.task": entries[0].lane.task.value,
                "imgrid.photos": len(entries),
                **attributes,
            },
            kind=SpanKind.CLIENT,
            links=filter(None, map(_photo_context, entries)),
            error=error,
        )
        return context

    # -- spans

    def _span(
        self,
        name: str,
        context: TraceContext,
        parent: TraceContext | None,
        *,
        times: tuple[float, float],
        attributes: Attributes,
        kind: SpanKind = SpanKind.INTERNAL,
        links: Iterable[TraceContext] = (),
        error: str = "",
    ) -> None:
        """Makes the span of a sampled trace, from and to these times in Unix seconds; `error` is
        its type of error, empty where there is none."""
        if not context.is_sampled:
            return
        start_ns, end_ns = (int(time * 1e9) for time in times)
        self._processor.on_end(
            # a tracer's spans begin before they end, have ids of their own and cost twice as much
            ReadableSpan(
                name,
                _otel(context),
                _otel(parent) if parent else None,
                self._resource,
                {**attributes, "error.type": error} if error else attributes,
                links=[Link(_otel(link)) for link in links if link.is_sampled],
                kind=kind,
                status=Status(StatusCode.ERROR, error) if error else _UNSET,
                start_time=start_ns,
                end_time=end_ns,
                instrumentation_scope=SCOPE,
            )
        )


def _photo_context(entry: BufferEntry) -> TraceContext | None:
    """The context of a photo's span; None where its request is not traced."""
    request = trace_context(entry.traceparent)
    return request.child(entry.photo.id) if request is not None else None


def _otel(context: TraceContext) -> SpanContext:
    flags = TraceFlags(TraceFlags.SAMPLED if context.is_sampled else TraceFlags.DEFAULT)
    return SpanContext(int(context.trace_id, 16), int(context.span_id, 16), True, flags)
