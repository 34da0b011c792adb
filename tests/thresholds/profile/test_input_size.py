"""Which canvas size is enough, from answers about canvases of several sizes."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.support.detections import detection
from thresholds.fusion.looks import LookKind, PhotoFacts
from thresholds.profile.input_size import Probe, probe
from thresholds.samples.from_answers import sample_from_answers
from thresholds.samples.ground_truth import Known
from thresholds.shape import Shape

SIDES = (320, 640, 1280)
KINDS = {LookKind(Shape(2, 2), str(side)): (side, side) for side in SIDES}
PHOTOS = [str(number) for number in range(40)]


def probe_of(counts: Sequence[int], *, known: bool) -> Probe:
    """The probe of 40 photos with a cat each, of which so many are detected on each canvas size."""
    cat = detection("cat", 0.9, 0.2, 0.2, 0.6, 0.6)
    looks = {
        kind: {photo: [[cat] if int(photo) < count else []] for photo in PHOTOS}
        for kind, count in zip(KINDS, counts, strict=True)
    }
    truth = {photo: Known([cat], frozenset({"cat"})) for photo in PHOTOS} if known else None
    return probe(
        sample_from_answers(dict.fromkeys(PHOTOS, PhotoFacts(1, 1, 1)), looks, truth), KINDS
    )


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize(
    ("counts", "enough"), [((10, 30, 30), 1), ((30, 30, 30), 0), ((5, 20, 40), 2)]
)
def test_the_smallest_canvas_of_about_equal_quality_is_enough(
    counts: tuple[int, ...], enough: int, known: bool
) -> None:
    """The smallest canvas whose answers are about as good as any is enough, with ground truth and
    without."""
    probe = probe_of(counts, known=known)
    assert (probe.enough, probe.photos, probe.shape) == (enough, 40, Shape(2, 2))
    assert [size.width_px for size in probe.sizes] == list(SIDES)


def test_each_size_has_precision_error_and_agreement() -> None:
    """Each size has its average precision, the error of its difference, and its agreement with the
    largest."""
    small, middle, large = probe_of((0, 20, 40), known=True).sizes
    assert (small.ap50, middle.ap50, large.ap50) == pytest.approx((0, 51 / 101, 1))
    assert (small.agreement, middle.agreement, large.agreement) == (0, 0.5, 1)
    assert large.error == 0 < middle.error < 0.2
    assert probe_of((0, 20, 40), known=False).sizes[0].ap50 is None


def test_sizes_that_differ_by_chance_are_equals() -> None:
    """Without ground truth two sizes whose agreement differs by as little as chance are equals."""
    assert probe_of((10, 39, 40), known=False).enough == 1


def test_a_probe_needs_answers() -> None:
    """Without any answer there is no result."""
    with pytest.raises(ValueError, match="no canvas"):
        probe(sample_from_answers({"a": PhotoFacts(1, 1, 1)}, {}), KINDS)
