"""A collector of OpenTelemetry spans, which takes OTLP over HTTP."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from tests.support.services import Call, Reply, service

GZIP_OR_ZLIB = 47
"""zlib's window bits for either."""
ERROR = 2


class Link(NamedTuple):
    """The ids of a linked span."""

    trace_id: str
    span_id: str


class CollectedSpan(NamedTuple):
    """A span as it arrived; ids are hexadecimal digits, times nanoseconds."""

    name: str
    trace_id: str
    span_id: str
    parent_id: str
    start_ns: int
    end_ns: int
    attributes: Mapping[str, Any]
    links: frozenset[Link]
    is_error: bool
    service: str

    @property
    def link(self) -> Link:
        return Link(self.trace_id, self.span_id)


@dataclass
class Collector:
    """Holds its address and the spans that it got."""

    url: str = ""
    spans: list[CollectedSpan] = field(default_factory=list)

    def named(self, name: str) -> list[CollectedSpan]:
        return [span for span in self.spans if span.name == name]

    def one(self, name: str) -> CollectedSpan:
        """The only span of that name."""
        (span,) = self.named(name)
        return span

    def take(self, call: Call) -> Reply:
        assert (call.method, call.path) == ("POST", "/v1/traces")
        is_compressed = call.headers.get("Content-Encoding") in ("gzip", "deflate")
        body = zlib.decompress(call.body, GZIP_OR_ZLIB) if is_compressed else call.body
        self.spans += _spans(ExportTraceServiceRequest.FromString(body))
        headers = {"Content-Type": "application/x-protobuf"}
        return 200, headers, ExportTraceServiceResponse().SerializeToString()


@contextmanager
def collector() -> Iterator[Collector]:
    """A collector that runs while the block lasts."""
    ours = Collector()
    with service(ours.take) as ours.url:
        yield ours


def _spans(request: ExportTraceServiceRequest) -> Iterator[CollectedSpan]:
    for resource in request.resource_spans:
        service_name = _values(resource.resource.attributes)["service.name"]
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield _span(span, service_name)


def _span(span: Any, service_name: str) -> CollectedSpan:
    return CollectedSpan(
        name=span.name,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        attributes=_values(span.attributes),
        links=frozenset(Link(link.trace_id.hex(), link.span_id.hex()) for link in span.links),
        is_error=span.status.code == ERROR,
        service=service_name,
    )


def _values(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}
