"""What every provider does, whatever its kind."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image

from providers import registry
from providers.base import Picture, feature_name
from providers.detection import BOXED, WHOLE, Detection, Task
from providers.errors import Misconfigured, PictureRefused, Unavailable
from tests.providers.conftest import Subject

PLACES = {
    "boundingbox",
    "boundingpoly",
    "fdboundingpoly",
    "vertices",
    "landmarks",
    "geometry",
    "polygon",
}
"""What vendors call places, in lower case."""

saying_extras = pytest.mark.parametrize(
    "subject",
    [(kind, Task.EXTRAS) for kind in ("azure", "google", "rekognition")],
    ids="-".join,
    indirect=True,
)


def test_kind(subject: Subject) -> None:
    """A provider says the name it was given and the kind that it was found by."""
    about = subject.provider.about
    assert about.kind in registry.kinds()
    assert about.name == f"my-{about.kind}"
    assert subject.task in about.tasks


def test_tasks(subject: Subject, tasks: dict[str, tuple[Task, ...]]) -> None:
    """It answers the tasks that this suite asks it for, and no others; one that says extras names
    them."""
    about = subject.provider.about
    assert about.tasks == set(tasks[about.kind])
    assert (Task.EXTRAS in about.tasks) is bool(about.extras)


def test_calls(subject: Subject) -> None:
    """What an operator says of how often it may be called, and when it is left alone, is what it
    tells of itself."""
    calls = subject.provider.about.calls
    assert calls.rate_per_s == 1000
    assert calls.breaker is not None
    assert calls.breaker.calls == 7


def test_unknown_kind() -> None:
    """Asking for a kind that is not there names those that are, and none of their shared parts."""
    with pytest.raises(LookupError, match=r"'sonar'.*known: azure.*onnx.*shapes.*text"):
        registry.load("sonar")
    assert not [kind for kind in registry.kinds() if kind.startswith("_") or kind == "base"]


def test_detections(seen: list[Detection]) -> None:
    """It sees what is there: named, with a score of 0 to 1 and a box of fractions whose corners are
    in order."""
    assert seen
    for detection in seen:
        x0, y0, x1, y1 = detection.box
        assert detection.label
        assert 0 <= detection.score <= 1
        assert -1 < x0 < x1 < 2
        assert -1 < y0 < y1 < 2
        assert all(
            type(number) is float and math.isfinite(number)
            for number in (detection.score, *detection.box)
        )


def test_polygons(seen: list[Detection]) -> None:
    """A detection's polygon, where it has one, lies in its box."""
    for detection in seen:
        x0, y0, x1, y1 = detection.box
        assert all(x0 <= x <= x1 and y0 <= y <= y1 for x, y in detection.polygon)


def test_landmarks(seen: list[Detection]) -> None:
    """Landmarks have names, and lie about the box that they are in."""
    for detection in seen:
        for mark in detection.landmarks:
            assert mark.name
            assert detection.box.x0 <= mark.x <= detection.box.x1
            assert detection.box.y0 <= mark.y <= detection.box.y1
            assert math.isfinite(mark.z)


def test_whole(subject: Subject, seen: list[Detection]) -> None:
    """What judges a whole picture has its box; of labels a provider may tell the places as well."""
    judged = {each.box for each in seen if each.kind != "INSTANCE"}
    assert judged == {WHOLE} if subject.task not in BOXED else WHOLE not in judged


@saying_extras
def test_extras(subject: Subject, seen: list[Detection]) -> None:
    """Of each extra that is wanted comes one detection, called as it was wanted, with the vendor's
    own words."""
    assert [each.label for each in seen] == list(map(feature_name, subject.wanted))
    assert all(each.details["raw"] for each in seen)


def test_details(subject: Subject, seen: list[Detection]) -> None:
    """Details can be written as JSON, and no place is among them: it would not be mapped to its
    photo."""
    details = json.loads(json.dumps([dict(each.details) for each in seen]))
    if subject.task != Task.EXTRAS:
        assert not PLACES & {key.lower() for key in keys_of(details)}


def keys_of(value):
    if isinstance(value, dict):
        for key, within in value.items():
            yield key
            yield from keys_of(within)
    elif isinstance(value, list):
        for within in value:
            yield from keys_of(within)


def test_families(seen: list[Detection]) -> None:
    """Keys are unique, and every parent is the key of another detection."""
    keys = [detection.key for detection in seen if detection.key is not None]
    assert len(keys) == len(set(keys))
    assert {detection.parent for detection in seen if detection.parent is not None} <= set(keys)


async def test_repeatable(
    subject: Subject, seen: list[Detection], picture: Callable[..., Any]
) -> None:
    """The same picture gets the same answer, also when others are asked about meanwhile."""
    shown = picture(subject.shows, subject.provider.about.wants)
    blank = picture(Image.new("RGB", (96, 96), "white"), subject.provider.about.wants)
    first, _, second = await asyncio.gather(
        *(subject.provider.detect(at, subject.task, subject.wanted) for at in (shown, blank, shown))
    )
    assert first == second


async def test_formats(subject: Subject, picture: Callable[..., Any]) -> None:
    """One that wants bytes takes every format of its limits."""
    if subject.provider.about.wants == "pixels":
        pytest.skip("it wants pixels")
    for form in subject.provider.about.limits.formats:
        assert await subject.provider.detect(
            picture(subject.shows, "bytes", form), subject.task, subject.wanted
        )


@pytest.mark.parametrize("data", [b"", b"this is no picture", b"\x89PNG\r\n\x1a\n cut short"])
async def test_no_picture(subject: Subject, data: bytes) -> None:
    """Bytes that are no picture are refused."""
    with pytest.raises(PictureRefused):
        await subject.provider.detect(Picture(10, 10, data=data), subject.task, subject.wanted)


async def test_other_task(subject: Subject, picture: Callable[..., Any]) -> None:
    """A task it does not answer is an error of whoever routed it there, and says which it does
    answer."""
    other = next(task for task in Task if task not in subject.provider.about.tasks)
    with pytest.raises(Misconfigured, match=f"{subject.task}.*, not {other}"):
        await subject.provider.detect(picture(subject.shows, subject.provider.about.wants), other)


@saying_extras
@pytest.mark.parametrize("wanted", [(), ("horoscope?sign=leo",)])
async def test_other_extras(
    subject: Subject, picture: Callable[..., Any], wanted: tuple[Any, ...] | tuple[str, ...]
) -> None:
    """An extra that it cannot say is an error too, before anything is asked, and so is none at
    all."""
    with pytest.raises(
        Misconfigured, match=f"can say .*, not {'horoscope' if wanted else 'nothing'}$"
    ):
        await subject.provider.detect(picture(subject.shows, "bytes"), Task.EXTRAS, wanted)
    await subject.provider.ready()


async def test_close(fresh: Subject, picture: Callable[..., Any]) -> None:
    """It is ready until it is closed, may be closed twice, and then says so instead of
    answering."""
    await fresh.provider.ready()
    await fresh.provider.close()
    await fresh.provider.close()
    with pytest.raises(Unavailable, match="closed"):
        await fresh.provider.ready()
    with pytest.raises(Unavailable, match="closed"):
        await fresh.provider.detect(picture(fresh.shows, fresh.provider.about.wants), fresh.task)
