"""The names of networks and exports that are not read, so that an error can say what a file is and
how to export it instead."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from providers.engine.layouts import Outputs, shapes_text
from providers.errors import Misconfigured

WITHOUT_NMS = "export it without NMS, or with Ultralytics' nms=True"
OTHER_TASKS = ("segment", "semantic", "pose", "obb", "classify")
"""Ultralytics' names of the tasks beside detection."""
LAYOUTS = "yolox, yolov5, yolov8, end2end, nanodet, detr, rtdetr, dfine and rfdetr"


def check_task(metadata: Mapping[str, str]) -> None:
    """Raises Misconfigured if the file's metadata says, as Ultralytics writes it, that its network
    is for another task than detection."""
    task = metadata.get("task", "")
    if task in OTHER_TASKS:
        raise Misconfigured(
            f"model: its metadata says that it is for the task {task}, whose outputs are not read; "
            "give a model for the task detect"
        )


def check_inputs(names: Collection[str], unknown: Sequence[str]) -> None:
    """Raises Misconfigured if a network has further inputs, beside all `names`, of no known
    meaning."""
    if not unknown:
        return
    origin = "; PaddleDetection exports such" if "scale_factor" in names else ""
    raise Misconfigured(
        f"model: it takes {', '.join(unknown)} beside the picture, which are not known{origin}; "
        "export it with the picture alone, or with orig_target_sizes or pixel_mask"
    )


def is_foreign(outputs: Outputs) -> bool:
    """Whether the names of the outputs alone say that they are of an export that is not read."""
    return any(fits(outputs) for fits, _ in BY_NAMES)


def unread(outputs: Outputs) -> Misconfigured:
    """The error about outputs of no layout that is read: what they are, if that can be said."""
    described = next((text for fits, text in (*BY_NAMES, *BY_SHAPES) if fits(outputs)), "")
    return Misconfigured(
        f"layout: outputs {shapes_text(outputs)} fit none of {LAYOUTS}"
        f"{f': {described}' if described else ''}"
    )


def _named(*names: str) -> Callable[[Outputs], bool]:
    """Whether the outputs have all of these names."""
    return lambda outputs: outputs.keys() >= set(names)


def _axes(*counts: int) -> Callable[[Outputs], bool]:
    """Whether the outputs have these numbers of axes, in any order, and no others."""
    return lambda outputs: {array.ndim for array in outputs.values()} <= set(counts)


def _has_bare_boxes(outputs: Outputs) -> bool:
    return len(outputs) > 1 and any(
        array.ndim == 3 and array.shape[-1] == 4 for array in outputs.values()
    )


def _has_masks(outputs: Outputs) -> bool:
    return {3, 4} <= {array.ndim for array in outputs.values()}


def _is_single(axes: int, columns: int) -> Callable[[Outputs], bool]:
    """Whether there is one output, of so many axes and so many numbers in a row."""

    def fits(outputs: Outputs) -> bool:
        (array, *others) = outputs.values()
        return not others and array.ndim == axes and array.shape[-1] == columns

    return fits


BY_NAMES: Sequence[tuple[Callable[[Outputs], bool], str]] = (
    (
        _named("num_dets", "det_boxes", "det_scores", "det_classes"),
        f"they are of TensorRT's EfficientNMS; {WITHOUT_NMS}",
    ),
    (
        _named("detection_boxes", "detection_scores"),
        "they are of TensorFlow's Object Detection API, which is not read",
    ),
    (
        _named("dets", "labels"),
        "they are of MMDetection, whose exports do not say how they want their pictures",
    ),
    (
        _named("boxes", "labels", "scores"),
        "they are of a detector of torchvision, which is not read",
    ),
    (_named("boxes", "confs"), "they are of a YOLOv4 by its PyTorch export, which is not read"),
)
BY_SHAPES: Sequence[tuple[Callable[[Outputs], bool], str]] = (
    (
        _has_bare_boxes,
        "they have boxes in an output of their own, as of an SSD or a YOLO-NAS, which are not read",
    ),
    (_is_single(2, 7), f"they look like a YOLOv7's with --end2end; {WITHOUT_NMS}"),
    (_is_single(2, 6), "they look like PaddleDetection's, which is not read"),
    (_has_masks, "they have masks, as of a network for segmentation; give one for detection"),
    (
        _axes(4, 5),
        "they are feature maps, as of a YOLO without its decoding; export it with its detection "
        "layer",
    ),
    (_axes(2), "they look like a classifier's; set layout: classifier, for moderation and labels"),
)
"""What exports that are not read look like, and what to say of each. The first that fits counts."""
