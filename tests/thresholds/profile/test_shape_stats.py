"""Figures of each shape, from photos with known answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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
from thresholds.profile.seams import Cells, Leaks, Losses, leaks, losses
from thresholds.profile.shape_stats import MIN_PAIRS, AtShape, drawn_px, shape_stats, to_alone
from thresholds.samples.from_answers import sample_from_answers
from thresholds.samples.ground_truth import Known
from thresholds.samples.sample import Sample
from thresholds.shape import ALONE, Shape

TWO = LookKind(Shape(2, 1))
FACTS = PhotoFacts(400, 200, 1000)
CENTRE, TOP, BOTTOM = (0.4, 0.4, 0.6, 0.6), (0.4, 0.0, 0.6, 0.2), (0.4, 0.8, 0.6, 1.0)


Detections = Sequence[Detection]


def sample_of(
    alone: Mapping[str, Detections],
    gridded: Mapping[str, Sequence[Detections]],
    truth: Mapping[str, Detections] | None = None,
    labels: Sequence[str] = ("cat",),
) -> Sample:
    """A sample of photos by name: their detections alone and, in one or more groupings, in a
    grid."""
    answers = {ITSELF: {key: [detections] for key, detections in alone.items()}, TWO: gridded}
    known = truth and {key: Known(truth.get(key, []), frozenset(labels)) for key in alone}
    return sample_from_answers(dict.fromkeys(alone, FACTS), answers, known)


def stats_at_two(sample: Sample, canvases: Sequence[Cells] = ()) -> AtShape:
    """The figures of the shape 2x1."""
    (_, stats) = shape_stats(sample, canvases, (400, 400), 0.3)
    return stats


def test_ap50_is_the_mean_over_groupings() -> None:
    """AP50 is that of each grouping, and the mean of both."""
    cat = detection("cat", 0.9, *CENTRE)
    sample = sample_of(
        {"a": [cat], "b": [cat]}, {"a": [[cat], []], "b": [[cat], [cat]]}, {"a": [cat], "b": [cat]}
    )
    first, second = (
        judged.ap50() for judged in judged_detections(sample, TWO, ground_truth_of(sample, 0.3))
    )
    assert (first, second) == (1.0, pytest.approx(51 / 101))
    assert stats_at_two(sample).ap50 == pytest.approx((first + second) / 2)


def test_photo_weights_count_photos_several_times() -> None:
    """A photo with a weight counts as so many photos."""
    cat, top_cat = detection("cat", 0.9, *CENTRE), detection("cat", 0.9, *TOP)
    sample = sample_of({"a": [], "b": []}, {"a": [[cat]], "b": [[]]}, {"a": [cat], "b": [top_cat]})
    (judged,) = judged_detections(sample, TWO, ground_truth_of(sample, 0.3))
    assert isinstance(judged, JudgedDetections)
    assert judged.ap50(np.array([1, 1])) == judged.ap50()
    assert judged.ap50(np.array([1, 0])) == 1.0
    assert judged.ap50(np.array([0, 1])) == judged.ap50(np.array([0, 0])) == 0.0


def test_one_label_counts_by_its_number_of_objects() -> None:
    """Taken together, labels count by how many objects they have, and the same detections are
    true."""
    cat, dog = detection("cat", 0.9, *CENTRE), detection("dog", 0.8, *TOP)
    sample = sample_of(
        {"a": [], "b": []},
        {"a": [[cat]], "b": [[cat]]},
        {"a": [cat, dog], "b": [cat]},
        ("cat", "dog"),
    )
    (judged,) = judged_detections(sample, TWO, ground_truth_of(sample, 0.3))
    assert judged.ap50() == pytest.approx((1 + 0) / 2)
    assert judged.with_one_label().ap50() == pytest.approx(67 / 101)


def test_a_label_not_covered_does_not_count() -> None:
    """Detections of a label that a photo's ground truth does not cover are neither right nor
    wrong."""
    cat, dog = detection("cat", 0.5, *CENTRE), detection("dog", 0.9, *CENTRE)
    sample = sample_of({"a": [cat]}, {"a": [[cat, dog]]}, {"a": [cat]})
    assert stats_at_two(sample).ap50 == 1.0
    assert stats_at_two(sample).reliability == ((0.5, 1.0, 1),)


def test_answers_alone_stand_in_for_ground_truth() -> None:
    """Without ground truth the strong detections of the answer alone count as true, and there is no
    AP50."""
    strong, faint = detection("cat", 0.9, *CENTRE), detection("cat", 0.1, *TOP)
    sample = sample_of({"a": [strong, faint]}, {"a": [[strong, faint]]})
    stats = stats_at_two(sample)
    assert stats.ap50 is None
    assert stats.reliability == ((0.1, 0.0, 1), (0.9, 1.0, 1))


def test_agreement_is_the_mean_f1_with_the_answer_alone() -> None:
    """Agreement with the answer alone is the mean F1 of boxes that score 0.5 or more, and 1 where
    both have none."""
    cat, other, faint = (
        detection("cat", 0.9, *CENTRE),
        detection("cat", 0.9, *TOP),
        detection("cat", 0.4, *TOP),
    )
    sample = sample_of(
        {"a": [cat], "b": [], "c": [cat]}, {"a": [[cat, other]], "b": [[faint]], "c": [[]]}
    )
    assert sample_agreement(sample, TWO, sample.reference_look) == pytest.approx(
        (2 / 3 + 1 + 0) / 3
    )
    assert sample_agreement(sample, ITSELF, sample.reference_look) == 1.0


def test_reliability_is_by_tenths_of_the_score() -> None:
    """Reliability is given by tenths of the score: their mean, the share that is true, and the
    count."""
    truth = {"a": [detection("cat", 1, *CENTRE)]}
    detections = [
        detection("cat", 0.85, *CENTRE),
        detection("cat", 0.81, *TOP),
        detection("cat", 1.0, *BOTTOM),
    ]
    sample = sample_of({"a": []}, {"a": [detections]}, truth)
    assert reliability(judged_detections(sample, TWO, ground_truth_of(sample, 0.3))) == [
        (pytest.approx(0.83), 0.5, 2),
        (1.0, 0.0, 1),
    ]


def test_scores_map_to_those_alone_with_enough_pairs() -> None:
    """The scores at a shape map to those of the same objects alone, if there are enough pairs."""
    alone = {str(number): [detection("cat", 0.8, *CENTRE)] for number in range(MIN_PAIRS)}
    gridded = {
        key: [[detection("cat", 0.4, *CENTRE), detection("cat", 0.9, *TOP)]] for key in alone
    }
    sample = sample_of(alone, gridded)
    assert to_alone(sample, TWO) == ((0.4, 0.8),)
    few = sample_of(dict(list(alone.items())[1:]), {key: gridded[key] for key in list(gridded)[1:]})
    assert to_alone(few, TWO) == ()


def test_the_smallest_object_has_share_and_pixels() -> None:
    """The smallest detected object is given as a share of its photo and in pixels of the canvas."""
    cat = detection("cat", 0.9, *CENTRE)
    small = stats_at_two(sample_of({"a": [cat]}, {"a": [[cat]]})).smallest
    assert small.side == pytest.approx(0.2)
    assert small.side_px == pytest.approx(0.2 * (400 * 200) ** 0.5)
    assert small.half_px == pytest.approx(small.side_px, abs=0.01)
    assert stats_at_two(sample_of({"a": [cat]}, {"a": [[]]})).smallest is None


@pytest.mark.parametrize(
    ("shape", "width"), [(Shape(1, 1), 400), (Shape(2, 1), 400), (Shape(2, 2), 200)]
)
def test_photos_are_drawn_as_large_as_their_cell(shape: Shape, width: int) -> None:
    """Photos are drawn as large as their cell allows, portrait ones in the grid turned towards
    them."""
    landscape, portrait = drawn_px([FACTS, PhotoFacts(200, 400, 1)], shape, (400, 400))
    assert landscape == portrait == pytest.approx((width * width / 2) ** 0.5)


def test_without_answers_alone_there_are_no_figures() -> None:
    """Without an answer about a photo alone there are no figures."""
    sample = sample_from_answers({"a": FACTS}, {TWO: {"a": [[detection("cat", 0.9)]]}})
    assert shape_stats(sample, [], (400, 400), 0.3) == ()


class TestLosses:
    """Objects that touch their photo's edge, against others of their size."""

    EDGE, INSIDE = (0.0, 0.4, 0.2, 0.6), CENTRE

    def losses_of(self, *pairs: tuple[tuple[float, ...], bool]) -> Losses | None:
        """Losses of one object per photo, detected alone: its box, and whether the grid detects
        it."""
        objects = [detection("cat", 0.9, *box) for box, _ in pairs]
        alone = {str(number): [cat] for number, cat in enumerate(objects)}
        gridded = {
            str(number): [[cat] if hit else []]
            for number, (cat, (_, hit)) in enumerate(zip(objects, pairs, strict=True))
        }
        return stats_at_two(sample_of(alone, gridded)).losses

    def test_losses_are_shares_at_the_edge_and_inside(self) -> None:
        """Losses are the shares of objects at the edge and inside that a grid misses."""
        losses = self.losses_of(
            (self.EDGE, True), (self.EDGE, False), (self.INSIDE, True), (self.INSIDE, True)
        )
        assert losses == (2, 0.5, 0.0)

    def test_objects_of_other_sizes_are_not_compared(self) -> None:
        """Objects of other sizes are not compared."""
        large = (0.1, 0.1, 0.9, 0.9)
        assert self.losses_of((self.EDGE, False), (self.INSIDE, True), (large, False)) == (
            1,
            1.0,
            0.0,
        )

    def test_losses_need_objects_at_the_edge_and_inside(self) -> None:
        """Where no object touches an edge, or all do, there are no losses."""
        assert self.losses_of((self.INSIDE, True)) is None
        assert self.losses_of((self.EDGE, True)) is None
        assert (
            losses(
                BoxTable.from_photos([]).boxes.xyxy,
                BoxTable.from_photos([]).boxes.labels.astype(bool),
            )
            is None
        )


class TestLeaks:
    """Two photos, one above the other: detections in the lower one that are its neighbour's."""

    def leaks_of(
        self,
        above: Detections,
        below: Detections,
        alone_below: Detections = (),
        true_below: Detections = (),
        alone_elsewhere: Detections | None = None,
    ) -> Leaks:
        """Leaks into the photo below, where the grid detects `below`; alone the photo above has
        `above`."""
        labels = LabelIndex()
        cells = [labels.box_array(above), labels.box_array(below)]
        alone = BoxTable.from_photos(
            [
                labels.box_array(above),
                labels.box_array(alone_below),
                labels.box_array(alone_elsewhere or ()),
            ]
        )
        objects = BoxTable.from_photos(
            [labels.box_array(()), labels.box_array(true_below), labels.box_array(())]
        )
        canvases = [Cells(TWO.shape, TWO.shape, (0, 1), tuple(cells))]
        if alone_elsewhere is not None:
            canvases.append(Cells(TWO.shape, TWO.shape, (2, 2), (labels.box_array(()),) * 2))
        return leaks(canvases, alone, objects, 0.3)

    def test_an_unsupported_box_at_the_seam_has_leaked(self) -> None:
        """A box at the seam that nothing in its own photo supports, opposite its neighbour's
        object, has leaked in."""
        assert self.leaks_of([detection("cat", 0.9, *BOTTOM)], [detection("cat", 0.5, *TOP)]) == (
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
    def test_a_supported_or_faint_box_is_no_stranger(
        self, change: dict[str, list[Detection]]
    ) -> None:
        """A box that the photo's answer alone or its ground truth has, or that scores little, is no
        stranger."""
        settings = {"below": [detection("cat", 0.5, *TOP)]} | change
        assert self.leaks_of([detection("cat", 0.9, *BOTTOM)], **settings)[1:3] == (0, 0)

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
    def test_a_stranger_without_a_neighbours_object_has_not_leaked(
        self, above: tuple[str, tuple[float, ...]], below: tuple[str, tuple[float, ...]]
    ) -> None:
        """A stranger without the neighbour's object of that label right across the seam has not
        leaked."""
        assert self.leaks_of(
            [detection(above[0], 0.9, *above[1])], [detection(below[0], 0.5, *below[1])]
        )[1:3] == (1, 0)

    def test_leaks_that_any_photo_would_explain_are_chance(self) -> None:
        """Leaks that other photos in the neighbours' places would explain are chance."""
        cat = detection("cat", 0.9, *BOTTOM)
        assert self.leaks_of([cat], [detection("cat", 0.5, *TOP)], alone_elsewhere=[])[2:] == (1, 0)
        assert self.leaks_of([cat], [detection("cat", 0.5, *TOP)], alone_elsewhere=[cat])[2:] == (
            1,
            1,
        )


def test_a_photo_alone_has_no_seams() -> None:
    """Seams are examined in grids only."""
    cat = detection("cat", 0.9, *CENTRE)
    (alone, two) = shape_stats(sample_of({"a": [cat]}, {"a": [[cat]]}), [], (400, 400), 0.3)
    assert (alone.shape, alone.leaks, alone.losses) == (ALONE, None, None)
    assert two.leaks == (0, 0, 0, 0)
