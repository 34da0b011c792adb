"""The border of all providers: detections that are not sane are dropped, and nothing but a
ProviderError gets through."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.testing.provider import ScriptedProvider
from providers import border
from providers.base import ForwardCall, ForwardReply, Picture
from providers.detection import WHOLE, Box, Detection, Landmark, Task
from providers.errors import NoAnswer, ProviderError, Throttled

CAT = Detection("cat", 0.5, Box(0.1, 0.1, 0.4, 0.4))
DOG = Detection("dog", 0.75, Box(0.5, 0.5, 0.9, 0.9))
PICTURE = Picture(4, 3, b"bytes")
NAN, INF = math.nan, math.inf


def nested(depth: int) -> Any:
    """Lists in lists, so deep."""
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


INSANE = {
    "a score of no number": replace(CAT, score=NAN),
    "an endless score": replace(CAT, score=INF),
    "a score that is text": replace(CAT, score="0.5"),
    "a score that is true": replace(CAT, score=True),
    "no score": replace(CAT, score=None),
    "a score over 1": replace(CAT, score=87.5),
    "a corner of no number": replace(CAT, box=Box(0.1, NAN, 0.4, 0.4)),
    "an endless corner": replace(CAT, box=Box(0.1, 0.1, INF, 0.4)),
    "a corner in the millions": replace(CAT, box=Box(0.1, 0.1, 4e6, 0.4)),
    "a corner whose midpoint is endless": replace(CAT, box=Box(1e308, 0.1, 1e308, 0.4)),
    "three corners": replace(CAT, box=(0.1, 0.1, 0.4)),
    "no box": replace(CAT, box=None),
    "a label that is a number": replace(CAT, label=7),
    "a label that is no text": replace(CAT, label="cat \ud800"),
    "no label": replace(CAT, label=None),
    "a kind that is a list": replace(CAT, kind=["WORD"]),
    "a polygon of no numbers": replace(CAT, polygon=((0.1, NAN),)),
    "a polygon of one axis": replace(CAT, polygon=((0.1,),)),
    "no polygon": replace(CAT, polygon=None),
    "a key beyond 64 bits": replace(CAT, key=2**64),
    "a key that is text": replace(CAT, key="1"),
    "details of no number": replace(CAT, details={"pose": [NAN]}),
    "details that are text": replace(CAT, details="raw"),
    "details of bytes": replace(CAT, details={"raw": b"bytes"}),
    "details with numbers for names": replace(CAT, details={1: "one"}),
    "details beyond 64 bits": replace(CAT, details={"raw": 2**70}),
    "details that are nested without end": replace(CAT, details={"raw": nested(100)}),
    "no detection": {"label": "cat"},
    "nothing": None,
}


@pytest.mark.parametrize("odd", INSANE.values(), ids=INSANE)
def test_what_is_not_sane_is_dropped(odd: object) -> None:
    """A detection that is not sane is dropped and counted, and its neighbours stay as they are."""
    assert border.sane_answer([DOG, odd, CAT]) == ([DOG, CAT], 1)


@pytest.mark.parametrize("odd", [Landmark("eye", 0.1, NAN), Landmark(None, 0.1, 0.1)])
def test_an_odd_landmark_is_left_out(odd: Landmark) -> None:
    """A landmark that is not sane is left out, and its detection stays with the others."""
    nose = Landmark("nose", 0.2, 0.2, 0.0)
    ((face,), dropped) = border.sane_answer([replace(CAT, landmarks=(odd, nose))])
    assert (face.landmarks, dropped) == ((nose,), 0)


def test_sane_detections_stay_as_they_are() -> None:
    """Boxes may reach outside the picture, and details may hold any JSON."""
    details = {"vendor": "v", "raw": {"a": [1, 2.5, None, True, "ä"], "b": {}}, "pair": (1, "x")}
    mark = Landmark("eye", 0.2, 0.2, -0.1)
    word = replace(CAT, kind="WORD", key=2, parent=1, polygon=((0.0, 0.0), (1.0, 1.0)))
    line = replace(DOG, kind="LINE", key=1, box=Box(-0.5, 0.0, 1.5, 1.0), landmarks=(mark,))
    detections = [line, word, replace(CAT, details=details, box=WHOLE)]
    assert border.sane_answer(detections) == (detections, 0)


def test_numbers_become_plain_floats() -> None:
    """Numbers of numpy, and integers, become floats that every format can write."""
    box = Box(*np.array([0, 0.25, 0.5, 1], dtype=np.float32))
    ((only,), _) = border.sane_answer([replace(CAT, score=np.float32(0.5), box=box)])
    assert [type(number) for number in (only.score, *only.box)] == [float] * 5
    ((only,), _) = border.sane_answer([replace(CAT, score=1)])
    assert type(only.score) is float


@pytest.mark.parametrize(("score", "kept"), [(1.0000004, 1.0), (-1e-7, 0.0)])
def test_a_rounded_score_is_clamped(score: float, kept: float) -> None:
    """A score that rounding took out of its range is clamped."""
    ((only,), _) = border.sane_answer([replace(CAT, score=score)])
    assert only.score == kept


def test_keys_are_unique_and_parents_exist() -> None:
    """Of two detections with the same key the first stays; a part whose whole was dropped, or that
    is its own whole, stays without it."""
    whole, word = replace(DOG, key=1), replace(CAT, parent=1)
    assert border.sane_answer([whole, replace(CAT, key=1)]) == ([whole], 1)
    assert border.sane_answer([replace(whole, score=NAN), word]) == ([CAT], 1)
    assert border.sane_answer([replace(CAT, key=3, parent=3)]) == ([replace(CAT, key=3)], 0)


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["\ud800", NAN, INF, 1e308, -1e308, 2**64, b"bytes"])
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | SCALARS, inner),
    max_leaves=12,
)
NUMBERS = st.floats(0, 1) | ANYTHING


@st.composite
def detections(draw: st.DrawFn) -> object:
    """A detection whose every field may be anything."""
    if draw(st.integers(0, 9)) == 0:
        return draw(ANYTHING)
    return Detection(
        draw(st.text() | ANYTHING),
        draw(NUMBERS),
        draw(st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS).map(lambda sides: Box(*sides))),
        draw(st.sampled_from(["", "WORD", "LINE"]) | ANYTHING),
        draw(st.lists(st.tuples(NUMBERS, NUMBERS), max_size=4) | ANYTHING),
        draw(st.none() | st.integers(0, 3) | ANYTHING),
        draw(st.none() | st.integers(0, 3) | ANYTHING),
        draw(st.dictionaries(st.text(), ANYTHING, max_size=3) | ANYTHING),
        draw(st.just(()) | ANYTHING),
    )


@given(st.lists(detections(), max_size=6))
def test_whatever_a_provider_returns_can_be_written(answer: Sequence[object]) -> None:
    """Whatever a provider returns, what is left of it is finite, and can be written as JSON and in
    the stores' format."""
    kept, dropped = border.sane_answer(answer)
    assert len(kept) + dropped == len(answer)
    for each in kept:
        assert all(map(math.isfinite, (each.score, *each.box, *each.box.midpoint, each.box.area)))
    assert msgspec.json.decode(msgspec.json.encode(kept)) is not None
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(kept)) is not None


class TestCalls:
    async def test_sane_neighbours_are_the_answer(self) -> None:
        """The answer is the sane detections, and how many were dropped."""
        provider = ScriptedProvider(lambda picture, task: [CAT, replace(DOG, score=NAN)])
        assert await border.detect(provider, PICTURE, Task.OBJECTS) == ([CAT], 1)

    @pytest.mark.parametrize("task", [Task.MODERATION, Task.EXTRAS])
    async def test_a_judgement_must_be_whole(self, task: Task) -> None:
        """A finding that cannot be read does not clear a picture: such an answer is none."""
        provider = ScriptedProvider(lambda picture, task: [CAT, replace(DOG, score=NAN)])
        with pytest.raises(NoAnswer, match="1 of 2 findings"):
            await border.detect(provider, PICTURE, task)

    @pytest.mark.parametrize("answer", [None, 7, NotImplemented])
    async def test_an_answer_of_no_detections_is_none(self, answer: Any) -> None:
        """An answer that is no list of detections is unreadable, and may be billed."""
        provider = ScriptedProvider(lambda picture, task: answer)
        with pytest.raises(NoAnswer, match="fake failed on an answer: TypeError"):
            await border.detect(provider, PICTURE, Task.OBJECTS)

    @pytest.mark.parametrize(
        "error", [RuntimeError("a bug"), KeyError("Labels"), RecursionError(), TimeoutError()]
    )
    async def test_any_exception_of_a_provider_may_be_billed(self, error: Exception) -> None:
        """What a provider should not raise becomes NoAnswer."""
        provider = ScriptedProvider(errors=[error])
        with pytest.raises(NoAnswer) as raised:
            await border.detect(provider, PICTURE, Task.OBJECTS)
        assert raised.value.__cause__ is error

    async def test_its_own_errors_pass(self) -> None:
        """A ProviderError passes as it is."""
        error = Throttled("slow down", 3.0)
        with pytest.raises(Throttled) as raised:
            await border.detect(ScriptedProvider(errors=[error]), PICTURE, Task.OBJECTS)
        assert raised.value is error

    async def test_forwarded_calls_keep_to_the_same(self) -> None:
        """A forwarded call raises a ProviderError and nothing else."""

        class Broken:
            async def forward(self, call: ForwardCall) -> ForwardReply:
                raise RuntimeError("a bug")

        with pytest.raises(ProviderError):
            await border.forward(Broken(), "eye", ForwardCall("CompareFaces"))


class TestRows:
    def test_rows_are_read_one_by_one(self) -> None:
        """A row that cannot be read is left out, and the others are read."""
        assert border.readable(["1", "odd", None, "2"], int) == [1, 2]
        assert border.readable([], int) == []

    def test_an_answer_of_another_form_is_none(self) -> None:
        """Where no row can be read, the first one's error says why."""
        with pytest.raises(ValueError, match="odd"):
            border.readable(["odd", None], int)
