"""The code of providers, thresholds and gateway keeps to sizes, names and forms that ruff cannot
check."""

from __future__ import annotations

import pytest

from benchmarks.structure import (
    LINE_CHARS,
    Checkout,
    complex_functions,
    homonyms,
    nested_comprehensions,
)
from tests.support.paths import ROOT


@pytest.fixture(scope="module")
def checkout() -> Checkout:
    return Checkout(ROOT)


@pytest.mark.slow
def test_no_function_is_complex(checkout: Checkout) -> None:
    """No function has a cyclomatic complexity of more than 10, as radon counts it."""
    assert complex_functions(checkout) == []


def test_comprehensions_are_flat(checkout: Checkout) -> None:
    """No comprehension is inside another one: a loop reads better."""
    assert nested_comprehensions(checkout) == []


def test_a_class_name_means_one_thing(checkout: Checkout) -> None:
    """No two modules have a class of the same name, except the Options and Rule of plugins."""
    assert homonyms(checkout) == {}


def test_lines_are_short(checkout: Checkout) -> None:
    """No line has more than 100 characters."""
    rows = [
        f"{path}:{number}"
        for path, text in checkout.sources.items()
        for number, line in enumerate(text.splitlines(), 1)
        if len(line) > LINE_CHARS
    ]
    assert rows == []


def test_all_code_is_formatted(checkout: Checkout) -> None:
    """No line is left out of formatting."""
    skips = [str(path) for path, text in checkout.sources.items() if "fmt: skip" in text]
    assert skips == []
