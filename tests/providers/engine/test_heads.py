"""What goes into detectors and what their outputs mean."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from providers.engine import heads, preprocess

sides = st.integers(1, 3000)
inputs = st.tuples(*[st.integers(1, 30).map(lambda cells: cells * 32)] * 2)
fits = st.sampled_from(["corner", "centre", "stretch"])


@given(st.tuples(sides, sides), inputs, fits)
def test_a_picture_lies_wholly_within_the_input(
    picture: tuple[int, int], into: tuple[int, int], fit: str
) -> None:
    """A picture lies wholly within the input and touches two opposite sides of it."""
    x, y, width, height = preprocess.place_of(picture, into, fit)
    assert x >= 0
    assert y >= 0
    assert x + width <= into[0]
    assert y + height <= into[1]
    assert width == into[0] or height == into[1]


@given(st.tuples(sides, sides), inputs, fits, arrays(np.float64, 4, elements=st.floats(0, 1)))
def test_fractions_survive_the_way_to_pixels_and_back(
    picture: tuple[int, int], into: tuple[int, int], fit: str, box: np.ndarray
) -> None:
    """Fractions that are mapped to the input's pixels come back unchanged, whatever the
    proportions."""
    where = preprocess.place_of(picture, into, fit)
    pixels = box * np.tile([where.width, where.height], 2)
    assert np.allclose(
        preprocess.box_fractions(pixels + np.tile([where.x, where.y], 2), where), box
    )


def test_yolox_takes_bgr_padded_below() -> None:
    """YOLOX takes BGR values of 0 to 255, padded with grey 114 below."""
    image = Image.new("RGB", (64, 32), (1, 2, 3))
    feed = preprocess.Preprocessing("corner", bgr=True, divisor=1.0)
    tensor = preprocess.input_tensor(
        image, preprocess.place_of(image.size, (32, 32), feed.fit), (32, 32), feed
    )
    assert tensor.shape == (1, 3, 32, 32)
    assert tensor.dtype == np.float32
    assert tensor[0, :, 0, 0].tolist() == [3, 2, 1]
    assert tensor[0, :, 31, 31].tolist() == [114, 114, 114]


def test_padding_has_the_colour_of_the_training() -> None:
    """The padding around a picture has the colour that the network was trained with."""
    feed = preprocess.Preprocessing("centre", bgr=True, divisor=1.0, padding_rgb=(1, 2, 3))
    tensor = preprocess.input_tensor(
        Image.new("RGB", (64, 32)), preprocess.PicturePlace(0, 8, 32, 16), (32, 32), feed
    )
    assert tensor[0, :, 0, 0].tolist() == tensor[0, :, 31, 31].tolist() == [3, 2, 1]
    assert tensor[0, :, 16, 16].tolist() == [0, 0, 0]


def test_imagenets_mean_colour_becomes_zero() -> None:
    """Pixels of ImageNet's mean colour are near 0, and pixels one deviation above it near 1."""
    feed = preprocess.Preprocessing(
        "stretch", mean=preprocess.IMAGENET_MEAN, std=preprocess.IMAGENET_STD
    )
    for deviations in (0, 1):
        colour = tuple(
            round(255 * (m + deviations * s)) for m, s in zip(feed.mean, feed.std, strict=True)
        )
        tensor = preprocess.input_tensor(
            Image.new("RGB", (5, 5), colour), preprocess.PicturePlace(0, 0, 8, 4), (8, 4), feed
        )
        assert tensor.shape == (1, 3, 4, 8)
        assert np.allclose(tensor, deviations, atol=0.02)


@pytest.mark.parametrize(
    ("size", "expected"), [((640, 640), 8400), ((416, 416), 3549), ((64, 32), 42)]
)
def test_an_input_has_an_anchor_a_cell(size: tuple[int, int], expected: int) -> None:
    """An input has as many anchors as its grids of 8, 16 and 32 px have cells."""
    assert heads.anchor_count(size) == expected


def distances(*sides: float, bins: int = 8) -> np.ndarray:
    """Logits (1, 4 * bins) that are sure of each side's distance in strides; a half is shared by
    two bins."""
    logits = np.full((4, bins), -99.0, np.float32)
    for row, distance in zip(logits, sides, strict=True):
        row[[int(distance), int(np.ceil(distance))]] = 0
    return logits.reshape(1, -1)


def nanodet(
    anchor: int, bins: np.ndarray, size: tuple[int, int] = (64, 64), **scores: float
) -> heads.HeadOutput:
    """The boxes if one anchor has these scores and distances, and the others nothing."""
    sure, everywhere = (
        np.zeros((heads.anchor_count(size), 2), np.float32),
        np.zeros((heads.anchor_count(size), bins.shape[1])),
    )
    sure[anchor], everywhere[anchor] = [scores.get(name, 0) for name in ("cat", "dog")], bins
    return heads.nanodet(sure, everywhere, size, 0.01)


def test_nanodets_distances_reach_from_the_middle_of_a_cell() -> None:
    """NanoDet's distances reach left, up, right and down from the middle of a cell, in its
    stride."""
    row_2_column_3 = 2 * 8 + 3
    detections = nanodet(row_2_column_3, distances(1, 2, 3, 4), dog=0.7, cat=0.2)
    assert np.allclose(detections.boxes_xyxy, [[28 - 8, 20 - 16, 28 + 24, 20 + 32]])
    assert (detections.scores.tolist(), detections.class_ids.tolist()) == (
        [pytest.approx(0.7)],
        [1],
    )


def test_cells_of_a_stride_follow_those_of_the_finer_one() -> None:
    """The cells of each stride follow the cells of the finer stride."""
    for anchor, middle, stride in (
        (8 * 8 + 4 + 2, (40, 24), 16),
        (8 * 8 + 4 * 4 + 1, (48, 16), 32),
    ):
        detections = nanodet(anchor, distances(1, 1, 1, 1), cat=0.9)
        assert np.allclose(
            detections.boxes_xyxy, [np.tile(middle, 2) + np.array([-1, -1, 1, 1]) * stride]
        )


def test_a_side_lies_at_the_mean_of_its_distribution() -> None:
    """A side lies at the mean of its distribution, however many bins there are."""
    for bins in (8, 17):
        detections = nanodet(0, distances(0.5, 2.5, 1.5, 6.5, bins=bins), cat=0.9)
        assert np.allclose(detections.boxes_xyxy, [[4 - 4, 4 - 20, 4 + 12, 4 + 52]])
    assert np.allclose(
        nanodet(0, np.zeros((1, 32)), cat=0.9).boxes_xyxy, [[4 - 28, 4 - 28, 4 + 28, 4 + 28]]
    )


def test_outputs_far_out_of_range_do_not_overflow() -> None:
    """Outputs far out of range give certain scores and huge boxes, and no warning."""
    wild = np.array([[0, 0, 1e9, 1e9, 1, 1]] * heads.anchor_count((32, 32)), dtype=np.float32)
    assert np.isfinite(heads.yolox(wild, (32, 32), 0).boxes_xyxy).all()
    assert np.isfinite(nanodet(0, np.array([[1e9, -1e9] * 16], np.float32), cat=1).boxes_xyxy).all()
    logits, boxes = np.array([[1e4, -1e4]], np.float32), np.full((1, 4), 0.5, np.float32)
    assert heads.detr_sigmoid(logits, boxes, (32, 32), 0).scores.tolist() == [1]
    assert heads.detr_softmax(logits, boxes, (32, 32), 0).scores.tolist() == [1]


corners = arrays(np.float64, (8, 2, 2), elements=st.integers(0, 20).map(float))
scores = arrays(np.float64, 8, elements=st.floats(0, 1))


@given(corners, scores, arrays(np.intp, 8, elements=st.integers(0, 1)), st.sampled_from([0.3, 0.6]))
def test_suppression_keeps_the_surest_of_near_boxes(
    points: np.ndarray, sureness: np.ndarray, classes: np.ndarray, iou: float
) -> None:
    """The remaining boxes come surest first, none too near another of its class; each removed box
    was too near a surer one."""
    boxes = np.concatenate([points.min(axis=1), points.max(axis=1)], axis=1)
    left = heads.nms(heads.HeadOutput(boxes, sureness, classes), iou)
    assert left.scores.tolist() == sorted(left.scores, reverse=True)
    for at, (box, label) in enumerate(zip(left.boxes_xyxy, left.class_ids, strict=True)):
        assert (
            heads.box_iou(box, left.boxes_xyxy[at + 1 :])[left.class_ids[at + 1 :] == label] <= iou
        ).all()
    for box, score, label in zip(boxes, sureness, classes, strict=True):
        rivals = left.take((left.class_ids == label) & (left.scores >= score))
        assert (rivals.boxes_xyxy == box).all(axis=1).any() or (
            heads.box_iou(box, rivals.boxes_xyxy) > iou
        ).any()


def test_no_boxes_in_no_boxes_out() -> None:
    """Suppression of no boxes returns no boxes."""
    nothing = heads.HeadOutput(np.empty((0, 4)), np.empty(0), np.empty(0, dtype=np.intp))
    assert len(heads.nms(nothing, 0.5).scores) == 0
