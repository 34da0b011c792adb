"""Messages for what pydantic finds wrong in a configuration."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gateway.config.tenants import KEY_KINDS


def messages(
    error: ValidationError, settings: type[BaseModel], sources: Mapping[str, str], file: Path
) -> Iterator[str]:
    """One line for each problem: the source of the value, its key, and what is wrong with it.

    `settings` is the model of the whole configuration. `sources` say where values come from that
    are not the file's (a variable of the environment, an option), by the key that each sets.
    """
    for problem in error.errors(include_url=False):
        location = [part for part in problem["loc"] if part not in KEY_KINDS]
        message = message_of(problem, _keys_at(settings, problem["loc"]))
        source = sources.get(".".join(str(part).lower() for part in location), str(file))
        key = _key(location)
        yield f"{source}: {key}: {message}" if key else f"{source}: {message}"


def message_of(problem: ErrorDetails, keys: Collection[str] = ()) -> str:
    """What is wrong with one value, and what was probably meant: one of the `keys` for an unknown
    key, one of the words that are allowed for another word."""
    if problem["type"] == "extra_forbidden":
        return "unknown key" + _hint(str(problem["loc"][-1]), keys)
    return problem["msg"].removeprefix("Value error, ") + _word_hint(problem)


def _word_hint(problem: ErrorDetails) -> str:
    """The allowed word that is most like the given one, in brackets; empty where none is."""
    context = problem.get("ctx", {})
    word = context.get("tag", problem["input"])
    allowed = context.get("expected", context.get("expected_tags"))
    if not isinstance(word, str) or not isinstance(allowed, str):
        return ""
    return _hint(word, re.findall(r"'([^']*)'", allowed))


def _hint(word: str, known: Collection[str]) -> str:
    words = {name.lower(): name for name in known}
    similar = difflib.get_close_matches(word.lower(), words, n=1)
    return f" (did you mean {words[similar[0]]}?)" if similar else ""


def _key(location: Sequence[int | str]) -> str:
    """The key as people write it, such as `routes[0].stages`."""
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in location]
    return "".join(parts).lstrip(".")


def _keys_at(settings: type[BaseModel], location: Sequence[int | str]) -> Collection[str]:
    """The keys of the section in which a place lies."""
    section: type[BaseModel] = settings
    for part in location[:-1]:
        field = section.model_fields.get(str(part))
        section = (field and _model_in(field.annotation)) or section
    return section.model_fields


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The first model in a type such as `list[RouteSettings] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    models = (_model_in(part) for part in get_args(annotation))
    return next((model for model in models if model is not None), None)
