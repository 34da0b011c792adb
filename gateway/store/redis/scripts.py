"""Loads the Lua scripts.

A script is a file below lua/. `require 'shared/NAME'` on a line of its own stands for that file,
which is put in its place once. A name in capitals is a constant of this package: the loader writes
its value in its place, so that each constant stands in Python only and costs nothing when a script
runs. Whether a script may run where Redis has no memory left is written in its first line.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from importlib import resources

from gateway.ledger.accounts import MOST_ROWS, OTHER
from gateway.store.buffer import MOST_CLAIMS
from gateway.store.jobs import END_SUFFIX, JOB_EVENT, PER_HOST, PHOTO_EVENT, State
from gateway.store.redis import arguments, keys, layouts, limits

Constant = str | int | float | Sequence[str]

_REQUIRE = re.compile(r"^require '([a-z_/]+)'$", re.MULTILINE)
_COMMENT = re.compile(r"--.*")
_STRING_OR_NAME = re.compile(r"'[^'\n]*'|\b[A-Z][A-Z_]{2,}\b")
_OF_LUA = {"ARGV", "KEYS"}


class Script:
    """A Lua script: its text, and the name by which Redis knows it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def load(name: str) -> Script:
    """The script of that path below lua/, without its suffix. Raises KeyError for a constant that
    does not exist."""
    first_line, _, body = source(name).partition("\n")
    code = _COMMENT.sub("", _with_parts(body, set()))
    values = constants()
    tables = [
        f"local {constant} = {_table(value)}"
        for constant in mentioned(code)
        if not isinstance(value := values[constant], str | int | float)
    ]

    def written(match: re.Match[str]) -> str:
        value = values.get(match[0])
        return _literal(value) if isinstance(value, str | int | float) else match[0]

    return Script("\n".join([first_line, *tables, _STRING_OR_NAME.sub(written, code)]))


def source(name: str) -> str:
    """The text of a file below lua/."""
    path = resources.files("gateway.store.redis").joinpath("lua", *f"{name}.lua".split("/"))
    return path.read_text()


def mentioned(text: str) -> list[str]:
    """The names of constants in a Lua text, without those in comments and strings."""
    words = _STRING_OR_NAME.findall(_COMMENT.sub("", text))
    return sorted({word for word in words if not word.startswith("'")} - _OF_LUA)


def constants() -> Mapping[str, Constant]:
    """All constants by their names in Lua."""
    values: dict[str, Constant] = {
        "MOST_CLAIMS": MOST_CLAIMS,
        "MOST_ROWS": MOST_ROWS,
        "OTHER": OTHER,
        "PER_HOST": PER_HOST,
        "END_SUFFIX": END_SUFFIX,
        "JOB_EVENT": JOB_EVENT,
        "PHOTO_EVENT": PHOTO_EVENT,
    }
    for name, value in vars(limits).items():
        if name.isupper():
            values[name] = value
    for name, value in vars(keys).items():
        if name.isupper():
            values[f"KEY_{name}"] = value
    for name, value in vars(layouts).items():
        if name.isupper():
            values[name] = value
    values |= _fields("ENTRY", layouts.ENTRY_FIELDS)
    values |= _fields("JOB", layouts.JOB_FIELDS + layouts.JOB_INTERNAL_FIELDS)
    values |= _fields("DELIVERY", layouts.DELIVERY_FIELDS + layouts.DELIVERY_INTERNAL_FIELDS)
    values |= _fields("IDEMPOTENCY", layouts.IDEMPOTENCY_FIELDS)
    values |= _fields("LESSON", layouts.LESSON_FIELDS)
    values |= {f"STATE_{state.name}": state.value for state in State}
    values |= {f"SUBMIT_{reply.name}": reply.value for reply in layouts.SubmitReply}
    values |= {name: row._fields for name, row in arguments.ROWS.items()}
    return values


def _fields(record: str, names: Sequence[str]) -> dict[str, Constant]:
    return {f"{record}_{name.upper()}": name for name in names}


def _with_parts(text: str, included: set[str]) -> str:
    """The text with each required file in its place, the first time that it is required."""

    def part(match: re.Match[str]) -> str:
        name = match[1]
        if name in included:
            return ""
        included.add(name)
        return _with_parts(source(name), included)

    return _REQUIRE.sub(part, text)


def _literal(value: str | int | float) -> str:
    return f"'{value}'" if isinstance(value, str) else repr(value)


def _table(values: Sequence[str]) -> str:
    return "{" + ", ".join(_literal(value) for value in values) + "}"
