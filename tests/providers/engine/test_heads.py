"""What goes into detectors and what their outputs mean."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from providers.box_iou import box_iou_batch
from providers.engine import heads, preprocess

sides = st.integers(1, 3000)
inputs = st.tuples(*[st.integers(1, 30).map(lambda cells: cells * 32)] * 2)
fits = st.sampled_from(["corner", "centre", "stretch"])


@given(st.tuples(sides, sides), inputs, fits)
def test_place(picture, into, fit) -> None:
    """A picture lies in the input wholly and touches two opposite sides of it."""
    x, y, width, height = preprocess.place_of(picture, into, fit)
    assert x >= 0
    assert y >= 0
    assert x + width <= into[0]
    assert y + height <= into[1]
    assert width == into[0] or height == into[1]


@given(st.tuples(sides, sides), inputs, fits, arrays(np.float64, 4, elements=st.floats(0, 1)))
def test_fractions(picture, into, fit, box) -> None:
    """Fractions put into the input's pixels come back as they were, for every proportion."""
    where = preprocess.place_of(picture, into, fit)
    pixels = box * np.tile([where.width, where.height], 2)
    assert np.allclose(
        preprocess.box_fractions(pixels + np.tile([where.x, where.y], 2), where), box
    )


def test_tensor_yolox() -> None:
    """YOLOX takes BGR of 0..255, padded with grey 114 below."""
    image = Image.new("RGB", (64, 32), (1, 2, 3))
    feed = preprocess.Preprocessing("corner", bgr=True, divisor=1.0)
    tensor = preprocess.input_tensor(
        image, preprocess.place_of(image.size, (32, 32), feed.fit), (32, 32), feed
    )
    assert tensor.shape == (1, 3, 32, 32)
    assert tensor.dtype == np.float32
    assert tensor[0, :, 0, 0].tolist() == [3, 2, 1]
    assert tensor[0, :, 31, 31].tolist() == [114, 114, 114]


def test_tensor_padding() -> None:
    """What surrounds a picture has the colour that the network was trained with."""
    feed = preprocess.Preprocessing("centre", bgr=True, divisor=1.0, padding_rgb=(1, 2, 3))
    tensor = preprocess.input_tensor(
        Image.new("RGB", (64, 32)), preprocess.PicturePlace(0, 8, 32, 16), (32, 32), feed
    )
    assert tensor[0, :, 0, 0].tolist() == tensor[0, :, 31, 31].tolist() == [3, 2, 1]
    assert tensor[0, :, 16, 16].tolist() == [0, 0, 0]


def test_tensor_imagenet() -> None:
    """Pixels of ImageNet's mean colour are near 0, and one deviation above it near 1."""
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
def test_anchors(size: tuple[int, ...], expected: int) -> None:
    """An input has as many anchors as its grids of 8, 16 and 32 px have cells."""
    assert heads.anchor_count(size) == expected


def distances(*sides, bins=8):
    """Logits (1, 4 * bins) sure of each side's distance in strides; halves are as likely the next
    as the one before."""
    logits = np.full((4, bins), -99.0, np.float32)
    for row, distance in zip(logits, sides, strict=True):
        row[[int(distance), int(np.ceil(distance))]] = 0
    return logits.reshape(1, -1)


def nanodet(anchor, bins, size=(64, 64), **scores):
    """What is seen where one anchor says something, and the others nothing."""
    sure, everywhere = (
        np.zeros((heads.anchor_count(size), 2), np.float32),
        np.zeros((heads.anchor_count(size), bins.shape[1])),
    )
    sure[anchor], everywhere[anchor] = [scores.get(name, 0) for name in ("cat", "dog")], bins
    return heads.nanodet(sure, everywhere, size, 0.01)


def test_nanodet() -> None:
    """Distances of NanoDet reach left, up, right and down from the middle of a cell, in its
    stride."""
    row_2_column_3 = 2 * 8 + 3
    seen = nanodet(row_2_column_3, distances(1, 2, 3, 4), dog=0.7, cat=0.2)
    assert np.allclose(seen.boxes_xyxy, [[28 - 8, 20 - 16, 28 + 24, 20 + 32]])
    assert (seen.scores.tolist(), seen.class_ids.tolist()) == ([pytest.approx(0.7)], [1])


def test_nanodet_strides() -> None:
    """Each stride's cells follow those of the finer one."""
    for anchor, middle, stride in (
        (8 * 8 + 4 + 2, (40, 24), 16),
        (8 * 8 + 4 * 4 + 1, (48, 16), 32),
    ):
        seen = nanodet(anchor, distances(1, 1, 1, 1), cat=0.9)
        assert np.allclose(
            seen.boxes_xyxy, [np.tile(middle, 2) + np.array([-1, -1, 1, 1]) * stride]
        )


def test_nanodet_expectation() -> None:
    """A side is where its distribution's mean lies, however many bins there are."""
    for bins in (8, 17):
        seen = nanodet(0, distances(0.5, 2.5, 1.5, 6.5, bins=bins), cat=0.9)
        assert np.allclose(seen.boxes_xyxy, [[4 - 4, 4 - 20, 4 + 12, 4 + 52]])
    assert np.allclose(
        nanodet(0, np.zeros((1, 32)), cat=0.9).boxes_xyxy, [[4 - 28, 4 - 28, 4 + 28, 4 + 28]]
    )


def test_no_overflow() -> None:
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
def test_suppress(points, sureness, classes, iou) -> None:
    """What is left comes surest first, none too near another of its class; what went was too near a
    surer one."""
    boxes = np.concatenate([points.min(axis=1), points.max(axis=1)], axis=1)
    left = heads.nms(heads.HeadOutput(boxes, sureness, classes), iou)
    assert left.scores.tolist() == sorted(left.scores, reverse=True)
    for at, (box, label) in enumerate(zip(left.boxes_xyxy, left.class_ids, strict=True)):
        assert (
            box_iou_batch(box[None], left.boxes_xyxy[at + 1 :])[0][
                left.class_ids[at + 1 :] == label
            ]
            <= iou
        ).all()
    for box, score, label in zip(boxes, sureness, classes, strict=True):
        rivals = left.take((left.class_ids == label) & (left.scores >= score))
        assert (rivals.boxes_xyxy == box).all(axis=1).any() or (
            box_iou_batch(box[None], rivals.boxes_xyxy) > iou
        ).any()


def test_nothing_seen() -> None:
    """Nothing in, nothing out."""
    nothing = heads.HeadOutput(np.empty((0, 4)), np.empty(0), np.empty(0, dtype=np.intp))
    assert len(heads.nms(nothing, 0.5).scores) == 0
