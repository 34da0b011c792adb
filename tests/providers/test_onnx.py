"""Kind `onnx`: boxes of the common layouts come back as fractions of the picture, with their
labels."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from providers.box_iou import box_iou_batch
from providers.detection import Task
from providers.engine.heads import anchor_count
from providers.engine.vocabulary import COCO
from providers.errors import Misconfigured
from tests.support.paths import MODELS, VOC

WIDE, TALL = (400, 200), (100, 200)
HALF = (0.25, 0.25, 0.75, 0.75)


@pytest.fixture
def detector(
    make: Callable[..., Any], network: Callable[..., Any], tmp_path: Path
) -> Callable[..., Any]:
    """`detector(outputs, labels, sides, inputs, **settings)`: a provider with a network that
    answers always that."""

    def build(outputs, labels="cat\ndog\n", sides=("h", "w"), inputs=None, **settings):
        network(tmp_path / "net.onnx", outputs, sides, inputs)
        (tmp_path / "names.txt").write_text(labels)
        return make("onnx", tmp_path, **{"model": "net.onnx", "labels": "names.txt", **settings})

    return build


async def ask(provider, picture, size=WIDE):
    return await provider.detect(picture(Image.new("RGB", size)), Task.OBJECTS)


def near(seen, box):
    return np.allclose(seen.box, box, atol=1e-3)


def yolox(*found, size=(64, 64), classes=2):
    """Raw output: each of `found` is anchor, (cx, cy, w, h) in cells and logs, objectness, class,
    score."""
    raw = np.zeros((1, anchor_count(size), 5 + classes), dtype=np.float32)
    for anchor, box, objectness, label, score in found:
        raw[0, anchor, :5], raw[0, anchor, 5 + label] = (*box, objectness), score
    return {"output": raw}


def yolov8(*found, size=(64, 64), classes=2):
    """Each of `found` is (cx, cy, w, h) in pixels, class, score."""
    raw = np.zeros((1, 4 + classes, anchor_count(size)), dtype=np.float32)
    for anchor, (box, label, score) in enumerate(found):
        raw[0, :4, anchor], raw[0, 4 + label, anchor] = box, score
    return {"output0": raw}


# A picture twice as wide as high lies in the upper half of a 64 px input, so its middle half is
# centred on (32, 16).
ROW_1_COLUMN_3 = 1 * 8 + 3
MIDDLE = (1.0, 1.0, np.log(32 / 8), np.log(16 / 8))


async def test_yolox(detector: Callable[..., Any], picture: Callable[..., Any]) -> None:
    """YOLOX's raw output is decoded by cell and stride; the score is objectness times class."""
    provider = detector(yolox((ROW_1_COLUMN_3, MIDDLE, 0.8, 1, 0.5)), sides=(64, 64))
    (seen,) = await ask(provider, picture)
    assert (seen.label, pytest.approx(0.4)) == ("dog", seen.score)
    assert near(seen, HALF)


async def test_yolox_strides(detector: Callable[..., Any], picture: Callable[..., Any]) -> None:
    """Each stride's anchors follow those of the finer one."""
    stride_16 = 8 * 8 + 0 * 4 + 2, (0.0, 1.0, np.log(32 / 16), np.log(16 / 16)), 1, 0, 1
    stride_32 = 8 * 8 + 4 * 4 + 0, (1.0, 0.5, np.log(32 / 32), np.log(16 / 32)), 1, 1, 1
    seen = await ask(detector(yolox(stride_16, stride_32), sides=(64, 64)), picture)
    assert sorted(found.label for found in seen) == ["cat", "dog"]
    assert all(near(found, HALF) for found in seen)


async def test_yolov8(detector: Callable[..., Any], picture: Callable[..., Any]) -> None:
    """YOLOv8's boxes are in pixels of an input in whose middle the picture lies."""
    for size, box in ((WIDE, (32, 32, 32, 16)), (TALL, (32, 32, 16, 32))):
        provider = detector(yolov8((box, 0, 0.9)), sides=(64, 64))
        (seen,) = await ask(provider, picture, size)
        assert (seen.label, pytest.approx(0.9)) == ("cat", seen.score)
        assert near(seen, HALF)


def nanodet(*found, size=(64, 64), classes=2, bins=8):
    """Each of `found` is stride, cell, distances in strides, class, score."""
    cells = [(stride, size[0] // stride * size[1] // stride) for stride in (8, 16, 32)]
    widths = {"cls": classes, "dis": 4 * bins}
    raw = {
        f"{part}_pred_stride_{s}": np.zeros((1, n, width))
        for part, width in widths.items()
        for s, n in cells
    }
    for stride, cell, distances, label, score in found:
        raw[f"cls_pred_stride_{stride}"][0, cell, label] = score
        raw[f"dis_pred_stride_{stride}"][0, cell, np.arange(4) * bins + distances] = 99
    return raw


async def test_nanodet(detector: Callable[..., Any], picture: Callable[..., Any]) -> None:
    """NanoDet's outputs of classes and distances, a pair a stride, are told by their names in
    whatever order."""
    twice = (16, 1 * 4 + 1, (1, 0, 1, 1), 0, 0.8), (16, 1 * 4 + 2, (2, 0, 0, 1), 0, 0.7)
    outputs = dict(sorted(nanodet(*twice, (8, 0, (0, 0, 1, 1), 1, 0.6)).items()))
    first, other = await ask(detector(outputs, sides=(64, 64)), picture)
    assert [(one.label, round(one.score, 2)) for one in (first, other)] == [
        ("cat", 0.8),
        ("dog", 0.6),
    ]
    assert near(first, (8 / 64, (24 - 16) / 32, 40 / 64, (40 - 16) / 32))


def test_strange_nanodet(detector: Callable[..., Any]) -> None:
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


async def test_suppression(detector: Callable[..., Any], picture: Callable[..., Any]) -> None:
    """Of boxes of one class that overlap the surest stays; another class and another place stay
    too."""
    found = [
        ((32, 32, 32, 16), 0, 0.9),
        ((33, 32, 32, 16), 0, 0.8),
        ((32, 32, 32, 16), 1, 0.7),
        ((8, 32, 8, 8), 0, 0.6),
    ]
    seen = await ask(detector(yolov8(*found), sides=(64, 64)), picture)
    assert [(one.label, round(one.score, 2)) for one in seen] == [
        ("cat", 0.9),
        ("dog", 0.7),
        ("cat", 0.6),
    ]


async def test_iou(detector: Callable[..., Any], picture: Callable[..., Any]) -> None:
    """How much two boxes may overlap is a setting."""
    found = [
        ((32, 32, 32, 16), 0, 0.9),
        ((40, 32, 32, 16), 0, 0.8),
    ]  # 24 of 40 columns in common: 0.6
    for iou, count in ((0.7, 2), (0.5, 1)):
        assert len(await ask(detector(yolov8(*found), sides=(64, 64), iou=iou), picture)) == count


def detr(logits, box=(0.5, 0.5, 0.5, 0.5)):
    return {"logits": [[logits]], "pred_boxes": [[box]]}


async def test_detr(detector: Callable[..., Any], picture: Callable[..., Any]) -> None:
    """With a class more than labels the last means nothing there, and the others share what
    remains."""
    (seen,) = await ask(detector(detr(np.log([0.1, 0.7, 0.2]))), picture, TALL)
    assert (seen.label, pytest.approx(0.7)) == ("dog", seen.score)
    assert near(seen, HALF)


async def test_detr_nothing(detector: Callable[..., Any], picture: Callable[..., Any]) -> None:
    """A query that is sure of nothing is not reported."""
    assert await ask(detector(detr([0.0, 0.0, 9.0])), picture) == []


async def test_rt_detr(detector: Callable[..., Any], picture: Callable[..., Any]) -> None:
    """With as many classes as labels each stands for itself, and the surest pairs are reported."""
    outputs = {"logits": [[[-9.0, 2.0], [1.0, -9.0]]], "pred_boxes": [[[0.5, 0.5, 0.5, 0.5]] * 2]}
    seen = await ask(detector(outputs), picture)
    assert [(one.label, round(one.score, 3)) for one in seen] == [("dog", 0.881), ("cat", 0.731)]
    assert all(near(one, HALF) for one in seen)


@pytest.mark.parametrize("shape", [[1, "h", "w"], [1, 64, 64]])
async def test_pixel_mask(
    detector: Callable[..., Any], picture: Callable[..., Any], shape: list[int | str] | list[int]
) -> None:
    """A network that wants a mask of the picture gets one of the size it declares."""
    assert await ask(detector(detr([0.0, 9.0, 0.0]), inputs={"pixel_mask": shape}), picture)


async def test_unreported_labels(detector: Callable[..., Any], picture: Callable[..., Any]) -> None:
    """Classes whose line is blank or N/A are counted and never reported."""
    for unused in ("", "N/A", "n/a"):
        found = [((32, 32, 32, 16), 1, 0.9), ((32, 32, 32, 16), 2, 0.8)]
        provider = detector(yolov8(*found, classes=3), f"cat\n{unused}\ndog\n", sides=(64, 64))
        assert [one.label for one in await ask(provider, picture)] == ["dog"]


def test_vocabulary(detector: Callable[..., Any]) -> None:
    """Labels that are COCO's 80 classes are known for its names; of others it must be said whose
    they are."""
    coco = detector(yolov8(classes=80), "\n".join(sorted(COCO)), sides=(64, 64), layout="yolov8")
    assert coco.about.vocabulary == "coco"
    outputs = yolov8()
    assert [
        detector(outputs, **said).about.vocabulary for said in ({}, {"vocabulary": "google"})
    ] == ["", "google"]


async def test_floor(detector: Callable[..., Any], picture: Callable[..., Any]) -> None:
    """Nothing under the floor is reported, and 0.01 is the floor unless set."""
    for settings, count in (({}, 2), ({"floor": 0.5}, 1), ({"floor": 0.0}, 2)):
        outputs = {
            "logits": [[[3.0, -9.0], [-4.0, -9.0]]],
            "pred_boxes": [[[0.5, 0.5, 0.5, 0.5]] * 2],
        }
        assert len(await ask(detector(outputs, **settings), picture)) == count


async def test_input_size(detector: Callable[..., Any], picture: Callable[..., Any]) -> None:
    """An input of any size is as large as asked for, or else as the canvas rounded up to 32 px."""
    for settings, size in (
        ({"input_size": "96x128"}, (96, 128)),
        ({"canvas": "150x90"}, (160, 96)),
    ):
        raw = yolox(size=size)
        assert await ask(detector(raw, **settings), picture) == []


def test_input_size_fixed(detector: Callable[..., Any]) -> None:
    """A size other than the one that the network is fixed at is an error that says which it is."""
    with pytest.raises(Misconfigured, match=r"input_size: 96x96.*fixed at 128x160"):
        detector(yolov8(size=(128, 160)), sides=(160, 128), input_size="96x96")


@pytest.mark.parametrize("key", ["model", "labels"])
def test_missing_file(
    make: Callable[..., Any], network: Callable[..., Any], tmp_path: Path, key: str
) -> None:
    """A file that is not there is named with its setting and the folder that paths start at."""
    network(tmp_path / "net.onnx", detr([0, 0]))
    (tmp_path / "names.txt").write_text("cat")
    with pytest.raises(Misconfigured, match=rf"my-onnx: {key}: there is no file .*gone.*start at"):
        make("onnx", tmp_path, **{"model": "net.onnx", "labels": "names.txt", key: "gone"})


def test_no_network(make: Callable[..., Any], tmp_path: Path) -> None:
    """A file that is no network is named."""
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
def test_labels_that_do_not_fit(
    detector: Callable[..., Any],
    outputs: dict[str, Any] | dict[str, list[list[list[Any]]] | list[list[tuple[Any]]]],
    expected: str,
) -> None:
    """Labels that are too few or too many are an error with both numbers."""
    with pytest.raises(
        Misconfigured, match=rf"labels: names\.txt has 2 lines, but .*net\.onnx have {expected}"
    ):
        detector(outputs, sides=(64, 64))


def test_activation(detector: Callable[..., Any]) -> None:
    """Where softmax or sigmoid is asked for, the labels must fit just that."""
    detector(detr([0, 0]), activation="sigmoid")
    with pytest.raises(Misconfigured, match=r"classes for 1 \(softmax\)"):
        detector(detr([0, 0]), activation="softmax")


def test_strange_outputs(detector: Callable[..., Any]) -> None:
    """Outputs of no known layout are an error that lists them."""
    with pytest.raises(Misconfigured, match=r"layout: outputs boxes \(1, 4\)"):
        detector({"boxes": np.zeros((1, 4))})
    with pytest.raises(Misconfigured, match=r"layout: detr has outputs logits and pred_boxes"):
        detector({"boxes": np.zeros((1, 4))}, layout="detr")


def test_decoded_yolox(detector: Callable[..., Any]) -> None:
    """A YOLOX with boxes other than one an anchor is an error that says how to export it."""
    with pytest.raises(
        Misconfigured, match=r"gives 84 boxes for 64x64; .*export it without decoding"
    ):
        detector({"output": np.zeros((1, 300, 6))}, sides=(64, 64))


def test_cuda_missing(detector: Callable[..., Any]) -> None:
    """Asking for CUDA where it is not there names the package that brings it."""
    runtime = pytest.importorskip("onnxruntime")
    if "CUDAExecutionProvider" in runtime.get_available_providers():
        pytest.skip("CUDA is there")
    with pytest.raises(Misconfigured, match=r"execution: cuda .*onnxruntime-gpu"):
        detector(detr([0, 0]), execution="cuda")


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
async def test_real_photos(
    make: Callable[..., Any],
    picture: Callable[..., Any],
    model: str,
    settings: dict[Any, Any] | dict[str, str],
) -> None:
    """A real network finds the animals of real photos where people found them (VOC's measure: half
    in common)."""
    provider = make("onnx", MODELS, model=f"{model}.onnx", labels="coco80.txt", **settings)
    photos = animals()
    hits = [await finds(provider, picture, *photo) for photo in photos]
    assert len(photos) == 10
    assert sum(hits) >= 8  # yolox_nano takes one of the dogs for a horse


def animals():
    """File, name and box in fractions of photos that show just one large animal."""
    marks = json.loads((VOC / "annotations.json").read_text())
    names = {category["id"]: category["name"] for category in marks["categories"]}
    by_photo = {photo["id"]: [] for photo in marks["images"]}
    for mark in marks["annotations"]:
        by_photo[mark["image_id"]].append(mark)
    found = []
    for photo in marks["images"]:
        size, own = np.array([photo["width"], photo["height"]] * 2), by_photo[photo["id"]]
        if (
            len(own) == 1
            and names[own[0]["category_id"]] in ("dog", "cat", "horse")
            and own[0]["area"] > 30_000
        ):
            x, y, width, height = own[0]["bbox"]
            found.append(
                (
                    photo["file_name"],
                    names[own[0]["category_id"]],
                    np.array([x, y, x + width, y + height]) / size,
                )
            )
    return found[:10]


async def finds(provider, picture, file, name, box):
    with Image.open(VOC / "images" / file) as image:
        seen = await provider.detect(picture(image.convert("RGB")), Task.OBJECTS)
    own = [one.box for one in seen if one.label == name and one.score > 0.3]
    return bool(own) and box_iou_batch(np.array([box]), np.array(own)).max() > 0.5
