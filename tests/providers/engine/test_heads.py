"""A detector's input tensor, and the meaning of its outputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image

from providers.box_iou import box_iou_batch
from providers.engine import heads, preprocess

sides = st.integers(1, 3000)
inputs = st.tuples(*[st.integers(1, 30).map(lambda cells: cells * 32)] * 2)
fits = st.sampled_from(["corner", "centre", "stretch"])


@given(st.tuples(sides, sides), inputs, fits)
def test_a_picture_fills_the_input_in_one_direction(
    picture: tuple[int, int], network_input: tuple[int, int], fit: preprocess.Fit
) -> None:
    """A picture lies wholly in the input and touches two opposite sides of it."""
    x, y, width, height = preprocess.place_of(picture, network_input, fit)
    assert x >= 0
    assert y >= 0
    assert x + width <= network_input[0]
    assert y + height <= network_input[1]
    assert width == network_input[0] or height == network_input[1]


@given(st.tuples(sides, sides), inputs, fits, arrays(np.float64, 4, elements=st.floats(0, 1)))
def test_fractions_survive_the_way_through_pixels(
    picture: tuple[int, int],
    network_input: tuple[int, int],
    fit: preprocess.Fit,
    box: NDArray[np.float64],
) -> None:
    """Fractions that are turned into pixels of the input and back are the same, for every
    proportion."""
    place = preprocess.place_of(picture, network_input, fit)
    pixels = box * np.tile([place.width, place.height], 2)
    assert np.allclose(
        preprocess.box_fractions(pixels + np.tile([place.x, place.y], 2), place), box
    )


def test_yolox_takes_bgr_padded_with_grey() -> None:
    """YOLOX takes BGR of 0..255, padded with grey 114 below."""
    image = Image.new("RGB", (64, 32), (1, 2, 3))
    preprocessing = preprocess.Preprocessing("corner", bgr=True, divisor=1.0)
    tensor = preprocess.input_tensor(
        image, preprocess.place_of(image.size, (32, 32), preprocessing.fit), (32, 32), preprocessing
    )
    assert tensor.shape == (1, 3, 32, 32)
    assert tensor.dtype == np.float32
    assert tensor[0, :, 0, 0].tolist() == [3, 2, 1]
    assert tensor[0, :, 31, 31].tolist() == [114, 114, 114]


def test_the_padding_has_the_networks_own_colour() -> None:
    """The padding around a picture has the colour that the network was trained with."""
    preprocessing = preprocess.Preprocessing("centre", bgr=True, divisor=1.0, padding_rgb=(1, 2, 3))
    tensor = preprocess.input_tensor(
        Image.new("RGB", (64, 32)), preprocess.PicturePlace(0, 8, 32, 16), (32, 32), preprocessing
    )
    assert tensor[0, :, 0, 0].tolist() == tensor[0, :, 31, 31].tolist() == [3, 2, 1]
    assert tensor[0, :, 16, 16].tolist() == [0, 0, 0]


def test_imagenets_mean_colour_becomes_nought() -> None:
    """Pixels of ImageNet's mean colour are near 0, and those one deviation above it near 1."""
    preprocessing = preprocess.Preprocessing(
        "stretch", mean=preprocess.IMAGENET_MEAN, std=preprocess.IMAGENET_STD
    )
    for deviations in (0, 1):
        colour = tuple(
            round(255 * (m + deviations * s))
            for m, s in zip(preprocessing.mean, preprocessing.std, strict=True)
        )
        tensor = preprocess.input_tensor(
            Image.new("RGB", (5, 5), colour),
            preprocess.PicturePlace(0, 0, 8, 4),
            (8, 4),
            preprocessing,
        )
        assert tensor.shape == (1, 3, 4, 8)
        assert np.allclose(tensor, deviations, atol=0.02)


@pytest.mark.parametrize(
    ("size", "expected"), [((640, 640), 8400), ((416, 416), 3549), ((64, 32), 42)]
)
def test_every_cell_of_a_grid_is_an_anchor(size: tuple[int, int], expected: int) -> None:
    """An input has as many anchors as its grids of 8, 16 and 32 px have cells."""
    assert heads.anchor_count(size) == expected


def distances(*sides: float, bins: int = 8) -> NDArray[np.float32]:
    """Logits (1, 4 * bins) that are sure of each side's distance in strides; a half is as likely
    the integer below as the one above."""
    logits = np.full((4, bins), -99.0, np.float32)
    for row, distance in zip(logits, sides, strict=True):
        row[[int(distance), int(np.ceil(distance))]] = 0
    return logits.reshape(1, -1)


def nanodet(
    anchor: int, bins: NDArray[Any], size: tuple[int, int] = (64, 64), **scores: float
) -> heads.HeadOutput:
    """The head's output where one anchor has these scores and bins, and the others have none."""
    class_scores, all_bins = (
        np.zeros((heads.anchor_count(size), 2), np.float32),
        np.zeros((heads.anchor_count(size), bins.shape[1])),
    )
    class_scores[anchor], all_bins[anchor] = [scores.get(name, 0) for name in ("cat", "dog")], bins
    return heads.nanodet(class_scores, all_bins, size, 0.01)


def test_nanodet_measures_sides_in_strides_from_the_middle() -> None:
    """Distances of NanoDet reach left, up, right and down from the middle of a cell, in its
    stride."""
    row_2_column_3 = 2 * 8 + 3
    output = nanodet(row_2_column_3, distances(1, 2, 3, 4), dog=0.7, cat=0.2)
    assert np.allclose(output.boxes_xyxy, [[28 - 8, 20 - 16, 28 + 24, 20 + 32]])
    assert (output.scores.tolist(), output.class_ids.tolist()) == ([pytest.approx(0.7)], [1])


def test_nanodets_coarser_cells_follow_the_finer() -> None:
    """The cells of each stride follow those of the finer one."""
    for anchor, middle, stride in (
        (8 * 8 + 4 + 2, (40, 24), 16),
        (8 * 8 + 4 * 4 + 1, (48, 16), 32),
    ):
        output = nanodet(anchor, distances(1, 1, 1, 1), cat=0.9)
        assert np.allclose(
            output.boxes_xyxy, [np.tile(middle, 2) + np.array([-1, -1, 1, 1]) * stride]
        )


def test_nanodets_side_is_the_mean_of_its_distribution() -> None:
    """A side lies at the mean of its distribution, for any number of bins."""
    for bins in (8, 17):
        output = nanodet(0, distances(0.5, 2.5, 1.5, 6.5, bins=bins), cat=0.9)
        assert np.allclose(output.boxes_xyxy, [[4 - 4, 4 - 20, 4 + 12, 4 + 52]])
    assert np.allclose(
        nanodet(0, np.zeros((1, 32)), cat=0.9).boxes_xyxy, [[4 - 28, 4 - 28, 4 + 28, 4 + 28]]
    )


def test_outputs_out_of_range_give_no_overflow() -> None:
    """Outputs far out of range give certain scores and huge boxes, and no warning."""
    raw = np.array([[0, 0, 1e9, 1e9, 1, 1]] * heads.anchor_count((32, 32)), dtype=np.float32)
    assert np.isfinite(heads.yolox_boxes(raw, heads.anchors_of((32, 32)))).all()
    assert np.isfinite(nanodet(0, np.array([[1e9, -1e9] * 16], np.float32), cat=1).boxes_xyxy).all()
    logits, boxes = np.array([[1e4, -1e4]], np.float32), np.full((1, 4), 0.5, np.float32)
    assert heads.detr_sigmoid(logits, boxes, (32, 32), 0).scores.tolist() == [1]
    assert heads.detr_softmax(logits, boxes, (32, 32), 0).scores.tolist() == [1]


corners = arrays(np.float64, (8, 2, 2), elements=st.integers(0, 20).map(float))
scores = arrays(np.float64, 8, elements=st.floats(0, 1))


@given(corners, scores, arrays(np.intp, 8, elements=st.integers(0, 1)), st.sampled_from([0.3, 0.6]))
def test_suppression_keeps_the_surest_of_near_boxes(
    points: NDArray[np.float64],
    confidences: NDArray[np.float64],
    classes: NDArray[np.intp],
    iou: float,
) -> None:
    """Suppression returns the surest boxes first, none too near another of its class, and every box
    that it removes was too near a surer one."""
    boxes = np.concatenate([points.min(axis=1), points.max(axis=1)], axis=1)
    kept = heads.nms(heads.HeadOutput(boxes, confidences, classes), iou)
    assert kept.scores.tolist() == sorted(kept.scores, reverse=True)
    for at, (box, label) in enumerate(zip(kept.boxes_xyxy, kept.class_ids, strict=True)):
        assert (
            box_iou_batch(box[None], kept.boxes_xyxy[at + 1 :])[0][
                kept.class_ids[at + 1 :] == label
            ]
            <= iou
        ).all()
    for box, score, label in zip(boxes, confidences, classes, strict=True):
        rivals = kept.take((kept.class_ids == label) & (kept.scores >= score))
        assert (rivals.boxes_xyxy == box).all(axis=1).any() or (
            box_iou_batch(box[None], rivals.boxes_xyxy) > iou
        ).any()


def test_suppression_of_no_boxes_gives_none() -> None:
    """Suppression of no boxes returns none."""
    nothing = heads.HeadOutput(np.empty((0, 4)), np.empty(0), np.empty(0, dtype=np.intp))
    assert len(heads.nms(nothing, 0.5).scores) == 0
