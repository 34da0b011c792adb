"""Kind `onnx`: boxes of the common layouts become fractions of the picture, with their labels."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from providers.base import Picture, Provider
from providers.box_iou import box_iou_batch
from providers.detection import Detection, Task
from providers.engine.heads import anchor_count
from providers.engine.vocabulary import COCO
from providers.errors import Misconfigured
from tests.support.paths import MODELS, VOC

WIDE, TALL = (400, 200), (100, 200)
HALF = (0.25, 0.25, 0.75, 0.75)
Outputs = Mapping[str, Any]
"""A network's outputs by name."""


async def ask(
    provider: Provider, picture: Callable[..., Picture], size: tuple[int, int] = WIDE
) -> Sequence[Detection]:
    """The answer about a black image."""
    return await provider.detect(picture(Image.new("RGB", size)), Task.OBJECTS)


def near(detection: Detection, box: Sequence[float]) -> bool:
    """Whether the detection's box is this one but for rounding."""
    return np.allclose(detection.box, box, atol=1e-3)


def yolox(*boxes: Sequence[Any], size: tuple[int, int] = (64, 64), classes: int = 2) -> Outputs:
    """Raw output; each of `boxes` is anchor, (cx, cy, w, h) in cells and logs, objectness, class,
    score."""
    raw = np.zeros((1, anchor_count(size), 5 + classes), dtype=np.float32)
    for anchor, box, objectness, label, score in boxes:
        raw[0, anchor, :5], raw[0, anchor, 5 + label] = (*box, objectness), score
    return {"output": raw}


def yolov8(*boxes: Sequence[Any], size: tuple[int, int] = (64, 64), classes: int = 2) -> Outputs:
    """Raw output; each of `boxes` is (cx, cy, w, h) in pixels, class, score."""
    raw = np.zeros((1, 4 + classes, anchor_count(size)), dtype=np.float32)
    for anchor, (box, label, score) in enumerate(boxes):
        raw[0, :4, anchor], raw[0, 4 + label, anchor] = box, score
    return {"output0": raw}


# A picture twice as wide as high lies in the upper half of a 64 px input, so its middle half is
# centred on (32, 16).
ROW_1_COLUMN_3 = 1 * 8 + 3
MIDDLE = (1.0, 1.0, np.log(32 / 8), np.log(16 / 8))


async def test_yolox_is_decoded_by_cell_and_stride(
    detector: Callable[..., Provider], picture: Callable[..., Picture]
) -> None:
    """YOLOX's raw output is decoded by cell and stride; the score is objectness times class."""
    provider = detector(yolox((ROW_1_COLUMN_3, MIDDLE, 0.8, 1, 0.5)), sides=(64, 64))
    (detection,) = await ask(provider, picture)
    assert (detection.label, pytest.approx(0.4)) == ("dog", detection.score)
    assert near(detection, HALF)


async def test_yoloxs_coarser_anchors_follow_the_finer(
    detector: Callable[..., Provider], picture: Callable[..., Picture]
) -> None:
    """The anchors of each stride follow those of the finer one."""
    stride_16 = 8 * 8 + 0 * 4 + 2, (0.0, 1.0, np.log(32 / 16), np.log(16 / 16)), 1, 0, 1
    stride_32 = 8 * 8 + 4 * 4 + 0, (1.0, 0.5, np.log(32 / 32), np.log(16 / 32)), 1, 1, 1
    detections = await ask(detector(yolox(stride_16, stride_32), sides=(64, 64)), picture)
    assert sorted(each.label for each in detections) == ["cat", "dog"]
    assert all(near(each, HALF) for each in detections)


async def test_yolov8_counts_pixels_of_a_centred_picture(
    detector: Callable[..., Provider], picture: Callable[..., Picture]
) -> None:
    """YOLOv8's boxes are in pixels of an input that has the picture in its middle."""
    for size, box in ((WIDE, (32, 32, 32, 16)), (TALL, (32, 32, 16, 32))):
        provider = detector(yolov8((box, 0, 0.9)), sides=(64, 64))
        (detection,) = await ask(provider, picture, size)
        assert (detection.label, pytest.approx(0.9)) == ("cat", detection.score)
        assert near(detection, HALF)


def nanodet(
    *boxes: Sequence[Any], size: tuple[int, int] = (64, 64), classes: int = 2, bins: int = 8
) -> Outputs:
    """Raw outputs; each of `boxes` is stride, cell, distances in strides, class, score."""
    cells = [(stride, size[0] // stride * size[1] // stride) for stride in (8, 16, 32)]
    widths = {"cls": classes, "dis": 4 * bins}
    raw = {
        f"{part}_pred_stride_{s}": np.zeros((1, n, width))
        for part, width in widths.items()
        for s, n in cells
    }
    for stride, cell, distances, label, score in boxes:
        raw[f"cls_pred_stride_{stride}"][0, cell, label] = score
        raw[f"dis_pred_stride_{stride}"][0, cell, np.arange(4) * bins + distances] = 99
    return raw


async def test_nanodets_outputs_are_told_by_their_names(
    detector: Callable[..., Provider], picture: Callable[..., Picture]
) -> None:
    """NanoDet's outputs of classes and distances, a pair for each stride, are told by their names
    in any order."""
    twice = (16, 1 * 4 + 1, (1, 0, 1, 1), 0, 0.8), (16, 1 * 4 + 2, (2, 0, 0, 1), 0, 0.7)
    outputs = dict(sorted(nanodet(*twice, (8, 0, (0, 0, 1, 1), 1, 0.6)).items()))
    first, second = await ask(detector(outputs, sides=(64, 64)), picture)
    assert [(each.label, round(each.score, 2)) for each in (first, second)] == [
        ("cat", 0.8),
        ("dog", 0.6),
    ]
    assert near(first, (8 / 64, (24 - 16) / 32, 40 / 64, (40 - 16) / 32))


def test_a_nanodet_of_another_size_is_misconfigured(detector: Callable[..., Provider]) -> None:
    """A NanoDet for another input, or with another set of strides, is an error that says what was
    expected."""
    fewer = {name: array for name, array in nanodet().items() if name != "dis_pred_stride_32"}
    more = nanodet() | {
        f"{part}_pred_stride_64": np.zeros((1, 1, width))
        for part, width in (("cls", 2), ("dis", 32))
    }
    for outputs in (fewer, more, nanodet(size=(64, 32)), detr([0, 0])):
        with pytest.raises(
            Misconfigured,
            match=r"layout: a nanodet has .* each cell of 64x64; this model has \w+ \(1, ",
        ):
            detector(outputs, sides=(64, 64), layout="nanodet")


async def test_the_surest_of_overlapping_boxes_stays(
    detector: Callable[..., Provider], picture: Callable[..., Picture]
) -> None:
    """Of overlapping boxes of one class the surest stays; boxes of another class or at another
    place stay too."""
    boxes = [
        ((32, 32, 32, 16), 0, 0.9),
        ((33, 32, 32, 16), 0, 0.8),
        ((32, 32, 32, 16), 1, 0.7),
        ((8, 32, 8, 8), 0, 0.6),
    ]
    detections = await ask(detector(yolov8(*boxes), sides=(64, 64)), picture)
    assert [(each.label, round(each.score, 2)) for each in detections] == [
        ("cat", 0.9),
        ("dog", 0.7),
        ("cat", 0.6),
    ]


async def test_the_overlap_of_boxes_is_a_setting(
    detector: Callable[..., Provider], picture: Callable[..., Picture]
) -> None:
    """The overlap that two boxes may have is a setting."""
    boxes = [
        ((32, 32, 32, 16), 0, 0.9),
        ((40, 32, 32, 16), 0, 0.8),
    ]  # 24 of 40 columns in common: 0.6
    for iou, count in ((0.7, 2), (0.5, 1)):
        assert len(await ask(detector(yolov8(*boxes), sides=(64, 64), iou=iou), picture)) == count


def detr(logits: Sequence[float], box: Sequence[float] = (0.5, 0.5, 0.5, 0.5)) -> Outputs:
    """The outputs of a DETR with one query."""
    return {"logits": [[logits]], "pred_boxes": [[box]]}


async def test_softmaxs_last_class_is_nothing(
    detector: Callable[..., Provider], picture: Callable[..., Picture]
) -> None:
    """Where the classes are one more than the labels, the last means no object, and the others
    share the rest."""
    (detection,) = await ask(detector(detr(np.log([0.1, 0.7, 0.2]))), picture, TALL)
    assert (detection.label, pytest.approx(0.7)) == ("dog", detection.score)
    assert near(detection, HALF)


async def test_a_query_sure_of_nothing_is_left_out(
    detector: Callable[..., Provider], picture: Callable[..., Picture]
) -> None:
    """A query that is sure of no object is not reported."""
    assert await ask(detector(detr([0.0, 0.0, 9.0])), picture) == []


async def test_sigmoids_classes_stand_for_themselves(
    detector: Callable[..., Provider], picture: Callable[..., Picture]
) -> None:
    """Where there are as many classes as labels, each stands for itself, and the surest pairs are
    reported."""
    outputs = {"logits": [[[-9.0, 2.0], [1.0, -9.0]]], "pred_boxes": [[[0.5, 0.5, 0.5, 0.5]] * 2]}
    detections = await ask(detector(outputs), picture)
    assert [(each.label, round(each.score, 3)) for each in detections] == [
        ("dog", 0.881),
        ("cat", 0.731),
    ]
    assert all(near(each, HALF) for each in detections)


@pytest.mark.parametrize("shape", [[1, "h", "w"], [1, 64, 64]])
async def test_a_mask_has_the_size_that_the_network_declares(
    detector: Callable[..., Provider], picture: Callable[..., Picture], shape: list[int | str]
) -> None:
    """A network that takes a mask of the picture gets one of the size that it declares."""
    assert await ask(detector(detr([0.0, 9.0, 0.0]), inputs={"pixel_mask": shape}), picture)


async def test_blank_labels_are_counted_and_never_reported(
    detector: Callable[..., Provider], picture: Callable[..., Picture]
) -> None:
    """Classes whose line is blank or N/A are counted and never reported."""
    for unused in ("", "N/A", "n/a"):
        boxes = [((32, 32, 32, 16), 1, 0.9), ((32, 32, 32, 16), 2, 0.8)]
        provider = detector(yolov8(*boxes, classes=3), f"cat\n{unused}\ndog\n", sides=(64, 64))
        assert [each.label for each in await ask(provider, picture)] == ["dog"]


def test_cocos_labels_are_recognised(detector: Callable[..., Provider]) -> None:
    """Labels that are COCO's 80 classes are recognised as its names; the vocabulary of others is a
    setting."""
    coco = detector(yolov8(classes=80), "\n".join(sorted(COCO)), sides=(64, 64), layout="yolov8")
    assert coco.about.vocabulary == "coco"
    outputs = yolov8()
    assert [
        detector(outputs, **settings).about.vocabulary
        for settings in ({}, {"vocabulary": "google"})
    ] == ["", "google"]


async def test_detections_under_the_floor_are_left_out(
    detector: Callable[..., Provider], picture: Callable[..., Picture]
) -> None:
    """A detection under the floor is not reported, and the floor is 0.01 unless set."""
    for settings, count in (({}, 2), ({"floor": 0.5}, 1), ({"floor": 0.0}, 2)):
        outputs = {
            "logits": [[[3.0, -9.0], [-4.0, -9.0]]],
            "pred_boxes": [[[0.5, 0.5, 0.5, 0.5]] * 2],
        }
        assert len(await ask(detector(outputs, **settings), picture)) == count


async def test_an_open_input_takes_its_size_from_settings(
    detector: Callable[..., Provider], picture: Callable[..., Picture]
) -> None:
    """An input of any size has the configured size, or else the canvas's, rounded up to 32 px."""
    for settings, size in (
        ({"input_size": "96x128"}, (96, 128)),
        ({"canvas": "150x90"}, (160, 96)),
    ):
        raw = yolox(size=size)
        assert await ask(detector(raw, **settings), picture) == []


def test_another_size_than_the_fixed_is_misconfigured(detector: Callable[..., Provider]) -> None:
    """A size other than the one that the network is fixed at is an error that names both."""
    with pytest.raises(Misconfigured, match=r"input_size: 96x96.*fixed at 128x160"):
        detector(yolov8(size=(128, 160)), sides=(160, 128), input_size="96x96")


@pytest.mark.parametrize("key", ["model", "labels"])
def test_a_missing_file_is_named_with_its_setting(
    make: Callable[..., Provider], network: Callable[..., Path], tmp_path: Path, key: str
) -> None:
    """The error about a missing file names it, its setting and the folder that paths start at."""
    network(tmp_path / "net.onnx", detr([0, 0]))
    (tmp_path / "names.txt").write_text("cat")
    with pytest.raises(Misconfigured, match=rf"my-onnx: {key}: there is no file .*gone.*start at"):
        make("onnx", tmp_path, **{"model": "net.onnx", "labels": "names.txt", key: "gone"})


def test_a_file_that_is_no_network_is_named(make: Callable[..., Provider], tmp_path: Path) -> None:
    """The error about a file that is no network names it."""
    (tmp_path / "net.onnx").write_bytes(b"none")
    (tmp_path / "names.txt").write_text("cat")
    with pytest.raises(Misconfigured, match=r"model: .*net\.onnx cannot be loaded"):
        make("onnx", tmp_path, model="net.onnx", labels="names.txt")


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        (yolov8(classes=3), "classes for 3;"),
        (yolox(classes=3), "classes for 3;"),
        (nanodet(classes=3), "classes for 3;"),
        (detr([0, 0, 0, 0]), r"classes for 4 \(sigmoid\) or 3 \(softmax\);"),
    ],
)
def test_labels_that_do_not_fit_are_counted(
    detector: Callable[..., Provider],
    outputs: Outputs,
    expected: str,
) -> None:
    """The error about too few or too many labels has both numbers."""
    with pytest.raises(
        Misconfigured, match=rf"labels: names\.txt has 2 lines, but .*net\.onnx have {expected}"
    ):
        detector(outputs, sides=(64, 64))


def test_labels_must_fit_the_set_activation(detector: Callable[..., Provider]) -> None:
    """Where softmax or sigmoid is set, the labels must fit just that."""
    detector(detr([0, 0]), activation="sigmoid")
    with pytest.raises(Misconfigured, match=r"classes for 1 \(softmax\)"):
        detector(detr([0, 0]), activation="softmax")


def test_outputs_of_no_known_layout_are_listed(detector: Callable[..., Provider]) -> None:
    """The error about outputs of no known layout lists them."""
    with pytest.raises(Misconfigured, match=r"layout: outputs boxes \(1, 4\)"):
        detector({"boxes": np.zeros((1, 4))})
    with pytest.raises(Misconfigured, match=r"layout: detr has outputs logits and pred_boxes"):
        detector({"boxes": np.zeros((1, 4))}, layout="detr")


def test_a_yolox_of_another_number_of_boxes_is_misconfigured(
    detector: Callable[..., Provider],
) -> None:
    """A YOLOX that gives more or fewer boxes than one for each anchor is an error that says how to
    export it."""
    with pytest.raises(Misconfigured, match=r"gives 84 boxes for 64x64; .*export it without NMS"):
        detector({"output": np.zeros((1, 300, 7))}, sides=(64, 64), layout="yolox")


def test_missing_cuda_is_named_with_its_package(detector: Callable[..., Provider]) -> None:
    """The error about CUDA that is not there names the package that brings it."""
    runtime = pytest.importorskip("onnxruntime")
    if "CUDAExecutionProvider" in runtime.get_available_providers():
        pytest.skip("CUDA is there")
    with pytest.raises(Misconfigured, match=r"execution: cuda .*onnxruntime-gpu"):
        detector(detr([0, 0]), execution="cuda")


@pytest.mark.slow
@pytest.mark.skipif(
    not (MODELS.exists() and VOC.exists()), reason="needs ../shared with models and voc-dev"
)
@pytest.mark.parametrize(
    ("model", "settings"),
    [
        ("yolox_nano", {"input_size": "416x416"}),
        ("yolox_nano", {"input_size": "640x480"}),
        ("nanodet_m_320", {}),
    ],
)
async def test_a_real_network_finds_the_animals_of_photos(
    make: Callable[..., Provider],
    picture: Callable[..., Picture],
    model: str,
    settings: dict[str, str],
) -> None:
    """A real network finds the animals of real photos at the places that people marked, with half
    of the areas in common as in VOC."""
    provider = make("onnx", MODELS, model=f"{model}.onnx", labels="coco80.txt", **settings)
    photos = animals()
    hits = [await finds(provider, picture, *photo) for photo in photos]
    assert len(photos) == 10
    assert sum(hits) >= 8  # yolox_nano takes one of the dogs for a horse


def animals() -> list[tuple[str, str, np.ndarray]]:
    """File, name and box in fractions of photos that show just one large animal."""
    marks = json.loads((VOC / "annotations.json").read_text())
    names = {category["id"]: category["name"] for category in marks["categories"]}
    by_photo = {photo["id"]: [] for photo in marks["images"]}
    for mark in marks["annotations"]:
        by_photo[mark["image_id"]].append(mark)
    photos = []
    for photo in marks["images"]:
        size, own = np.array([photo["width"], photo["height"]] * 2), by_photo[photo["id"]]
        if (
            len(own) == 1
            and names[own[0]["category_id"]] in ("dog", "cat", "horse")
            and own[0]["area"] > 30_000
        ):
            x, y, width, height = own[0]["bbox"]
            photos.append(
                (
                    photo["file_name"],
                    names[own[0]["category_id"]],
                    np.array([x, y, x + width, y + height]) / size,
                )
            )
    return photos[:10]


async def finds(
    provider: Provider, picture: Callable[..., Picture], file: str, name: str, box: np.ndarray
) -> bool:
    """Whether the provider detects the animal of that name in that box of the photo."""
    with Image.open(VOC / "images" / file) as image:
        detections = await provider.detect(picture(image.convert("RGB")), Task.OBJECTS)
    own = [each.box for each in detections if each.label == name and each.score > 0.3]
    return bool(own) and box_iou_batch(np.array([box]), np.array(own)).max() > 0.5
