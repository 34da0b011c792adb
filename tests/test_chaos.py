"""Replicas on one Redis keep every promise while the parts around them are killed, paused and
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
def test_replicas_keep_every_promise_under_chaos(chaos: ModuleType, tmp_path: Path) -> None:
    """Every accepted photo has one answer, its own, or an explicit error; every webhook comes,
    under one id; and the upstream's bill is the ledger's."""
    if lacking := chaos.missing():
        pytest.skip(f"needs {lacking}")
    report = asyncio.run(chaos.run(chaos.SHORT, tmp_path))
    assert report.broken == [], report.figures


# The harness itself: what is broken does not pass.


def test_a_photo_shows_its_own_number(chaos: ModuleType) -> None:
    """A photo's number is read from its shapes, and from no others."""
    import drawings

    for number in (0, 1, 5, 1295, 1296, 12_345, drawings.NUMBERS - 1):
        shapes = shapes_on(Image.open(BytesIO(drawings.picture(number))))
        drawing = [(each.label.title(), *each.box.midpoint) for each in shapes]
        assert drawings.read(drawing) == number
        assert drawings.read(drawing[1:]) is None
        assert drawings.read([*drawing, drawing[0]]) is None


def crowd_with(*answers: tuple[Any, ...]) -> SimpleNamespace:
    """A crowd of clients that got these answers."""
    from crowd import Told

    return SimpleNamespace(told=[Told(*each) for each in answers])


@pytest.mark.parametrize(
    ("answers", "faults"),
    [
        ([(1, 1), (2, None, "busy")], []),
        ([(1, 1), (2, 1)], ["photo 2 was answered as 1"]),
        ([(1, 1), (2, None)], ["photo 2 was answered as None"]),
        ([(1, 1), (2, None, "silent")], ["photo 2: silent"]),
        ([(1, 1)], ["2 photos, answers to 1"]),
        ([(1, 1), (1, 1)], ["2 photos, answers to 1"]),
    ],
)
def test_a_wrong_answer_is_detected(
    chaos: ModuleType,
    answers: list[tuple[Any, ...]],
    faults: list[str],
) -> None:
    """The harness detects another photo's answer, half an answer, a missing one, and two
    answers."""
    report = chaos.Report()
    chaos.sync_photos(report, crowd_with(*answers), 2)
    assert report.broken == faults


def result(index: int, number: int) -> dict[str, Any]:
    """A job's result for a photo of that number, at that index."""
    import drawings

    with Image.open(BytesIO(drawings.picture(number))) as image:
        boxes = [
            (each.label, dict(zip(("x0", "y0", "x1", "y1"), each.box, strict=True)))
            for each in shapes_on(image)
        ]
    detections = [{"label": label, "box": box} for label, box in boxes]
    return {"index": index, "name": str(number), "detections": detections}


@pytest.mark.parametrize(
    ("numbers", "fault"),
    [
        ([(0, 7), (1, 8)], ""),
        ([(0, 8), (1, 7)], "photo 7 of job j was answered as 8"),
        ([(0, 7)], "job j has results for [0]"),
        ([(0, 7), (1, 8), (1, 8)], "job j has results for [0, 1, 1]"),
    ],
)
def test_a_wrong_result_of_a_job_is_detected(
    chaos: ModuleType, numbers: list[tuple[int, int]], fault: str
) -> None:
    """The harness detects results that are missing, doubled or another photo's."""
    report = chaos.Report()
    job = chaos.Handed("shop", (7, 8), True, id="j")
    chaos.job_photos(report, [job], {"j": [result(*each) for each in numbers]})
    assert report.broken[:1] == ([fault] if fault else [])


async def test_a_wrong_webhook_is_detected(chaos: ModuleType) -> None:
    """The harness detects a webhook that is missing, came under two ids, or is about an unknown
    photo or job."""
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
async def test_a_wrong_bill_is_detected(
    chaos: ModuleType, bill: int, certain: float, unknown: float, fits: bool
) -> None:
    """The upstream's bill must lie between the ledger's certain bill and that bill with its
    possible part."""

    async def bill_of_upstream() -> dict[str, int]:
        return {"images": bill, "under_way": 0}

    async def usage() -> dict[str, float]:
        return {"billed_images": certain, "maybe_billed_images": unknown}

    report = chaos.Report()
    fleet, crowd = (
        SimpleNamespace(upstream=SimpleNamespace(bill=bill_of_upstream)),
        SimpleNamespace(usage=usage),
    )
    await chaos.bills(report, fleet, crowd, 0)
    assert (not report.broken) == fits
