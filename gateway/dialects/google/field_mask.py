"""Partial responses: Google's parameter `fields` selects members of an answer.

https://developers.google.com/discovery/v1/performance#partial-response
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gateway.core.errors import BadRequest

FieldMask = Mapping[str, Any]
"""The selected members, each with the mask of its content. An empty mask selects all; `*` stands
for any member."""

MAX_CHARS = 1000
PARTS = re.compile(r"[\w*]+|[/.,()]", re.ASCII)


def field_mask_of(fields: str) -> FieldMask:
    """The mask that a text such as `responses(labelAnnotations/description,error)` stands for.

    Names may be in snake_case. Raises BadRequest for another form.
    """
    if len(fields) > MAX_CHARS or PARTS.sub("", fields):
        raise _invalid(fields)
    root: dict[str, Any] = {}
    current, parents = root, [root]
    for part in PARTS.findall(fields):
        if part == "(":
            parents.append(current)
        elif part == ")":
            if len(parents) == 1:
                raise _invalid(fields)
            current = parents.pop()
        elif part == ",":
            current = parents[-1]
        elif part not in "/.":
            current = current.setdefault(camel_case(part), {})
    if len(parents) > 1:
        raise _invalid(fields)
    return root


def selection_of(value: Any, mask: FieldMask) -> Any:
    """The parts of a value that the mask selects."""
    if not mask:
        return value
    if isinstance(value, list):
        return [selection_of(item, mask) for item in value]
    if not isinstance(value, dict):
        return value
    masks = {name: mask.get(name, mask.get("*")) for name in value}
    return {
        name: selection_of(value[name], inner) for name, inner in masks.items() if inner is not None
    }


def camel_case(name: str) -> str:
    """A member's name in proto3's JSON."""
    first, *rest = name.split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in rest)


def _invalid(fields: str) -> BadRequest:
    return BadRequest(f"Invalid field selection {fields[:100]}")
