"""From answers about canvases of several sizes to the size that is enough."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.detections import detection
from thresholds.fusion.looks import LookKind, PhotoFacts
from thresholds.profile.input_size import probe
from thresholds.samples.from_answers import sample_from_answers
from thresholds.samples.ground_truth import Known
from thresholds.shape import Shape

SIDES = (320, 640, 1280)
KINDS = {LookKind(Shape(2, 2), str(side)): (side, side) for side in SIDES}
PHOTOS = [str(number) for number in range(40)]


@pytest.fixture
def probed() -> Callable[..., Any]:
    """`probed((10, 40, 40), known=True)`: of 40 photos with a cat each, how many are found by size
    of canvas."""

    def probing(counts, *, known):
        cat = detection("cat", 0.9, 0.2, 0.2, 0.6, 0.6)
        looks = {
            kind: {photo: [[cat] if int(photo) < count else []] for photo in PHOTOS}
            for kind, count in zip(KINDS, counts, strict=True)
        }
        truth = {photo: Known([cat], frozenset({"cat"})) for photo in PHOTOS} if known else None
        return probe(
            sample_from_answers(dict.fromkeys(PHOTOS, PhotoFacts(1, 1, 1)), looks, truth), KINDS
        )

    return probing


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize(
    ("counts", "enough"), [((10, 30, 30), 1), ((30, 30, 30), 0), ((5, 20, 40), 2)]
)
def test_enough(
    probed: Callable[..., Any], counts: tuple[int, ...], enough: int, known: bool
) -> None:
    """The smallest canvas whose answers are about as good as any is enough, with ground truth and
    without."""
    made = probed(counts, known=known)
    assert (made.enough, made.photos, made.shape) == (enough, 40, Shape(2, 2))
    assert [size.width_px for size in made.sizes] == list(SIDES)


def test_figures(probed: Callable[..., Any]) -> None:
    """Each size has its average precision and its distance's error, and agreement with the
    largest."""
    small, middle, large = probed((0, 20, 40), known=True).sizes
    assert (small.ap50, middle.ap50, large.ap50) == pytest.approx((0, 51 / 101, 1))
    assert (small.agreement, middle.agreement, large.agreement) == (0, 0.5, 1)
    assert large.error == 0 < middle.error < 0.2
    assert probed((0, 20, 40), known=False).sizes[0].ap50 is None


def test_nearly_the_same(probed: Callable[..., Any]) -> None:
    """Without ground truth two sizes that differ by as little as equals do are equals."""
    assert probed((10, 39, 40), known=False).enough == 1


def test_nothing_answered() -> None:
    """Without any answer there is nothing to tell."""
    with pytest.raises(ValueError, match="no canvas"):
        probe(sample_from_answers({"a": PhotoFacts(1, 1, 1)}, {}), KINDS)
