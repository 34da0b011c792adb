"""What ruff cannot hold: size, names and form of the code of providers, thresholds and gateway.

Offenders of earlier days are listed by file. The lists only become shorter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import pytest

from benchmarks.structure import (
    LINE_CHARS,
    Checkout,
    complex_functions,
    homonyms,
    nested_comprehensions,
)
from tests.support.paths import ROOT

COMPLEX: dict[str, int] = {
    "thresholds/cascade.py": 1,
    "thresholds/plan/candidates.py": 1,
    "thresholds/plan/search.py": 3,
    "thresholds/plan/training.py": 1,
    "thresholds/profile/profile.py": 2,
    "thresholds/samples/sample.py": 3,
    "thresholds/variants.py": 1,
}
"""How many functions of a file are more complex than benchmarks/structure.py allows."""
NESTED: dict[str, int] = {
    "thresholds/fusion/boxes.py": 1,
    "thresholds/metrics/average_precision.py": 4,
    "thresholds/plan/recall.py": 1,
    "thresholds/plan/search.py": 6,
    "thresholds/plan/training.py": 6,
    "thresholds/profile/input_size.py": 1,
    "thresholds/profile/profile.py": 3,
    "thresholds/profile/shape_stats.py": 1,
    "thresholds/samples/sample.py": 6,
    "thresholds/testing.py": 2,
}
"""How many comprehensions of a file are inside another one."""
LONG: dict[str, int] = {
    "gateway/api/idempotency.py": 1,
    "gateway/api/resources/openapi.py": 1,
    "gateway/security/sigv4.py": 2,
    "gateway/store/redis/connection.py": 2,
    "gateway/testing/redis_server.py": 1,
    "providers/options.py": 1,
    "thresholds/cascade.py": 3,
    "thresholds/metrics/quality.py": 1,
    "thresholds/rules/imgrid.py": 1,
    "thresholds/samples/sample.py": 2,
    "thresholds/shape.py": 1,
}
"""How many lines of a file are longer than benchmarks/structure.py allows."""


@pytest.fixture(scope="module")
def checkout() -> Checkout:
    return Checkout(ROOT)


def files_of(rows: Iterable[str]) -> Counter[str]:
    """How many of the rows, which begin with a path and a colon, are about each file."""
    return Counter(row.partition(":")[0].removeprefix(f"{ROOT}/") for row in rows)


def test_functions_are_simple(checkout: Checkout) -> None:
    """No function has a cyclomatic complexity of more than 10, as radon counts it."""
    rows = complex_functions(checkout)
    assert files_of(rows) <= Counter(COMPLEX), "\n".join(rows)


def test_comprehensions_are_flat(checkout: Checkout) -> None:
    """No comprehension is inside another one: a loop reads better."""
    rows = nested_comprehensions(checkout)
    assert files_of(rows) <= Counter(NESTED), "\n".join(rows)


def test_a_class_name_means_one_thing(checkout: Checkout) -> None:
    """No two modules have a class of the same name, but the Options and Rule of plugins."""
    assert homonyms(checkout) == {}


def test_lines_are_short(checkout: Checkout) -> None:
    """No line has more than 100 characters."""
    rows = [
        f"{path}:{number}"
        for path, text in checkout.sources.items()
        for number, line in enumerate(text.splitlines(), 1)
        if len(line) > LINE_CHARS
    ]
    assert files_of(rows) <= Counter(LONG), "\n".join(rows)


def test_all_code_is_formatted(checkout: Checkout) -> None:
    """No line is left out of formatting."""
    skips = [str(path) for path, text in checkout.sources.items() if "fmt: skip" in text]
    assert skips == []
