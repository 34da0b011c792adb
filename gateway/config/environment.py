"""A config file's content with the environment's variables laid over it, before anybody looks at
what it says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml


class _Loader(yaml.SafeLoader):
    """YAML whose mappings name each key once; plain YAML lets the last one win without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = [name for index, name in enumerate(names) if name in names[:index]]
        if twice:
            raise yaml.constructor.ConstructorError(
                None, None, f"the key {twice[0]!r} stands twice", node.start_mark
            )
        return super().construct_mapping(node, deep)


def load(text: str) -> Any:
    """What a YAML text says. Raises yaml.YAMLError."""
    return yaml.load(text, _Loader)  # noqa: S506  it is a SafeLoader


def variables(environment: Mapping[str, str], prefix: str) -> Iterator[tuple[list[str], str, Any]]:
    """The variables that begin so: the path of keys that each is about, its own name, its value.
    Raises ValueError."""
    for name, text in sorted(environment.items()):
        if name.startswith(prefix):
            try:
                yield name.removeprefix(prefix).lower().split("__"), name, _value(text)
            except yaml.YAMLError as error:
                raise ValueError(f"{name} in the environment is no YAML value: {error}") from None


def _value(text: str) -> Any:
    """A variable's value as YAML; but a plain string as it stands, with what YAML takes for a
    comment."""
    value = load(text)
    return text if isinstance(value, str) and text[:1] not in ("'", '"') else value


def put(content: Any, path: list[str], name: str, value: Any) -> None:
    """Sets one value within nested mappings and lists; names match whatever their case. Raises
    ValueError where there is no such place."""
    *parents, last = path
    for part, after in zip(parents, path[1:], strict=True):
        content = _child(content, part, name, {} if not after.isdigit() else [])
    _child(content, last, name, None)  # raises where there is no such place
    content[int(last) if isinstance(content, list) else _spelled(content, last)] = value


def _child(content: Any, part: str, name: str, fresh: Any) -> Any:
    if isinstance(content, list):
        if not part.isdigit() or int(part) > len(content):
            raise ValueError(
                f"{name} in the environment: {part!r} is no index of a list of {len(content)}"
            )
        if int(part) == len(content):
            content.append(fresh)
        return content[int(part)]
    if not isinstance(content, dict):
        raise ValueError(f"{name} in the environment: {part!r} cannot be set within a single value")
    return content.setdefault(_spelled(content, part), fresh)


def _spelled(content: Mapping[str, Any], part: str) -> str:
    return next((key for key in content if str(key).lower() == part), part)
