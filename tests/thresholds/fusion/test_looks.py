"""What there is to judge a photo by."""

from __future__ import annotations

import pytest

from tests.support.detections import detection
from thresholds.fusion.looks import ITSELF, Evidence, Look, LookKind, PhotoFacts, path_text
from thresholds.shape import ALONE, Shape


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("1x1", ITSELF),
        ("3x2", LookKind(Shape(3, 2))),
        ("free:1x1", LookKind(ALONE, "free")),
        ("a:b:2x1", LookKind(Shape(2, 1), "a:b")),
    ],
)
def test_kind(text: str, kind: LookKind) -> None:
    """A kind of look is a shape, and the provider before a colon unless it is the route's own."""
    assert LookKind.parse(text) == kind
    assert str(kind) == text


@pytest.mark.parametrize("text", ["", "free", "free:", "2x2:free", "0x1"])
def test_no_kind(text: str) -> None:
    """What does not end in a shape is none."""
    with pytest.raises(ValueError, match="is no shape"):
        LookKind.parse(text)


def test_path() -> None:
    """A photo's path is what its looks were, in their order; the last of them is to be judged."""
    one = Evidence(
        PhotoFacts(4, 3, 12), (Look(ALONE, [], "free"), Look(Shape(3, 2), [detection("cat", 0.5)]))
    )
    assert path_text(one.path) == "free:1x1,3x2"
    assert one.last_detections == [detection("cat", 0.5)]
