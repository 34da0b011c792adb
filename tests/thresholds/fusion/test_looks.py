"""The evidence on which a photo is judged."""

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
def test_a_kind_is_written_as_provider_and_shape(text: str, kind: LookKind) -> None:
    """A kind of look is written as a shape, after the provider and a colon unless it is the route's
    own provider."""
    assert LookKind.parse(text) == kind
    assert str(kind) == text


@pytest.mark.parametrize("text", ["", "free", "free:", "2x2:free", "0x1"])
def test_a_kind_without_a_shape_is_refused(text: str) -> None:
    """A text that does not end in a shape is no kind of look."""
    with pytest.raises(ValueError, match="is no shape"):
        LookKind.parse(text)


def test_a_path_lists_the_looks_in_order() -> None:
    """A photo's path lists its looks in their order, and the last of them is judged."""
    evidence = Evidence(
        PhotoFacts(4, 3, 12), (Look(ALONE, [], "free"), Look(Shape(3, 2), [detection("cat", 0.5)]))
    )
    assert path_text(evidence.path) == "free:1x1,3x2"
    assert evidence.last_detections == [detection("cat", 0.5)]
