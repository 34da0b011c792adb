"""Kind `onnx`: detectors as people export them are told apart by names, shapes and a trial run, and
what is not read is named for what it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from providers.base import Picture, Provider
from providers.detection import Detection, Task
from providers.engine import heads
from providers.engine.detector import PictureInput
from providers.errors import Misconfigured
from providers.options import Canvas

SIZE = (64, 64)
HALF = (0.25, 0.25, 0.75, 0.75)
"""The middle half of a picture."""
WIDE = (400, 200)
"""Twice as wide as high: in an input of 64 px that keeps proportions it is 32 px high."""
AT_THE_TOP, IN_THE_MIDDLE = (32, 16, 32, 16), (32, 32, 32, 16)
"""Centre and sides, in pixels of the input, of the middle half of a wide picture: padded below, or
on both sides."""
Outputs = Mapping[str, Any]


async def ask(provider: Provider, picture: Callable[..., Picture]) -> Sequence[Detection]:
    """The answer about a black picture, which is wide."""
    return await provider.detect(picture(Image.new("RGB", WIDE)), Task.OBJECTS)


def cells(boxes_per_anchor: int = 1) -> NDArray[np.float32]:
    """Centres and sides (boxes, 4) in pixels, one box as large as each anchor's cell, as a network
    that sees nothing gives them."""
    rows = []
    for stride in heads.STRIDES_PX:
        columns_rows = np.indices((SIZE[1] // stride, SIZE[0] // stride))[::-1].reshape(2, -1).T
        middles = (columns_rows + 0.5) * stride
        rows.append(np.hstack([middles, np.full_like(middles, stride)]))
    return np.tile(np.concatenate(rows).astype(np.float32), (boxes_per_anchor, 1))


def table(
    boxes: NDArray[Any],
    box: Sequence[float],
    *,
    objectness: float | None = None,
    logits: bool = False,
) -> NDArray[np.float32]:
    """Rows (boxes, columns) of two classes, "dog" at 0.9 for `box` and nothing else; with
    objectness, if it is given."""
    scores = np.full((len(boxes), 2), 1e-4)
    boxes[0], scores[0, 1] = box, 0.9
    if objectness is not None:
        scores = np.hstack([np.full((len(boxes), 1), objectness), scores])
    if logits:
        scores = np.log(scores / (1 - scores))
    return np.hstack([boxes, scores]).astype(np.float32)


def queries(box: Sequence[float]) -> NDArray[np.float32]:
    """Boxes (5, 4), the first of which is `box`."""
    return np.array([box, *[(0.1, 0.1, 0.1, 0.1)] * 4], np.float32)


def fractions(box_px: Sequence[float]) -> NDArray[np.float32]:
    """A box in pixels of the input, as fractions of it."""
    return np.array(box_px, np.float32) / SIZE[0]


def end2end(box_px: Sequence[float], rows: int = 5) -> Outputs:
    """A box by centre and sides as one of rows of corners, score and class id, the others empty."""
    output = np.zeros((1, rows, 6), np.float32)
    x, y, width, height = box_px
    corners = x - width / 2, y - height / 2, x + width / 2, y + height / 2
    output[0, 0] = (*corners, 0.9, 1)
    return {"output0": output}


def dfine(class_id: int = 1) -> Outputs:
    """The outputs of D-FINE's own export, its boxes as corners in fractions of the sizes that it is
    told."""
    corners = np.array([[HALF, *[(0, 0, 0.1, 0.1)] * 4]], np.float32)
    return {
        "labels": np.array([[class_id, 0, 0, 0, 0]], np.int64),
        "boxes": corners,
        "scores": np.array([[0.9, 0, 0, 0, 0]]),
    }


def rfdetr() -> Outputs:
    """The outputs of RF-DETR: boxes as fractions, logits of two classes."""
    logits = np.full((1, 5, 2), -9.0)
    logits[0, 0, 1] = np.log(9)
    return {"dets": queries((0.5, 0.5, 0.5, 0.5))[None], "labels": logits}


READ: Mapping[str, Outputs] = {
    "YOLOX, decoded": {"output": table(cells(), AT_THE_TOP, objectness=0.999)[None]},
    "YOLOv5": {"output0": table(cells(3), IN_THE_MIDDLE, objectness=0.999)[None]},
    "YOLOv5 in fractions": {
        "output0": table(cells(3) / SIZE[0], fractions(IN_THE_MIDDLE), objectness=0.999)[None]
    },
    "YOLOv6": {"outputs": table(cells(), IN_THE_MIDDLE, objectness=1)[None]},
    "YOLOv8": {"output0": table(cells(), IN_THE_MIDDLE).T[None]},
    "YOLOv8, a row a box": {"output0": table(cells(), IN_THE_MIDDLE)[None]},
    "YOLOv8 in fractions": {
        "output0": table(cells() / SIZE[0], fractions(IN_THE_MIDDLE)).T[None],
    },
    "YOLOv8 with logits": {"output0": table(cells(), IN_THE_MIDDLE, logits=True).T[None]},
    "YOLOv10, YOLO26 and nms=True": end2end(IN_THE_MIDDLE),
    "nms=True of fewer boxes than columns": end2end(IN_THE_MIDDLE, rows=3),
    "RT-DETR by Ultralytics": {"output0": table(queries((0.5,) * 4), (0.5,) * 4)[None]},
    "RT-DETR by Ultralytics since 8.4": {
        "output0": np.array([[(0.5, 0.5, 0.5, 0.5, 0.9, 1), *[(0.9, 0.9, 0.1, 0.1, 0, 0)] * 4]])
    },
    "D-FINE": dfine(),
    "RF-DETR": rfdetr(),
}


@pytest.mark.parametrize("export", READ)
async def test_the_exports_that_people_make_are_read(
    detector: Callable[..., Provider], picture: Callable[..., Picture], export: str
) -> None:
    """Each export finds the one thing in the picture's middle, in the picture's own proportions."""
    further = {"orig_target_sizes": [1, 2]} if export == "D-FINE" else None
    provider = detector(READ[export], sides=SIZE, inputs=further)
    first, *others = await ask(provider, picture)
    assert (first.label, first.score) == ("dog", pytest.approx(0.9, abs=0.002))
    assert np.allclose(first.box, HALF, atol=1e-3)
    assert others == []


async def test_the_order_of_sizes_is_width_then_height(
    detector: Callable[..., Provider], picture: Callable[..., Picture]
) -> None:
    """A network that scales its boxes itself is told the input's width, then its height."""
    provider = detector(dfine(), sides=(64, 96), inputs={"orig_target_sizes": ["n", 2]})
    (detection,) = await ask(provider, picture)
    assert np.allclose(detection.box, HALF, atol=1e-3)


@pytest.mark.parametrize("rows", [0, 1])
async def test_an_export_may_find_nothing(
    detector: Callable[..., Provider], picture: Callable[..., Picture], rows: int
) -> None:
    """An export with its own NMS that has no rows, or empty ones, has found nothing."""
    assert await ask(detector({"output0": np.zeros((1, rows, 6))}, sides=SIZE), picture) == []


def test_channels_may_be_the_last_axis(
    detector: Callable[..., Provider],
) -> None:
    """A network whose input has its channels last gets them there, and its sides are read from the
    axes before."""
    provider = detector(READ["YOLOv8"], sides=SIZE, export={"channels_last": True})
    assert provider.about.canvas_px == (640, 640)
    with pytest.raises(Misconfigured, match=r"input_size: 96x96.*fixed at 64x64"):
        detector(READ["YOLOv8"], sides=SIZE, export={"channels_last": True}, input_size="96x96")
    tensor = np.arange(1 * 3 * 2 * 4, dtype=np.float32).reshape(1, 3, 2, 4)
    arranged = PictureInput(Canvas(4, 2), channels_last=True).arranged(tensor)
    assert arranged.shape == (1, 2, 4, 3)
    assert arranged[0, 1, 3].tolist() == tensor[0, :, 1, 3].tolist()


def test_the_layout_can_be_set(detector: Callable[..., Provider]) -> None:
    """Every layout can be set, and outputs that do not fit it are an error that lists them."""
    for layout, expected in (
        ("end2end", "six numbers for each box"),
        ("rfdetr", "rfdetr has outputs labels and dets"),
        ("dfine", "dfine has outputs labels and boxes and scores"),
        ("rtdetr", "classes for 80"),
        ("yolov5", "classes for 79"),
    ):
        with pytest.raises(Misconfigured, match=expected):
            detector({"output0": np.zeros((1, 300, 84))}, sides=SIZE, layout=layout)


class TestClassNames:
    """Class names in the file's metadata, and labels."""

    @pytest.mark.parametrize("names", ["{0: 'cat', 1: 'dog'}", '["cat", "dog"]'])
    async def test_the_files_own_names_need_no_labels(
        self, detector: Callable[..., Provider], picture: Callable[..., Picture], names: str
    ) -> None:
        """Names in the metadata, as Ultralytics or others write them, are used if no labels are
        set."""
        provider = detector(READ["YOLOv8"], None, SIZE, export={"metadata": {"names": names}})
        assert [each.label for each in await ask(provider, picture)] == ["dog"]

    def test_without_either_labels_are_missing(self, detector: Callable[..., Provider]) -> None:
        """Without labels and names the error says how to give them."""
        for metadata in ({}, {"names": "none"}, {"names": "{0: 1}"}, {"names": "[" * 10_000}):
            with pytest.raises(Misconfigured, match=r"labels: not set, and net\.onnx has no class"):
                detector(READ["YOLOv8"], None, SIZE, export={"metadata": metadata})

    def test_labels_in_another_order_are_misconfigured(
        self, detector: Callable[..., Provider]
    ) -> None:
        """Labels that give one class the name of another are an error that names the line; a name
        of their own is not, nor is a class that is never reported."""
        own = {"export": {"metadata": {"names": "{0: 'cat', 1: 'dog'}"}}}
        with pytest.raises(
            Misconfigured, match=r"labels: line 1 of names\.txt is 'Dog', the name of class 1 in"
        ):
            detector(READ["YOLOv8"], "Dog\nCat\n", SIZE, **own)
        for labels in ("Katze\nHund\n", "N/A\ndog\n", "cat\npuppy\n"):
            detector(READ["YOLOv8"], labels, SIZE, **own)

    def test_labels_of_another_number_are_misconfigured(
        self, detector: Callable[..., Provider]
    ) -> None:
        """Labels for more or fewer classes than the metadata has are an error, also where the
        outputs do not tell their number."""
        own = {"export": {"metadata": {"names": "{0: 'cat', 1: 'dog', 2: 'cow'}"}}}
        with pytest.raises(
            Misconfigured, match=r"names\.txt has 2 lines, but net\.onnx has 3 class names"
        ):
            detector(end2end(IN_THE_MIDDLE), "cat\ndog\n", SIZE, **own)

    def test_a_class_without_a_label_is_misconfigured(
        self, detector: Callable[..., Provider]
    ) -> None:
        """A class beyond the labels, of whatever score in the trial run, is an error."""
        with pytest.raises(Misconfigured, match=r"names\.txt has 1 lines, .* detects class 1,"):
            detector(end2end(IN_THE_MIDDLE), "cat\n", SIZE)
        with pytest.raises(Misconfigured, match=r"names\.txt has 2 lines, .* detects class 7,"):
            detector(dfine(7), sides=SIZE, inputs={"orig_target_sizes": [1, 2]})

    def test_rfdetr_counts_category_ids(self, detector: Callable[..., Provider]) -> None:
        """The error about RF-DETR's labels says how it counts its classes."""
        with pytest.raises(Misconfigured, match=r"classes for 2; .*N/A .*category ids"):
            detector(rfdetr(), "cat\n", SIZE)


def zeros(**shapes: tuple[int, ...]) -> Outputs:
    """Outputs of these shapes."""
    return {name: np.zeros(shape) for name, shape in shapes.items()}


NOT_READ: Mapping[str, Outputs] = {
    "EfficientNMS; export it without NMS": zeros(
        num_dets=(1, 1), det_boxes=(1, 100, 4), det_scores=(1, 100), det_classes=(1, 100)
    ),
    "TensorFlow's Object Detection API": zeros(
        detection_boxes=(1, 100, 4), detection_scores=(1, 100)
    ),
    "MMDetection": zeros(dets=(1, 100, 5), labels=(1, 100)),
    "a detector of torchvision": zeros(boxes=(5, 4), labels=(5,), scores=(5,)),
    "a YOLOv4": zeros(boxes=(1, 300, 1, 4), confs=(1, 300, 2)),
    "boxes in an output of their own": zeros(a=(1, 84, 4), b=(1, 84, 2)),
    "a YOLOv7's with --end2end": zeros(output=(5, 7)),
    "PaddleDetection's": zeros(output=(5, 6)),
    "masks, as of a network for segmentation": zeros(output0=(1, 38, 84), output1=(1, 32, 16, 16)),
    "feature maps, as of a YOLO": zeros(a=(1, 21, 8, 8), b=(1, 21, 4, 4)),
    "a classifier's": zeros(output=(1, 1000)),
}


class TestNotRead:
    """Networks and exports that are not read."""

    @pytest.mark.parametrize("name", NOT_READ)
    def test_other_exports_are_named(self, detector: Callable[..., Provider], name: str) -> None:
        """The error about an export that is not read names it, lists its outputs and the layouts
        that are read."""
        with pytest.raises(Misconfigured, match=rf"layout: outputs .*fit none of yolox, .*{name}"):
            detector(NOT_READ[name], sides=SIZE)

    @pytest.mark.parametrize("task", ["segment", "pose", "obb", "classify"])
    def test_networks_for_other_tasks_are_named(
        self, detector: Callable[..., Provider], task: str
    ) -> None:
        """The error about a network of Ultralytics for another task names the task."""
        with pytest.raises(Misconfigured, match=f"model: .*for the task {task}"):
            detector(READ["YOLOv8"], sides=SIZE, export={"metadata": {"task": task}})
        detector(READ["YOLOv8"], sides=SIZE, export={"metadata": {"task": "detect"}})

    def test_unknown_inputs_are_named(self, detector: Callable[..., Provider]) -> None:
        """The error about inputs of unknown meaning names them, and PaddleDetection by its own."""
        with pytest.raises(
            Misconfigured, match=r"it takes im_shape, scale_factor .*PaddleDetection"
        ):
            detector(
                READ["YOLOv8"], sides=SIZE, inputs={"im_shape": [1, 2], "scale_factor": [1, 2]}
            )

    def test_numbers_that_are_no_boxes_are_not_read(
        self, detector: Callable[..., Provider]
    ) -> None:
        """Rows that are neither fractions nor places all over the input are not read, such as a raw
        YOLOX of other strides."""
        raw = np.random.default_rng(0).normal(0, 2, (1, 300, 7))
        with pytest.raises(Misconfigured, match="fit none of"):
            detector({"output": raw}, sides=SIZE)


async def test_raw_and_decoded_yolox_are_told_apart(
    detector: Callable[..., Provider], picture: Callable[..., Picture]
) -> None:
    """A YOLOX answers the same whether its export decodes boxes or not."""
    decoded = table(cells(), AT_THE_TOP, objectness=0.999)
    strides = cells()[:, 2:]
    raw = decoded.copy()
    raw[:, :2] = decoded[:, :2] / strides - (cells()[:, :2] / strides - 0.5)
    raw[:, 2:4] = np.log(decoded[:, 2:4] / strides)
    answers = [
        await ask(detector({"output": rows[None]}, sides=SIZE), picture) for rows in (raw, decoded)
    ]
    first, second = ([(each.label, *each.box) for each in answer] for answer in answers)
    assert [label for label, *_ in first] == ["dog"]
    assert np.allclose([box for _, *box in first], [box for _, *box in second], atol=1e-3)
