"""Partial answers: Google's parameter `fields`, which names the members of an answer that a client
wants.

https://developers.google.com/discovery/v1/performance#partial-response
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gateway.core.errors import BadRequest

Mask = Mapping[str, Any]
"""The members that are wanted, each with the mask of what is in it; empty: all. A `*` is any
member."""

MAX_LENGTH = 1000
PARTS = re.compile(r"[\w*]+|[/.,()]", re.ASCII)


def mask_of(fields: str) -> Mask:
    """`responses(labelAnnotations/description,error)` as a mask. Names may be spelled with
    underscores.

    Raises BadRequest for what is no such list.
    """
    if len(fields) > MAX_LENGTH or PARTS.sub("", fields):
        raise _unfit(fields)
    root: dict[str, Any] = {}
    here, opened = root, [root]
    for part in PARTS.findall(fields):
        if part == "(":
            opened.append(here)
        elif part == ",":
            here = opened[-1]
        elif part == ")" and len(opened) > 1:
            here = opened.pop()
        elif part == ")":
            raise _unfit(fields)
        elif part not in "/.":
            here = here.setdefault(camel(part), {})
    if len(opened) > 1:
        raise _unfit(fields)
    return root


def masked(value: Any, mask: Mask) -> Any:
    """What the mask leaves of a value."""
    if not mask:
        return value
    if isinstance(value, list):
        return [masked(each, mask) for each in value]
    if not isinstance(value, dict):
        return value
    kept = {name: mask.get(name, mask.get("*")) for name in value}
    return {name: masked(value[name], inner) for name, inner in kept.items() if inner is not None}


def camel(name: str) -> str:
    """A member's name as proto3's JSON spells it."""
    first, *others = name.split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in others)


def _unfit(fields: str) -> BadRequest:
    return BadRequest(f"Invalid field selection {fields[:100]}")
