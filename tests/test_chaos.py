"""Replicas on one Redis keep every promise while things around them are killed, paused and
restarted."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from providers.shapes import shapes_on
from tests.support.paths import ROOT

BENCHMARKS = ROOT / "benchmarks"


@pytest.fixture
def chaos(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The harness of `make chaos`."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    import chaos

    yield chaos
    for name in ("chaos", "crowd", "drawings", "fleet"):
        sys.modules.pop(name, None)


@pytest.mark.redis
@pytest.mark.slow
def test_chaos(chaos: ModuleType, tmp_path: Path) -> None:
    """Every accepted photo has one answer, its own, or an explicit error; every webhook comes,
    under one id; and the upstream's bill is the ledger's."""
    if lacking := chaos.missing():
        pytest.skip(f"needs {lacking}")
    report = asyncio.run(chaos.run(chaos.SHORT, tmp_path))
    assert report.broken == [], report.figures


# The harness itself: what is broken does not pass.


def test_photos_name_themselves(chaos: ModuleType) -> None:
    """A photo's number is read from what is found on it, and from nothing else."""
    import drawings

    for number in (0, 1, 5, 1295, 1296, 12_345, drawings.NUMBERS - 1):
        found = shapes_on(Image.open(BytesIO(drawings.picture(number))))
        seen = [(each.label.title(), *each.box.midpoint) for each in found]
        assert drawings.read(seen) == number
        assert drawings.read(seen[1:]) is None
        assert drawings.read([*seen, seen[0]]) is None


def crowd_that_was(chaos, *told):
    from crowd import Told

    return SimpleNamespace(told=[Told(*each) for each in told])


@pytest.mark.parametrize(
    ("told", "broken"),
    [
        ([(1, 1), (2, None, "busy")], []),
        ([(1, 1), (2, 1)], ["photo 2 was answered as 1"]),
        ([(1, 1), (2, None)], ["photo 2 was answered as None"]),
        ([(1, 1), (2, None, "silent")], ["photo 2: silent"]),
        ([(1, 1)], ["2 photos, answers to 1"]),
        ([(1, 1), (1, 1)], ["2 photos, answers to 1"]),
    ],
)
def test_answers_are_checked(
    chaos: ModuleType,
    told: list[tuple[int | None, ...] | tuple[int, ...]]
    | list[tuple[int | str | None, ...] | tuple[int, ...]]
    | list[tuple[int, ...]],
    broken: list[Any] | list[str],
) -> None:
    """Another's answer, half of one, none, and two are all found."""
    report = chaos.Report()
    chaos.sync_photos(report, crowd_that_was(chaos, *told), 2)
    assert report.broken == broken


def result(index, number, **more):
    import drawings

    with Image.open(BytesIO(drawings.picture(number))) as image:
        boxes = [
            (each.label, dict(zip(("x0", "y0", "x1", "y1"), each.box, strict=True)))
            for each in shapes_on(image)
        ]
    found = [{"label": label, "box": box} for label, box in boxes]
    return {"index": index, "name": str(number), "detections": found, **more}


@pytest.mark.parametrize(
    ("found", "broken"),
    [
        ([(0, 7), (1, 8)], ""),
        ([(0, 8), (1, 7)], "photo 7 of job j was answered as 8"),
        ([(0, 7)], "job j has results for [0]"),
        ([(0, 7), (1, 8), (1, 8)], "job j has results for [0, 1, 1]"),
    ],
)
def test_jobs_are_checked(chaos: ModuleType, found: list[tuple[int, ...]], broken: str) -> None:
    """Results that are missing, doubled or another's are found."""
    report = chaos.Report()
    job = chaos.Handed("shop", (7, 8), True, id="j")
    chaos.job_photos(report, [job], {"j": [result(*each) for each in found]})
    assert report.broken[:1] == ([broken] if broken else [])


async def test_messages_are_checked(chaos: ModuleType) -> None:
    """A webhook that is missing, came under two ids, or is about what nobody asked, is found."""
    receiver = chaos.Receiver()
    receiver.ids[("job.done", "j", -1)] = Counter({"a": 2})
    receiver.ids[("photo.settled", "j", 0)] = Counter({"b": 1, "c": 1})
    receiver.ids[("job.done", "other", -1)] = Counter({"d": 1})
    report = chaos.Report()
    await chaos.messages(report, receiver, [chaos.Handed("shop", (7, 8), True, id="j")], 0)
    assert [text.split(",")[0] for text in report.broken] == [
        "1 webhooks never came",
        "1 webhooks about what nobody asked",
        "('photo.settled'",
    ]


@pytest.mark.parametrize(
    ("bill", "certain", "unknown", "fits"),
    [(10, 10.0, 0.0, True), (12, 10.0, 2.0, True), (9, 10.0, 2.0, False), (13, 10.0, 2.0, False)],
)
async def test_bills_are_checked(
    chaos: ModuleType, bill: int, certain: float, unknown: float, fits: bool
) -> None:
    """The bill may be what is certain in the ledger, up to what may be billed besides, and nothing
    else."""

    async def billed():
        return {"images": bill, "under_way": 0}

    async def usage():
        return {"billed_images": certain, "maybe_billed_images": unknown}

    report = chaos.Report()
    fleet, crowd = (
        SimpleNamespace(upstream=SimpleNamespace(bill=billed)),
        SimpleNamespace(usage=usage),
    )
    await chaos.bills(report, fleet, crowd, 0)
    assert (not report.broken) == fits
