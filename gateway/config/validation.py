"""Messages for what pydantic finds wrong in a configuration."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gateway.config.sections import Section
from gateway.config.tenants import KEY_KINDS


def messages(
    error: ValidationError, settings: type[BaseModel], variables: Mapping[str, str], file: Path
) -> Iterator[str]:
    """One line for each problem: the source of the value, its key, and what is wrong with it.

    `settings` is the model of the whole configuration. `variables` are the environment's, by the
    key that each sets; other values come from the file.
    """
    for problem in error.errors(include_url=False):
        location = [part for part in problem["loc"] if part not in KEY_KINDS]
        message = message_of(problem)
        if _is_unknown_key(problem):
            message += _suggestion(str(problem["loc"][-1]), settings)
        variable = variables.get(".".join(str(part).lower() for part in location))
        source = f"{variable} in the environment" if variable else str(file)
        key = _key(location)
        yield f"{source}: {key}: {message}" if key else f"{source}: {message}"


def message_of(problem: ErrorDetails) -> str:
    """What is wrong with one value."""
    if _is_unknown_key(problem):
        return "unknown key"
    return problem["msg"].removeprefix("Value error, ")


def _is_unknown_key(problem: ErrorDetails) -> bool:
    return problem["type"] == "extra_forbidden"


def _key(location: Sequence[int | str]) -> str:
    """The key as people write it, such as `routes[0].stages`."""
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in location]
    return "".join(parts).lstrip(".")


def _suggestion(key: str, settings: type[BaseModel]) -> str:
    """The known key that is most like this one, in brackets; empty where none is."""
    keys = set(settings.model_fields)
    for section in Section.__subclasses__():
        keys.update(section.model_fields)
    similar = difflib.get_close_matches(key, keys, n=1)
    return f" (did you mean {similar[0]}?)" if similar else ""
