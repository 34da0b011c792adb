"""The border of all providers: what a call may raise, and what its answer may hold.

Behind it every detection is sane. Its numbers are finite and its boxes near the picture, its texts
can be written as UTF-8, and its details as JSON. A provider, or the service behind it, may return
anything; a gateway that has paid for an answer must not trip over it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import chain
from math import isfinite
from numbers import Real
from typing import Any, NamedTuple, TypeVar

from providers.base import ForwardCall, Forwarder, ForwardReply, Picture, Provider
from providers.detection import Box, Detection, Landmark, Task
from providers.errors import NoAnswer, ProviderError

Row = TypeVar("Row")
Read = TypeVar("Read")

MAX_REACH = 100.0
"""The farthest that a place may lie from a picture's origin, in sides of the picture."""
SCORE_TOLERANCE = 0.001
"""How far rounding may take a score out of 0 to 1. Such scores are clamped."""
MAX_DEPTH = 32
"""The deepest nesting of details."""
INTEGERS = range(-(2**63), 2**63)
"""The integers that every store and format of the gateway can hold."""
COMPLETE = frozenset({Task.MODERATION, Task.EXTRAS})
"""Tasks whose answers must be whole: a picture is not cleared by a finding that cannot be read."""
READ_ERRORS = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What reading an odd answer raises."""


class Insane(ValueError):
    """A detection, or a part of one, that is not sane."""


class SaneAnswer(NamedTuple):
    """The sane detections of an answer, and how many others were dropped."""

    detections: list[Detection]
    dropped: int


async def detect(
    provider: Provider, picture: Picture, task: Task, extras: Sequence[str] = ()
) -> SaneAnswer:
    """A provider's answer to one call.

    Raises a ProviderError and nothing else: NoAnswer, for the call may be billed, where the
    provider raises anything else, where its answer is no detections, and where one of them is not
    sane and the task is one of `COMPLETE`.
    """
    with only_provider_errors(provider.about.name):
        detections = list(await provider.detect(picture, task, extras))
        answer = sane_answer(detections)
    if answer.dropped and task in COMPLETE:
        raise NoAnswer(f"{answer.dropped} of {len(detections)} findings cannot be read")
    return answer


async def forward(provider: Forwarder, name: str, call: ForwardCall) -> ForwardReply:
    """The vendor's reply to a client's whole call. Raises a ProviderError and nothing else."""
    with only_provider_errors(name):
        return await provider.forward(call)


@contextmanager
def only_provider_errors(name: str) -> Iterator[None]:
    """Translates what a provider of that name should not raise into NoAnswer."""
    try:
        yield
    except ProviderError:
        raise
    except Exception as error:  # a plugin may raise anything, and the call may be billed
        raise NoAnswer(f"{name} failed on an answer: {type(error).__name__}: {error}") from error


def sane_answer(detections: Iterable[object]) -> SaneAnswer:
    """The sane ones of what a provider calls detections.

    Of several with the same key the first stays. A part whose whole is missing stays without it.
    """
    sane: list[Detection] = []
    keys: set[int] = set()
    dropped = 0
    for detection in detections:
        try:
            checked = sane_detection(detection)
        except (*READ_ERRORS, UnicodeError):
            dropped += 1
            continue
        if checked.key in keys:
            dropped += 1
            continue
        if checked.key is not None:
            keys.add(checked.key)
        sane.append(checked)
    return SaneAnswer([_without_missing_whole(each, keys) for each in sane], dropped)


def sane_detection(detection: object) -> Detection:
    """The detection with plain numbers. Raises ValueError or one of READ_ERRORS where it is not
    sane."""
    if not isinstance(detection, Detection):
        raise Insane("no detection")
    if _is_plain(detection):
        return detection
    return Detection(
        label=_text(detection.label),
        score=_score(detection.score),
        box=Box(*_point(detection.box, 4)),
        kind=_text(detection.kind),
        polygon=tuple(_xy(point) for point in detection.polygon),
        key=_integer_or_none(detection.key),
        parent=_integer_or_none(detection.parent),
        details=_details(detection.details),
        landmarks=tuple(_sane_landmarks(detection.landmarks)),
    )


def _is_plain(detection: Detection) -> bool:
    """Whether the detection is a label, a score and a box and nothing else, all sane as they are:
    those of networks are, and need no copy."""
    label, score, box, details = detection.label, detection.score, detection.box, detection.details
    if type(label) is not str or type(score) is not float or type(details) is not dict:
        return False
    further = (
        *(detection.kind, detection.key, detection.parent),
        *(detection.polygon, detection.landmarks),
    )
    is_bare = further == ("", None, None, (), ()) and not details
    return is_bare and label.isascii() and 0.0 <= score <= 1.0 and _is_near(box)


def _is_near(box: Box) -> bool:
    """Whether all sides are numbers near the picture, as floats."""
    return type(box) is Box and all(
        type(place) is float and -MAX_REACH <= place <= MAX_REACH for place in box
    )


def _sane_landmarks(landmarks: Iterable[Landmark]) -> Iterator[Landmark]:
    """The landmarks that are sane: a face without one of them is still a face."""
    for landmark in landmarks:
        with suppress(*READ_ERRORS, UnicodeError):
            yield _landmark(landmark)


def readable(rows: Iterable[Row], read: Callable[[Row], Read]) -> list[Read]:
    """What `read` makes of each row of an answer, without the rows that it cannot read.

    Raises the first row's error where it can read none: then the answer is of another form.
    """
    results: list[Read] = []
    first_error: Exception | None = None
    for row in rows:
        try:
            results.append(read(row))
        except READ_ERRORS as error:
            first_error = first_error or error
    if first_error is not None and not results:
        raise first_error
    return results


def readable_lists(rows: Iterable[Row], read: Callable[[Row], Sequence[Read]]) -> list[Read]:
    """The same where `read` makes several things of a row."""
    return list(chain.from_iterable(readable(rows, read)))


def _without_missing_whole(detection: Detection, keys: set[int]) -> Detection:
    if detection.parent is None:
        return detection
    has_whole = detection.parent in keys and detection.parent != detection.key
    return detection if has_whole else replace(detection, parent=None)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise Insane("no text")
    if not value.isascii():
        value.encode()  # a lone surrogate raises UnicodeEncodeError
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or not isfinite(value):
        raise Insane("no finite number")
    return float(value)


def _score(value: object) -> float:
    score = _number(value)
    if not -SCORE_TOLERANCE <= score <= 1 + SCORE_TOLERANCE:
        raise Insane("no score of 0 to 1")
    return min(max(score, 0.0), 1.0)


def _place(value: object) -> float:
    place = _number(value)
    if abs(place) > MAX_REACH:
        raise Insane("a place far off the picture")
    return place


def _point(values: Sequence[object], axes: int) -> list[float]:
    if len(values) != axes:
        raise Insane(f"no {axes} numbers")
    return [_place(value) for value in values]


def _xy(point: Sequence[object]) -> tuple[float, float]:
    x, y = _point(point, 2)
    return x, y


def _integer_or_none(value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value not in INTEGERS:
        raise Insane("no integer of 64 bits")
    return value


def _landmark(mark: Landmark) -> Landmark:
    return Landmark(_text(mark.name), _place(mark.x), _place(mark.y), _place(mark.z))


def _details(details: Mapping[str, Any]) -> Mapping[str, Any]:
    """Details that can be written as JSON; most detections have none."""
    if not isinstance(details, Mapping):
        raise Insane("no details")
    if details:
        _check_json(details, MAX_DEPTH)
    return details


def _check_json(value: object, depth: int) -> None:
    """Raises Insane for what JSON cannot hold, and for nesting deeper than `depth`."""
    if depth == 0:
        raise Insane("nested too deep")
    if value is None or isinstance(value, bool):
        return
    if isinstance(value, str):
        _text(value)
    elif isinstance(value, int):
        _integer_or_none(value)
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            _text(key)
            _check_json(inner, depth - 1)
    elif isinstance(value, list | tuple):
        for inner in value:
            _check_json(inner, depth - 1)
    else:
        _number(value)
