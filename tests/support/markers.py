"""Markers that a test gets by what it uses: `redis`, `sdk`, `slow`; `unit` where it has no other.

`live` and `browser` are written at the tests themselves, and `slow` where no fixture tells.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from types import ModuleType

import pytest

SDK_PACKAGES = frozenset(
    {"azure", "boto3", "botocore", "google", "googleapiclient", "grpc", "tritonclient"}
)
SDK_FIXTURES = frozenset({"cloud", "clouds", "rekognition", "s3_endpoint", "stand_in"})
"""Fixtures that call a vendor's SDK, or answer one."""
CLOUD_KINDS = frozenset({"azure", "google", "rekognition"})
"""Kinds of provider whose calls go through the vendor's SDK."""
REDIS_FIXTURES = frozenset({"own_server", "redis_server", "server", "start_redis"})
SLOW_FIXTURES = frozenset(
    {"agreed", "ensemble", "four_shapes", "image_folders", "studied", "study"}
)
"""Fixtures that take seconds: plans are learned, an image is built, scikit-learn is imported."""
SLOW_KINDS = frozenset({"text"})
"""Kinds of provider whose networks take seconds."""
OTHER_THAN_UNIT = frozenset({"browser", "live", "redis", "sdk", "slow"})


@cache
def packages_used(module: ModuleType) -> set[str]:
    """The top-level packages from which a module has taken its globals."""
    packages = set()
    for value in vars(module).values():
        name = value.__name__ if isinstance(value, ModuleType) else value.__class__.__module__
        if isinstance(value, type) or callable(value):
            name = getattr(value, "__module__", None) or name
        packages.add(name.partition(".")[0])
    return packages


def parameters(item: pytest.Function) -> Iterator[object]:
    """The values that a test is parametrised with; tuples are taken apart."""
    callspec = getattr(item, "callspec", None)
    for value in callspec.params.values() if callspec else ():
        yield from value if isinstance(value, tuple) else (value,)


def names_among(values: Iterable[object], names: frozenset[str]) -> bool:
    """Whether one of the values is one of the names."""
    return any(isinstance(value, str) and value in names for value in values)


def is_of_kind(item: pytest.Function, kinds: frozenset[str]) -> bool:
    """Whether it is a test of providers of these kinds."""
    return "tests/providers/" in item.nodeid and names_among(parameters(item), kinds)


def uses_redis(item: pytest.Function) -> bool:
    fixtures = REDIS_FIXTURES.intersection(item.fixturenames)
    return bool(fixtures) or names_among(parameters(item), frozenset({"redis", "both"}))


def uses_an_sdk(item: pytest.Function) -> bool:
    if SDK_FIXTURES.intersection(item.fixturenames):
        return True
    if is_of_kind(item, CLOUD_KINDS):
        return True
    return bool(SDK_PACKAGES & packages_used(item.module))


def is_slow(item: pytest.Function) -> bool:
    return bool(SLOW_FIXTURES.intersection(item.fixturenames)) or is_of_kind(item, SLOW_KINDS)


def mark(items: Iterable[pytest.Item]) -> None:
    """Marks each test by what it uses."""
    for item in items:
        if not isinstance(item, pytest.Function):
            continue
        if uses_redis(item):
            item.add_marker("redis")
        if uses_an_sdk(item):
            item.add_marker("sdk")
        if is_slow(item):
            item.add_marker("slow")
        if OTHER_THAN_UNIT.isdisjoint(marker.name for marker in item.iter_markers()):
            item.add_marker("unit")
