"""The benchmark of the engine and its peers compares what they see, not only how fast."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tests.support.paths import ROOT

BENCHMARKS = ROOT / "benchmarks"
DOG = (0.1, 0.1, 0.5, 0.5, 0.9, 16)
MOVED_DOG = (0.2, 0.1, 0.6, 0.5, 0.9, 16)
CAT = (0.1, 0.1, 0.5, 0.5, 0.9, 15)
FAINT_DOG = (0.1, 0.1, 0.5, 0.5, 0.3, 16)


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The module of the benchmark."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    import sys

    import engine_peers

    yield engine_peers
    ours = [
        name
        for name, module in sys.modules.items()
        if BENCHMARKS in Path(getattr(module, "__file__", None) or "/").parents
    ]
    for name in [*ours, "peers"]:
        sys.modules.pop(name, None)


def strangers(benchmark: ModuleType, *pair: tuple[float, ...]) -> int:
    """How many sure boxes of the first side the second does not see."""
    boxes, others = (np.array([row]) for row in pair)
    return len(benchmark.strangers(boxes, others))


@pytest.mark.parametrize("other", [DOG, FAINT_DOG], ids=["equal", "faint"])
def test_a_box_at_the_same_place_is_no_stranger(
    benchmark: ModuleType, other: tuple[float, ...]
) -> None:
    """A sure box that the other side sees at its place, however surely, is none."""
    assert strangers(benchmark, DOG, other) == 0


@pytest.mark.parametrize("other", [MOVED_DOG, CAT], ids=["elsewhere", "another class"])
def test_a_box_elsewhere_or_of_another_class_is_a_stranger(
    benchmark: ModuleType, other: tuple[float, ...]
) -> None:
    """A sure box that the other side sees elsewhere, or as something else, stops the benchmark."""
    assert strangers(benchmark, DOG, other) == 1


def test_a_faint_box_may_be_missing(benchmark: ModuleType) -> None:
    """Scores near the lowest that is answered depend on the decoder, so these do not count."""
    assert strangers(benchmark, FAINT_DOG, CAT) == 0


def test_every_peer_has_its_files(benchmark: ModuleType) -> None:
    """Every peer has a file of pinned requirements, and the server that its command names."""
    for peer in benchmark.PEERS.values():
        pins = benchmark.versions(peer).split(", ")
        assert all(len(pin.split()) == 2 for pin in pins)
        for name in peer.command:
            assert not name.endswith(".py") or (peer.requirements.parent / name).exists()
