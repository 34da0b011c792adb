"""What every provider does, whatever its kind."""

import asyncio
import math

import pytest
from PIL import Image

import providers
from providers.base import Misconfigured, Picture, PictureRefused, Task, Unavailable


def test_kind(subject):
    """A provider says the name it was given and the kind that it was found by."""
    about = subject.provider.about
    assert about.kind in providers.kinds()
    assert about.name == f"my-{about.kind}"
    assert subject.task in about.tasks


def test_unknown_kind():
    """Asking for a kind that is not there names those that are, and none of their shared parts."""
    with pytest.raises(LookupError, match=r"'sonar'.*known: azure.*onnx.*shapes.*text"):
        providers.load("sonar")
    assert not [kind for kind in providers.kinds() if kind.startswith("_") or kind == "base"]


def test_detections(seen):
    """It sees what is there: named, with a score of 0 to 1 and a box of fractions whose corners are in order."""
    assert seen
    for detection in seen:
        x0, y0, x1, y1 = detection.box
        assert detection.label
        assert 0 <= detection.score <= 1
        assert -1 < x0 < x1 < 2
        assert -1 < y0 < y1 < 2
        assert all(type(number) is float and math.isfinite(number) for number in (detection.score, *detection.box))


def test_polygons(seen):
    """A detection's polygon, where it has one, lies in its box."""
    for detection in seen:
        x0, y0, x1, y1 = detection.box
        assert all(x0 <= x <= x1 and y0 <= y <= y1 for x, y in detection.polygon)


def test_families(seen):
    """Keys are unique, and every parent is the key of another detection."""
    keys = [detection.key for detection in seen if detection.key is not None]
    assert len(keys) == len(set(keys))
    assert {detection.parent for detection in seen if detection.parent is not None} <= set(keys)


async def test_repeatable(subject, seen, picture):
    """The same picture gets the same answer, also when others are asked about meanwhile."""
    shown = picture(subject.shows, subject.provider.about.wants)
    blank = picture(Image.new("RGB", (96, 96), "white"), subject.provider.about.wants)
    first, _, second = await asyncio.gather(
        *(subject.provider.detect(at, subject.task) for at in (shown, blank, shown))
    )
    assert first == second


async def test_formats(subject, picture):
    """One that wants bytes takes every format of its limits."""
    if subject.provider.about.wants == "pixels":
        pytest.skip("it wants pixels")
    for form in subject.provider.about.limits.formats:
        assert await subject.provider.detect(picture(subject.shows, "bytes", form), subject.task)


@pytest.mark.parametrize("data", [b"", b"this is no picture", b"\x89PNG\r\n\x1a\n cut short"])
async def test_no_picture(subject, data):
    """Bytes that are no picture are refused."""
    with pytest.raises(PictureRefused):
        await subject.provider.detect(Picture(10, 10, data=data), subject.task)


async def test_other_task(subject, picture):
    """A task it does not answer is an error of whoever routed it there, and says which it does answer."""
    other = next(task for task in Task if task not in subject.provider.about.tasks)
    with pytest.raises(Misconfigured, match=f"{subject.task}.*, not {other}"):
        await subject.provider.detect(picture(subject.shows, subject.provider.about.wants), other)


async def test_close(fresh, picture):
    """It is ready until it is closed, may be closed twice, and then says so instead of answering."""
    await fresh.provider.ready()
    await fresh.provider.close()
    await fresh.provider.close()
    with pytest.raises(Unavailable, match="closed"):
        await fresh.provider.ready()
    with pytest.raises(Unavailable, match="closed"):
        await fresh.provider.detect(picture(fresh.shows, fresh.provider.about.wants), fresh.task)
