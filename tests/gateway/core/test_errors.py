"""The docstring of the errors' module draws their tree as it is."""

from __future__ import annotations

import re

from gateway.core import errors
from gateway.core.errors import GatewayError


def tree(kind: type[GatewayError], depth: int = 0) -> list[tuple[int, str, int, str]]:
    """The classes below `kind` with their depth, status and code, each before its subclasses."""
    rows = [(depth, kind.__name__, kind.status, kind.code)]
    for subclass in kind.__subclasses__():
        if subclass.__module__ == errors.__name__:
            rows += tree(subclass, depth + 1)
    return rows


def drawing() -> list[tuple[int, str, int, str]]:
    """The same rows, as the docstring draws them."""
    lines = re.findall(r"^( *)(\w+) +(\d{3})  (\w+)$", errors.__doc__ or "", re.MULTILINE)
    return [(len(indent) // 2, name, int(status), code) for indent, name, status, code in lines]


def test_the_docstring_draws_the_tree_of_errors() -> None:
    """The docstring draws every error with its status and code, below each of its parents."""
    assert drawing() == tree(GatewayError)


def test_a_code_leads_to_its_error() -> None:
    """Every code leads to an error with that code, and an unknown code leads to an internal
    error."""
    for _, _, _, code in tree(GatewayError):
        assert errors.error_of(code, "why").code == code
    assert type(errors.error_of("unheard_of", "why")) is GatewayError
