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


def test_every_promise_holds_in_chaos(chaos: ModuleType, tmp_path: Path) -> None:
    """Every accepted photo has one answer, its own, or an explicit error; every webhook comes,
    under one id; and the upstream's bill is the ledger's."""
    if lacking := chaos.missing():
        pytest.skip(f"needs {lacking}")
    report = asyncio.run(chaos.run(chaos.SHORT, tmp_path))
    assert report.broken == [], report.figures


# The harness itself: what is broken does not pass.


def test_a_photos_number_is_read_from_its_detections(chaos: ModuleType) -> None:
    """A photo's number is read from the detections on it, and from nothing else."""
    import drawings

    for number in (0, 1, 5, 1295, 1296, 12_345, drawings.NUMBERS - 1):
        results = shapes_on(Image.open(BytesIO(drawings.picture(number))))
        seen = [(each.label.title(), *each.box.midpoint) for each in results]
        assert drawings.read(seen) == number
        assert drawings.read(seen[1:]) is None
        assert drawings.read([*seen, seen[0]]) is None


def crowd_with(chaos: ModuleType, *answers: tuple[Any, ...]) -> SimpleNamespace:
    from crowd import Told

    return SimpleNamespace(told=[Told(*each) for each in answers])


@pytest.mark.parametrize(
    ("answers", "broken"),
    [
        ([(1, 1), (2, None, "busy")], []),
        ([(1, 1), (2, 1)], ["photo 2 was answered as 1"]),
        ([(1, 1), (2, None)], ["photo 2 was answered as None"]),
        ([(1, 1), (2, None, "silent")], ["photo 2: silent"]),
        ([(1, 1)], ["2 photos, answers to 1"]),
        ([(1, 1), (1, 1)], ["2 photos, answers to 1"]),
    ],
)
def test_wrong_answers_are_reported(
    chaos: ModuleType,
    answers: list[tuple[Any, ...]],
    broken: list[str],
) -> None:
    """The answer of another photo, half an answer, none, and two are all reported."""
    report = chaos.Report()
    chaos.sync_photos(report, crowd_with(chaos, *answers), 2)
    assert report.broken == broken


def result(index: int, number: int, **more: Any) -> dict[str, Any]:
    import drawings

    with Image.open(BytesIO(drawings.picture(number))) as image:
        boxes = [
            (each.label, dict(zip(("x0", "y0", "x1", "y1"), each.box, strict=True)))
            for each in shapes_on(image)
        ]
    results = [{"label": label, "box": box} for label, box in boxes]
    return {"index": index, "name": str(number), "detections": results, **more}


@pytest.mark.parametrize(
    ("results", "broken"),
    [
        ([(0, 7), (1, 8)], ""),
        ([(0, 8), (1, 7)], "photo 7 of job j was answered as 8"),
        ([(0, 7)], "job j has results for [0]"),
        ([(0, 7), (1, 8), (1, 8)], "job j has results for [0, 1, 1]"),
    ],
)
def test_wrong_results_of_jobs_are_reported(
    chaos: ModuleType, results: list[tuple[int, int]], broken: str
) -> None:
    """Missing, doubled and exchanged results are reported."""
    report = chaos.Report()
    job = chaos.Handed("shop", (7, 8), True, id="j")
    chaos.job_photos(report, [job], {"j": [result(*each) for each in results]})
    assert report.broken[:1] == ([broken] if broken else [])


async def test_wrong_webhooks_are_reported(chaos: ModuleType) -> None:
    """A webhook that is missing, came under two ids, or belongs to no job, is reported."""
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
async def test_a_bill_beyond_the_ledger_is_reported(
    chaos: ModuleType, bill: int, certain: float, unknown: float, fits: bool
) -> None:
    """The bill may be the certain amount of the ledger, up to the possibly billed amount besides,
    and nothing else."""

    async def billed() -> dict[str, float]:
        return {"images": bill, "under_way": 0}

    async def usage() -> dict[str, float]:
        return {"billed_images": certain, "maybe_billed_images": unknown}

    report = chaos.Report()
    fleet, crowd = (
        SimpleNamespace(upstream=SimpleNamespace(bill=billed)),
        SimpleNamespace(usage=usage),
    )
    await chaos.bills(report, fleet, crowd, 0)
    assert (not report.broken) == fits
