"""The behaviour that every kind of provider has."""

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

with_extras = pytest.mark.parametrize(
    "subject",
    [(kind, Task.EXTRAS) for kind in ("azure", "google", "rekognition")],
    ids="-".join,
    indirect=True,
)


def test_a_provider_knows_its_name_and_kind(subject: Subject) -> None:
    """A provider has the name it was given and the kind that it was found by."""
    about = subject.provider.about
    assert about.kind in registry.kinds()
    assert about.name == f"my-{about.kind}"
    assert subject.task in about.tasks


def test_it_answers_the_tasks_of_this_suite(
    subject: Subject, tasks: Mapping[str, tuple[Task, ...]]
) -> None:
    """A provider has the tasks of this suite and no others; one that answers extras names them."""
    about = subject.provider.about
    assert about.tasks == set(tasks[about.kind])
    assert (Task.EXTRAS in about.tasks) is bool(about.extras)


def test_it_states_the_operators_call_limits(subject: Subject) -> None:
    """A provider states the rate limit and the circuit breaker that the operator has set."""
    calls = subject.provider.about.calls
    assert calls.rate_per_s == 1000
    assert calls.breaker is not None
    assert calls.breaker.calls == 7


def test_an_unknown_kind_is_refused_with_those_there_are() -> None:
    """The error for an unknown kind names the kinds there are, and no helper module."""
    with pytest.raises(LookupError, match=r"'sonar'.*known: azure.*onnx.*shapes.*text"):
        registry.load("sonar")
    assert not [kind for kind in registry.kinds() if kind.startswith("_") or kind == "base"]


def test_detections_are_named_scored_and_boxed(detections: Sequence[Detection]) -> None:
    """A provider detects the object in the picture: with a name, a score of 0 to 1 and a box of
    fractions in order."""
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
    """A detection's polygon, if it has one, lies in its box."""
    for detection in detections:
        x0, y0, x1, y1 = detection.box
        assert all(x0 <= x <= x1 and y0 <= y <= y1 for x, y in detection.polygon)


def test_landmarks_lie_about_their_box(detections: Sequence[Detection]) -> None:
    """Landmarks have names and lie about the box of their detection."""
    for detection in detections:
        for mark in detection.landmarks:
            assert mark.name
            assert detection.box.x0 <= mark.x <= detection.box.x1
            assert detection.box.y0 <= mark.y <= detection.box.y1
            assert math.isfinite(mark.z)


def test_whole_picture_tasks_have_the_whole_box(
    subject: Subject, detections: Sequence[Detection]
) -> None:
    """A task that judges a whole picture returns its box; labels may have places as well."""
    judged = {each.box for each in detections if each.kind != "INSTANCE"}
    assert judged == {WHOLE} if subject.task not in BOXED else WHOLE not in judged


@with_extras
def test_each_requested_extra_is_one_detection(
    subject: Subject, detections: Sequence[Detection]
) -> None:
    """Each requested extra is one detection, with the extra's name and the vendor's own words."""
    assert [each.label for each in detections] == list(map(feature_name, subject.extras))
    assert all(each.details["raw"] for each in detections)


def test_details_are_json_without_places(subject: Subject, detections: Sequence[Detection]) -> None:
    """Details can be written as JSON and contain no place, which would not be mapped to its
    photo."""
    details = json.loads(json.dumps([dict(each.details) for each in detections]))
    if subject.task != Task.EXTRAS:
        assert not PLACES & {key.lower() for key in keys_of(details)}


def keys_of(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, within in value.items():
            yield key
            yield from keys_of(within)
    elif isinstance(value, list):
        for within in value:
            yield from keys_of(within)


def test_every_parent_is_another_detections_key(detections: Sequence[Detection]) -> None:
    """Keys are unique, and every parent is the key of another detection."""
    keys = [detection.key for detection in detections if detection.key is not None]
    assert len(keys) == len(set(keys))
    assert {detection.parent for detection in detections if detection.parent is not None} <= set(
        keys
    )


async def test_the_same_picture_gets_the_same_answer(
    subject: Subject, detections: Sequence[Detection], picture: Callable[..., Picture]
) -> None:
    """The same picture gets the same answer, also while the provider answers about others."""
    shown = picture(subject.image, subject.provider.about.wants)
    blank = picture(Image.new("RGB", (96, 96), "white"), subject.provider.about.wants)
    first, _, second = await asyncio.gather(
        *(subject.provider.detect(at, subject.task, subject.extras) for at in (shown, blank, shown))
    )
    assert first == second


async def test_every_format_of_its_limits_is_taken(
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


async def test_an_unanswered_task_is_an_error_of_the_route(
    subject: Subject, picture: Callable[..., Picture]
) -> None:
    """A task that the provider does not answer is an error of the configuration, and the message
    names the tasks it answers."""
    other = next(task for task in Task if task not in subject.provider.about.tasks)
    with pytest.raises(Misconfigured, match=f"{subject.task}.*, not {other}"):
        await subject.provider.detect(picture(subject.image, subject.provider.about.wants), other)


@with_extras
@pytest.mark.parametrize("wanted", [(), ("horoscope?sign=leo",)])
async def test_unknown_extras_are_refused_before_the_call(
    subject: Subject, picture: Callable[..., Picture], wanted: tuple[str, ...]
) -> None:
    """An unknown extra is an error before any call, and so is an empty list of extras."""
    with pytest.raises(
        Misconfigured, match=f"can say .*, not {'horoscope' if wanted else 'nothing'}$"
    ):
        await subject.provider.detect(picture(subject.image, "bytes"), Task.EXTRAS, wanted)
    await subject.provider.ready()


async def test_a_closed_provider_refuses_to_answer(
    fresh: Subject, picture: Callable[..., Picture]
) -> None:
    """A provider is ready until it is closed, may be closed twice, and then refuses to answer."""
    await fresh.provider.ready()
    await fresh.provider.close()
    await fresh.provider.close()
    with pytest.raises(Unavailable, match="closed"):
        await fresh.provider.ready()
    with pytest.raises(Unavailable, match="closed"):
        await fresh.provider.detect(picture(fresh.image, fresh.provider.about.wants), fresh.task)
