"""The Lua scripts and the constants that they share with the modules here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import pytest

from gateway.store.redis.scripts import constants, load, mentioned, source

LUA = Path(str(resources.files("gateway.store.redis").joinpath("lua")))
NAMES = sorted(path.relative_to(LUA).with_suffix("").as_posix() for path in LUA.rglob("*.lua"))
SCRIPTS = [name for name in NAMES if not name.startswith("shared/")]

WORD = re.compile(r"[A-Za-z]")
REDIS_WORD = re.compile(r"[A-Z]+|-inf|%[.0-9]*[a-z](?::%[a-z])?|\[\^\\n\]\+|\\n|shared/[a-z_]+")
"""Commands and options of Redis, formats and patterns of Lua, and names of files."""

LUA_FUNCTIONS = ("ipairs", "pairs", "tonumber", "tostring", "unpack")
POSITIONS = set(range(8))
"""In ARGV and in replies; and 0, 1 and 2 for what they are."""
UNITS = {1e6, 1e7}
"""Microseconds; and the fraction of a tag that breaks a tie."""


def code_lines(name: str) -> Iterator[str]:
    """The lines of a script without their comments."""
    for line in source(name).splitlines():
        yield re.sub(r"(--|#!).*", "", line)


@pytest.mark.parametrize("name", NAMES)
def test_a_script_holds_no_constant_of_its_own(name: str) -> None:
    """Scripts name no keys, fields, states or other words: these are in Python only."""
    for line in code_lines(name):
        for literal in re.findall(r"'([^']*)'", line):
            assert not WORD.search(literal) or REDIS_WORD.fullmatch(literal), line


@pytest.mark.parametrize("name", NAMES)
def test_a_script_holds_no_limit_of_its_own(name: str) -> None:
    """Numbers in a script are positions and units; limits and times are in Python only."""
    for line in code_lines(name):
        code = re.sub(r"'[^']*'", "", line)
        numbers = {float(number) for number in re.findall(r"(?<![\w.])\d+(?:\.\d+)?", code)}
        assert numbers <= POSITIONS | UNITS, line


@pytest.mark.parametrize("name", NAMES)
def test_every_capital_name_is_a_python_constant(name: str) -> None:
    """Every capitalised name in a script is a constant of Python."""
    assert set(mentioned(source(name))) <= set(constants())


def test_every_key_name_is_used() -> None:
    """Every key's name is used by a script or a module."""
    texts = [source(name) for name in NAMES]
    texts += [path.read_text() for path in LUA.parent.glob("*.py") if path.name != "keys.py"]
    for name in constants():
        if name.startswith("KEY_"):
            pattern = rf"\b{name}\b|\b(keys\.)?{name.removeprefix('KEY_')}\b"
            assert any(re.search(pattern, text) for text in texts), name


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_loaded_script_is_whole(name: str) -> None:
    """A script begins with its own first line, holds each part once, and no name of a constant that
    is no table."""
    text = load(name).text
    assert text.startswith("#!lua")
    assert text.count("#!lua") == 1
    assert "require " not in text
    definitions = re.findall(r"^local function (\w+)", text, re.MULTILINE)
    assert len(definitions) == len(set(definitions))
    tables = re.findall(r"^local ([A-Z_]+) = {", text, re.MULTILINE)
    assert mentioned(text) == tables


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_requires_what_it_calls(name: str) -> None:
    """Every function that a loaded script calls is one of Lua's or is defined above."""
    text = load(name).text
    calls = set(re.findall(r"(?<![\w.:])([a-z_]+)\(", re.sub(r"'[^'\n]*'", "", text)))
    definitions = set(re.findall(r"^local function (\w+)", text, re.MULTILINE))
    assert calls <= definitions | {"function", "if", "and", "or", *LUA_FUNCTIONS}


@pytest.mark.parametrize("name", NAMES)
def test_lines_of_scripts_fit(name: str) -> None:
    """No line of a script has more than 100 columns."""
    assert max(len(line) for line in source(name).splitlines()) <= 100
