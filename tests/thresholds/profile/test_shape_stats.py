"""What a sample says of each shape, from photos whose answers are written down."""

from __future__ import annotations

import numpy as np
import pytest

from providers.detection import Box, Detection
from tests.support.detections import detection
from thresholds.fusion.arrays import BoxTable, LabelIndex
from thresholds.fusion.looks import ITSELF, LookKind, PhotoFacts
from thresholds.metrics.evaluation import (
    JudgedDetections,
    ground_truth_of,
    judged_detections,
    reliability,
    sample_agreement,
)
from thresholds.profile.seams import Cells, leaks, losses
from thresholds.profile.shape_stats import MIN_PAIRS, drawn_px, shape_stats, to_alone
from thresholds.samples.from_answers import sample_from_answers
from thresholds.samples.ground_truth import Known
from thresholds.shape import ALONE, Shape

TWO = LookKind(Shape(2, 1))
FACTS = PhotoFacts(400, 200, 1000)
CENTRE, TOP, BOTTOM = (0.4, 0.4, 0.6, 0.6), (0.4, 0.0, 0.6, 0.2), (0.4, 0.8, 0.6, 1.0)


def made(alone, gridded, truth=None, labels=("cat",)):
    """A sample of photos by name: what was found alone and, in one or more groupings, in a grid."""
    answers = {ITSELF: {key: [found] for key, found in alone.items()}, TWO: gridded}
    known = truth and {key: Known(truth.get(key, []), frozenset(labels)) for key in alone}
    return sample_from_answers(dict.fromkeys(alone, FACTS), answers, known)


def at_two(of, canvases=()):
    (_, at) = shape_stats(of, canvases, (400, 400), 0.3)
    return at


def test_ap50() -> None:
    """Average precision is that of each grouping, and the mean of both."""
    cat = detection("cat", 0.9, *CENTRE)
    of = made(
        {"a": [cat], "b": [cat]}, {"a": [[cat], []], "b": [[cat], [cat]]}, {"a": [cat], "b": [cat]}
    )
    first, second = (each.ap50() for each in judged_detections(of, TWO, ground_truth_of(of, 0.3)))
    assert (first, second) == (1.0, pytest.approx(51 / 101))
    assert at_two(of).ap50 == pytest.approx((first + second) / 2)


def test_photos_that_count_twice() -> None:
    """A photo that counts so many times is as so many photos."""
    cat, missed = detection("cat", 0.9, *CENTRE), detection("cat", 0.9, *TOP)
    of = made({"a": [], "b": []}, {"a": [[cat]], "b": [[]]}, {"a": [cat], "b": [missed]})
    (judged,) = judged_detections(of, TWO, ground_truth_of(of, 0.3))
    assert isinstance(judged, JudgedDetections)
    assert judged.ap50(np.array([1, 1])) == judged.ap50()
    assert judged.ap50(np.array([1, 0])) == 1.0
    assert judged.ap50(np.array([0, 1])) == judged.ap50(np.array([0, 0])) == 0.0


def test_labels_together() -> None:
    """Taken together, labels count by how many objects they have; what is true stays so."""
    cat, dog = detection("cat", 0.9, *CENTRE), detection("dog", 0.8, *TOP)
    of = made(
        {"a": [], "b": []},
        {"a": [[cat]], "b": [[cat]]},
        {"a": [cat, dog], "b": [cat]},
        ("cat", "dog"),
    )
    (judged,) = judged_detections(of, TWO, ground_truth_of(of, 0.3))
    assert judged.ap50() == pytest.approx((1 + 0) / 2)
    assert judged.with_one_label().ap50() == pytest.approx(67 / 101)


def test_unspoken_labels() -> None:
    """What is found of a label that a photo's truth does not speak of is neither right nor
    wrong."""
    cat, dog = detection("cat", 0.5, *CENTRE), detection("dog", 0.9, *CENTRE)
    of = made({"a": [cat]}, {"a": [[cat, dog]]}, {"a": [cat]})
    assert at_two(of).ap50 == 1.0
    assert at_two(of).reliability == ((0.5, 1.0, 1),)


def test_without_truth() -> None:
    """Where nothing else is known the answer alone counts as true, of what scores enough; there is
    no AP50 then."""
    strong, faint = detection("cat", 0.9, *CENTRE), detection("cat", 0.1, *TOP)
    of = made({"a": [strong, faint]}, {"a": [[strong, faint]]})
    at = at_two(of)
    assert at.ap50 is None
    assert at.reliability == ((0.1, 0.0, 1), (0.9, 1.0, 1))


def test_agreement() -> None:
    """Agreement with the answer alone is the mean F1 of what scores one half or more, and 1 where
    both see nothing."""
    cat, other, faint = (
        detection("cat", 0.9, *CENTRE),
        detection("cat", 0.9, *TOP),
        detection("cat", 0.4, *TOP),
    )
    of = made({"a": [cat], "b": [], "c": [cat]}, {"a": [[cat, other]], "b": [[faint]], "c": [[]]})
    assert sample_agreement(of, TWO) == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert sample_agreement(of, ITSELF) == 1.0


def test_reliability() -> None:
    """Scores are told by tenths: their mean, the share that is true, and how many."""
    truth = {"a": [detection("cat", 1, *CENTRE)]}
    found = [
        detection("cat", 0.85, *CENTRE),
        detection("cat", 0.81, *TOP),
        detection("cat", 1.0, *BOTTOM),
    ]
    of = made({"a": []}, {"a": [found]}, truth)
    assert reliability(judged_detections(of, TWO, ground_truth_of(of, 0.3))) == [
        (pytest.approx(0.83), 0.5, 2),
        (1.0, 0.0, 1),
    ]


def test_scores_alone() -> None:
    """A shape's scores lead to those that the same objects have alone, if there are enough of
    them."""
    alone = {str(n): [detection("cat", 0.8, *CENTRE)] for n in range(MIN_PAIRS)}
    gridded = {
        key: [[detection("cat", 0.4, *CENTRE), detection("cat", 0.9, *TOP)]] for key in alone
    }
    of = made(alone, gridded)
    assert to_alone(of, TWO) == ((0.4, 0.8),)
    few = made(dict(list(alone.items())[1:]), {key: gridded[key] for key in list(gridded)[1:]})
    assert to_alone(few, TWO) == ()


def test_smallest() -> None:
    """The smallest object found is told as a share of its photo and in pixels of the canvas."""
    cat = detection("cat", 0.9, *CENTRE)
    small = at_two(made({"a": [cat]}, {"a": [[cat]]})).smallest
    assert small.side == pytest.approx(0.2)
    assert small.side_px == pytest.approx(0.2 * (400 * 200) ** 0.5)
    assert small.half_px == pytest.approx(small.side_px, abs=0.01)
    assert at_two(made({"a": [cat]}, {"a": [[]]})).smallest is None


@pytest.mark.parametrize(
    ("shape", "width"), [(Shape(1, 1), 400), (Shape(2, 1), 400), (Shape(2, 2), 200)]
)
def test_drawn(shape: Shape, width: int) -> None:
    """Photos are drawn as large as their cell allows, portrait ones in the grid turned towards
    them."""
    landscape, portrait = drawn_px([FACTS, PhotoFacts(200, 400, 1)], shape, (400, 400))
    assert landscape == portrait == pytest.approx((width * width / 2) ** 0.5)


def test_no_answer_alone() -> None:
    """Without an answer to a photo alone there is nothing to compare with."""
    of = sample_from_answers({"a": FACTS}, {TWO: {"a": [[detection("cat", 0.9)]]}})
    assert shape_stats(of, [], (400, 400), 0.3) == ()


class TestLosses:
    """Objects that touch their photo's edge, against others of their size."""

    EDGE, INSIDE = (0.0, 0.4, 0.2, 0.6), CENTRE

    def lost(self, *pairs):
        """Losses of one object a photo, found alone: its box, and whether the grid found it."""
        objects = [detection("cat", 0.9, *box) for box, _ in pairs]
        alone = {str(n): [cat] for n, cat in enumerate(objects)}
        gridded = {
            str(n): [[cat] if hit else []]
            for n, (cat, (_, hit)) in enumerate(zip(objects, pairs, strict=True))
        }
        return at_two(made(alone, gridded)).losses

    def test_shares(self) -> None:
        """Each is the share that a grid loses."""
        lost = self.lost(
            (self.EDGE, True), (self.EDGE, False), (self.INSIDE, True), (self.INSIDE, True)
        )
        assert lost == (2, 0.5, 0.0)

    def test_sizes(self) -> None:
        """Objects of other sizes are not compared with."""
        large = (0.1, 0.1, 0.9, 0.9)
        assert self.lost((self.EDGE, False), (self.INSIDE, True), (large, False)) == (
            1,
            1.0,
            0.0,
        )

    def test_nothing_to_compare(self) -> None:
        """Where none touch an edge, or all do, nothing is told."""
        assert self.lost((self.INSIDE, True)) is None
        assert self.lost((self.EDGE, True)) is None
        assert (
            losses(
                BoxTable.from_photos([]).boxes.xyxy,
                BoxTable.from_photos([]).boxes.labels.astype(bool),
            )
            is None
        )


class TestLeaks:
    """Two photos, one above the other: what the lower one's neighbour puts into it."""

    def count(self, above, below, alone_below=(), true_below=(), others=None, alone_above=None):
        """Leaks into the photo below, where the grid found `below` there; alone the photo above
        shows `above`."""
        labels = LabelIndex()
        found = [
            labels.box_array(each)
            for each in (above if alone_above is None else alone_above, below)
        ]
        alone = BoxTable.from_photos(
            [labels.box_array(above), labels.box_array(alone_below), labels.box_array(others or ())]
        )
        objects = BoxTable.from_photos(
            [labels.box_array(()), labels.box_array(true_below), labels.box_array(())]
        )
        canvases = [Cells(TWO.shape, TWO.shape, (0, 1), tuple(found))]
        if others is not None:
            canvases.append(Cells(TWO.shape, TWO.shape, (2, 2), (labels.box_array(()),) * 2))
        return leaks(canvases, alone, objects, 0.3)

    def test_leaked(self) -> None:
        """A box at the seam that nothing in its own photo bears out, opposite its neighbour's, has
        leaked in."""
        assert self.count([detection("cat", 0.9, *BOTTOM)], [detection("cat", 0.5, *TOP)]) == (
            2,
            1,
            1,
            1,
        )

    @pytest.mark.parametrize(
        "change",
        [
            {"alone_below": [Detection("cat", 0.2, Box(*TOP))]},
            {"true_below": [Detection("cat", 1.0, Box(*TOP))]},
            {"below": [Detection("cat", 0.2, Box(*TOP))]},
        ],
        ids=["seen alone", "true", "faint"],
    )
    def test_no_stranger(self, change: dict[str, list[Detection]]) -> None:
        """What the photo's own answer alone has, or its truth, or what scores little, is no
        stranger."""
        settings = {"below": [detection("cat", 0.5, *TOP)]} | change
        assert self.count([detection("cat", 0.9, *BOTTOM)], **settings)[1:3] == (0, 0)

    @pytest.mark.parametrize(
        ("above", "below"),
        [
            (("dog", BOTTOM), ("cat", TOP)),
            (("cat", CENTRE), ("cat", TOP)),
            (("cat", (0.0, 0.8, 0.2, 1.0)), ("cat", TOP)),
            (("cat", BOTTOM), ("cat", (0.4, 0.1, 0.6, 0.3))),
            (("cat", BOTTOM), ("cat", BOTTOM)),
        ],
        ids=[
            "another label",
            "away from the seam",
            "at another height",
            "beside the seam",
            "at another edge",
        ],
    )
    def test_stranger_only(
        self, above: tuple[str | tuple[float, ...], ...], below: tuple[str | tuple[float, ...], ...]
    ) -> None:
        """Without the neighbour's object of that label right across the seam, a stranger has not
        leaked."""
        assert self.count(
            [detection(above[0], 0.9, *above[1])], [detection(below[0], 0.5, *below[1])]
        )[1:3] == (1, 0)

    def test_chance(self) -> None:
        """What other photos in the neighbours' places would account for is chance."""
        cat = detection("cat", 0.9, *BOTTOM)
        assert self.count([cat], [detection("cat", 0.5, *TOP)], others=[])[2:] == (1, 0)
        assert self.count([cat], [detection("cat", 0.5, *TOP)], others=[cat])[2:] == (1, 1)


def test_alone_has_no_neighbours() -> None:
    """Seams are looked at in grids only."""
    cat = detection("cat", 0.9, *CENTRE)
    (alone, two) = shape_stats(made({"a": [cat]}, {"a": [[cat]]}), [], (400, 400), 0.3)
    assert (alone.shape, alone.leaks, alone.losses) == (ALONE, None, None)
    assert two.leaks == (0, 0, 0, 0)
