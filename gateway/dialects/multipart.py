"""Multipart forms: files, and fields beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import FormParser

from gateway.core.errors import BadRequest

MAX_FIELDS = 100
"""Fields of one form, not counting its photos."""


class Part(NamedTuple):
    """One part of a form: a file with its name, or a field, whose `filename` is None."""

    field: str
    filename: str | None
    value: bytes


def read_form(body: bytes, boundary: bytes | None, max_photos: int) -> list[Part]:
    """The parts of a multipart body, in order. Raises BadRequest."""
    if not boundary:
        raise BadRequest("A multipart body needs a boundary in its Content-Type.")
    collector = _PartCollector(max_photos + MAX_FIELDS)
    # files are kept in memory, and an unknown Content-Transfer-Encoding is ignored
    config = {"MAX_MEMORY_FILE_SIZE": len(body) + 1, "UPLOAD_ERROR_ON_BAD_CTE": False}
    try:
        parser = FormParser(
            "multipart/form-data",
            collector.add_field,
            collector.add_file,
            boundary=boundary,
            config=config,
        )
        parser.write(body)
        parser.finalize()
    except (FormParserError, ValueError) as error:
        raise BadRequest(f"The multipart body cannot be read: {error}") from None
    return collector.parts


class _PartCollector:
    """The callbacks of python-multipart's parser. Holds the parts so far."""

    def __init__(self, max_parts: int) -> None:
        self.parts: list[Part] = []
        self._max_parts = max_parts

    def add_field(self, field: Any) -> None:
        self._add(Part(_text(field.field_name), None, field.value or b""))

    def add_file(self, file: Any) -> None:
        file.file_object.seek(0)
        self._add(Part(_text(file.field_name), _text(file.file_name), file.file_object.read()))

    def _add(self, part: Part) -> None:
        self.parts.append(part)
        if len(self.parts) > self._max_parts:
            raise ValueError(f"it has over {self._max_parts} parts")


def _text(name: bytes | None) -> str:
    return (name or b"").decode(errors="replace")


def fields_of(parts: Sequence[Part]) -> dict[str, list[str]]:
    """The values of each field of a form."""
    fields: dict[str, list[str]] = {}
    for part in parts:
        if part.filename is None:
            fields.setdefault(part.field, []).append(part.value.decode(errors="replace"))
    return fields
