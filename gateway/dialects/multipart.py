"""Multipart forms: files, and fields beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import FormParser

from gateway.core.errors import BadRequest

MAX_FIELDS = 100
"""Fields of one form, beside its photos."""


class Part(NamedTuple):
    """One part of a form: a file with its name, or a field, whose filename is None."""

    field: str
    filename: str | None
    value: bytes


def read_form(body: bytes, boundary: bytes | None, most: int) -> list[Part]:
    """The parts of a multipart body in their order, at most so many photos among them. Raises
    BadRequest."""
    if not boundary:
        raise BadRequest("A multipart body needs a boundary in its Content-Type.")
    parts: list[Part] = []

    def add(part: Part) -> None:
        parts.append(part)
        if len(parts) > most + MAX_FIELDS:
            raise ValueError(f"it has over {most + MAX_FIELDS} parts")

    def on_field(field: Any) -> None:
        add(Part((field.field_name or b"").decode(errors="replace"), None, field.value or b""))

    def on_file(file: Any) -> None:
        file.file_object.seek(0)
        name = (file.file_name or b"").decode(errors="replace")
        add(Part((file.field_name or b"").decode(errors="replace"), name, file.file_object.read()))

    config = {"MAX_MEMORY_FILE_SIZE": len(body) + 1, "UPLOAD_ERROR_ON_BAD_CTE": False}
    try:
        parser = FormParser(
            "multipart/form-data", on_field, on_file, boundary=boundary, config=config
        )
        parser.write(body)
        parser.finalize()
    except (FormParserError, ValueError) as error:
        raise BadRequest(f"The multipart body cannot be read: {error}") from None
    return parts


def fields_of(parts: Sequence[Part]) -> dict[str, list[str]]:
    """The values of each field of a form."""
    fields: dict[str, list[str]] = {}
    for part in parts:
        if part.filename is None:
            fields.setdefault(part.field, []).append(part.value.decode(errors="replace"))
    return fields
