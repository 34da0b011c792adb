"""How log records are written where no person watches a terminal: one line a record, as text or as
JSON."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

from gateway.core.request_id import REQUEST_ID
from gateway.core.trace_context import TRACEPARENT, trace_context

LogFormat = Literal["json", "text"]
FIELDS = "imgrid_fields"
"""The attribute of a record that holds members of its own, by name."""


def with_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The `extra` of a record whose JSON has these members."""
    return {FIELDS: fields}


def trace_fields(traceparent: str) -> dict[str, str]:
    """The members of a record that is about a traced request; none where it is not traced."""
    context = trace_context(traceparent)
    return {"trace_id": context.trace_id, "span_id": context.span_id} if context else {}


def line_handler(log_format: LogFormat, stream: TextIO | None = None) -> logging.Handler:
    """A handler that writes one line a record, by default to standard error."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines() if log_format == "json" else TextLines())
    return handler


class JsonLines(logging.Formatter):
    """One JSON object a record: `time` (UTC), `level`, `logger`, `message`, the `request_id` of the
    request that is being answered and its `trace_id` and `span_id` where it is traced, the record's
    own members, and its `exception`."""

    def format(self, record: logging.LogRecord) -> str:
        members: dict[str, Any] = {
            "time": _time_of(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if request_id := REQUEST_ID.get():
            members["request_id"] = request_id
        members.update(trace_fields(TRACEPARENT.get()))
        members.update(getattr(record, FIELDS, {}))
        if exception := _exception_of(self, record):
            members["exception"] = exception
        return json.dumps(members, ensure_ascii=False, default=str)


class TextLines(logging.Formatter):
    """One line a record: time (UTC), level, logger, the current request's id in brackets, and the
    message. Line breaks and other control characters are escaped, so that no text that came from
    elsewhere looks like a record."""

    def format(self, record: logging.LogRecord) -> str:
        request_id = REQUEST_ID.get()
        parts = [_time_of(record), record.levelname, record.name]
        parts += [f"[{request_id}]"] if request_id else []
        parts.append(record.getMessage())
        exception = _exception_of(self, record)
        parts += ["|", exception] if exception else []
        return _printable(" ".join(parts))


def _time_of(record: logging.LogRecord) -> str:
    time = datetime.fromtimestamp(record.created, UTC)
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _exception_of(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    """The record's traceback; empty where it has none."""
    return formatter.formatException(record.exc_info) if record.exc_info else ""


def _printable(text: str) -> str:
    escaped = (each if each.isprintable() else repr(each)[1:-1] for each in text)
    return "".join(escaped)
