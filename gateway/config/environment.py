"""A config file's content, and the environment's variables that override it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import yaml

TWICE = "the key"
_QUOTED = re.compile(r"(['\"]).{2,}\1")
"""What a message of YAML quotes of the text; single characters may be shown."""


class _Loader(yaml.SafeLoader):
    """A YAML loader that refuses a key which stands twice in a mapping; by default the last one
    wins silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names: list[Any] = []
        for key, _ in node.value:
            name = self.construct_object(key, deep=True)
            if name in names:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{TWICE} {name!r} stands twice", node.start_mark
                )
            names.append(name)
        return super().construct_mapping(node, deep)


def load(text: str) -> Any:
    """The content of a YAML text. Raises yaml.YAMLError."""
    return yaml.load(text, _Loader)  # noqa: S506  it is a SafeLoader


def yaml_problem(error: yaml.YAMLError) -> str:
    """What is wrong with a YAML text, and where: line and column, and never the line itself, which
    may hold a secret."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        position = getattr(error, "position", None)
        where = "" if position is None else f", at character {position + 1}"
        return f"it has a character that YAML does not allow{where}"
    mark = error.problem_mark
    problem = error.problem or "it is no YAML"
    if not problem.startswith((TWICE, "expected")):  # these quote kinds of tokens, and no text
        problem = _QUOTED.sub("'…'", problem)
    return f"line {mark.line + 1}, column {mark.column + 1}: {problem}"


class Variable(NamedTuple):
    """A variable of the environment: the path of the key that it sets, its name, and its value."""

    path: list[str]
    name: str
    value: Any


def variables(environ: Mapping[str, str], prefix: str) -> Iterator[Variable]:
    """The variables whose names begin with the prefix. Raises ValueError for a value that is no
    YAML."""
    for name, text in sorted(environ.items()):
        if name.startswith(prefix):
            path = name.removeprefix(prefix).lower().split("__")
            try:
                yield Variable(path, name, _value(text))
            except yaml.YAMLError as error:
                raise ValueError(
                    f"{name} in the environment is no YAML value: {yaml_problem(error)}"
                ) from None


def _value(text: str) -> Any:
    """A variable's value, read as YAML. An unquoted string is taken literally, so that `#` begins
    no comment in it."""
    value = load(text)
    return text if isinstance(value, str) and text[:1] not in ("'", '"') else value


def put(content: Any, variable: Variable) -> None:
    """Sets the variable's value within nested mappings and lists. Keys match in any case.

    Raises ValueError where its path leads nowhere.
    """
    path, name, value = variable
    *parents, last = path
    for part, following in zip(parents, path[1:], strict=True):
        content = _child(content, part, name, [] if following.isdigit() else {})
    _child(content, last, name, None)  # raises where there is no such place
    content[int(last) if isinstance(content, list) else _key_of(content, last)] = value


def _child(content: Any, part: str, name: str, default: Any) -> Any:
    """The value at one part of a path, which is created as `default` where it is missing."""
    if isinstance(content, list):
        if not part.isdigit() or int(part) > len(content):
            raise ValueError(
                f"{name} in the environment: {part!r} is no index of a list of {len(content)}"
            )
        if int(part) == len(content):
            content.append(default)
        return content[int(part)]
    if not isinstance(content, dict):
        raise ValueError(f"{name} in the environment: {part!r} cannot be set within a single value")
    return content.setdefault(_key_of(content, part), default)


def _key_of(content: Mapping[str, Any], part: str) -> str:
    """The key that the content has for the lower-case part; the part itself for a new key."""
    return next((key for key in content if str(key).lower() == part), part)
