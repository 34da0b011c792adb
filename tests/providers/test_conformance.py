"""The behaviour of every provider, whatever its kind."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
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
"""The vendors' names of places, in lower case."""

each_with_extras = pytest.mark.parametrize(
    "subject",
    [(kind, Task.EXTRAS) for kind in ("azure", "google", "rekognition")],
    ids="-".join,
    indirect=True,
)


def test_it_has_its_name_and_kind(subject: Subject) -> None:
    """A provider has the name that it was given and the kind that it was found by."""
    about = subject.provider.about
    assert about.kind in registry.kinds()
    assert about.name == f"my-{about.kind}"
    assert subject.task in about.tasks


def test_it_answers_exactly_its_tasks(
    subject: Subject, tasks: Mapping[str, tuple[Task, ...]]
) -> None:
    """A provider answers the tasks that this suite asks it for, and no others; one that answers
    extras names them."""
    about = subject.provider.about
    assert about.tasks == set(tasks[about.kind])
    assert (Task.EXTRAS in about.tasks) is bool(about.extras)


def test_it_repeats_its_call_limits(subject: Subject) -> None:
    """A provider repeats how often it may be called and when it is to be left alone, as its
    operator set it."""
    calls = subject.provider.about.calls
    assert calls.rate_per_s == 1000
    assert calls.breaker is not None
    assert calls.breaker.calls == 7


def test_an_unknown_kind_is_an_error_with_the_known() -> None:
    """The error about an unknown kind names those that are known, and none of their shared
    parts."""
    with pytest.raises(LookupError, match=r"'sonar'.*known: azure.*onnx.*shapes.*text"):
        registry.load("sonar")
    assert not [kind for kind in registry.kinds() if kind.startswith("_") or kind == "base"]


def test_detections_have_labels_scores_and_boxes(detections: Sequence[Detection]) -> None:
    """A provider detects something: each detection has a label, a score of 0 to 1 and a box of
    fractions whose corners are in order."""
    assert detections
    for detection in detections:
        x0, y0, x1, y1 = detection.box
        assert detection.label
        assert 0 <= detection.score <= 1
        assert -1 < x0 < x1 < 2
        assert -1 < y0 < y1 < 2
        assert all(
            type(number) is float and math.isfinite(number)
            for number in (detection.score, *detection.box)
        )


def test_a_polygon_lies_in_its_box(detections: Sequence[Detection]) -> None:
    """A detection's polygon, where it has one, lies in its box."""
    for detection in detections:
        x0, y0, x1, y1 = detection.box
        assert all(x0 <= x <= x1 and y0 <= y <= y1 for x, y in detection.polygon)


def test_landmarks_have_names_and_lie_in_the_box(detections: Sequence[Detection]) -> None:
    """Landmarks have names, and lie in the box of their detection."""
    for detection in detections:
        for mark in detection.landmarks:
            assert mark.name
            assert detection.box.x0 <= mark.x <= detection.box.x1
            assert detection.box.y0 <= mark.y <= detection.box.y1
            assert math.isfinite(mark.z)


def test_a_judgement_of_the_picture_has_its_box(
    subject: Subject, detections: Sequence[Detection]
) -> None:
    """A detection that judges a whole picture has its box; a provider may add the places of
    labels."""
    boxes = {each.box for each in detections if each.kind != "INSTANCE"}
    assert boxes == {WHOLE} if subject.task not in BOXED else WHOLE not in boxes


@each_with_extras
def test_each_extra_is_one_detection(subject: Subject, detections: Sequence[Detection]) -> None:
    """Each extra of the question gives one detection, with the extra's name and the vendor's own
    words."""
    assert [each.label for each in detections] == list(map(feature_name, subject.extras))
    assert all(each.details["raw"] for each in detections)


def test_details_are_json_without_places(subject: Subject, detections: Sequence[Detection]) -> None:
    """Details can be written as JSON, and have no place among them: it would not be mapped to its
    photo."""
    details = json.loads(json.dumps([dict(each.details) for each in detections]))
    if subject.task != Task.EXTRAS:
        assert not PLACES & {key.lower() for key in keys_of(details)}


def keys_of(value: Any) -> Iterator[str]:
    """The keys of all mappings in a JSON value."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from keys_of(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from keys_of(inner)


def test_every_parent_is_a_detections_key(detections: Sequence[Detection]) -> None:
    """Keys are unique, and every parent is the key of another detection."""
    keys = [detection.key for detection in detections if detection.key is not None]
    assert len(keys) == len(set(keys))
    assert {detection.parent for detection in detections if detection.parent is not None} <= set(
        keys
    )


async def test_the_same_picture_has_the_same_answer(
    subject: Subject, detections: Sequence[Detection], picture: Callable[..., Picture]
) -> None:
    """The same picture gets the same answer, also while others are asked about."""
    blank = picture(Image.new("RGB", (96, 96), "white"), subject.provider.about.wants)
    first, _, second = await asyncio.gather(
        *(
            subject.provider.detect(each, subject.task, subject.extras)
            for each in (subject.picture, blank, subject.picture)
        )
    )
    assert first == second


async def test_it_takes_every_format_of_its_limits(
    subject: Subject, picture: Callable[..., Picture]
) -> None:
    """A provider that wants bytes takes every format of its limits."""
    if subject.provider.about.wants == "pixels":
        pytest.skip("it wants pixels")
    for form in subject.provider.about.limits.formats:
        assert await subject.provider.detect(
            picture(subject.image, "bytes", form), subject.task, subject.extras
        )


@pytest.mark.parametrize("data", [b"", b"this is no picture", b"\x89PNG\r\n\x1a\n cut short"])
async def test_bytes_that_are_no_picture_are_refused(subject: Subject, data: bytes) -> None:
    """Bytes that are no picture are refused."""
    with pytest.raises(PictureRefused):
        await subject.provider.detect(Picture(10, 10, data=data), subject.task, subject.extras)


async def test_another_task_is_misconfigured(subject: Subject) -> None:
    """A task that a provider does not answer is an error of the configuration, and names those that
    it does."""
    other = next(task for task in Task if task not in subject.provider.about.tasks)
    with pytest.raises(Misconfigured, match=f"{subject.task}.*, not {other}"):
        await subject.provider.detect(subject.picture, other)


@each_with_extras
@pytest.mark.parametrize("extras", [(), ("horoscope?sign=leo",)])
async def test_an_unknown_extra_is_misconfigured(
    subject: Subject, picture: Callable[..., Picture], extras: tuple[str, ...]
) -> None:
    """An extra that a provider does not know is an error before anything is asked, and so is a
    question without extras."""
    with pytest.raises(
        Misconfigured, match=f"can say .*, not {'horoscope' if extras else 'nothing'}$"
    ):
        await subject.provider.detect(picture(subject.image, "bytes"), Task.EXTRAS, extras)
    await subject.provider.ready()


async def test_it_is_ready_until_it_is_closed(fresh: Subject) -> None:
    """A provider is ready until it is closed; it may be closed twice, and then refuses instead of
    answering."""
    await fresh.provider.ready()
    await fresh.provider.close()
    await fresh.provider.close()
    with pytest.raises(Unavailable, match="closed"):
        await fresh.provider.ready()
    with pytest.raises(Unavailable, match="closed"):
        await fresh.provider.detect(fresh.picture, fresh.task)
