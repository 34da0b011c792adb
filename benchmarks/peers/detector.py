"""A YOLOX of NumPy, OpenCV and ONNX Runtime alone: the least that a photo takes, and the same in
each server of this folder, whose environment has none of the project."""

from __future__ import annotations

import os
from functools import cached_property
from typing import Any

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

FLOOR, MAX_IOU = 0.01, 0.6
"""The lowest score before suppression, and the overlap that it leaves: the engine's defaults."""
MIN_SCORE = 0.25
"""The lowest score that is answered: that of the native dialect."""
STRIDES_PX = (8, 16, 32)
PADDING = 114


class Detector:
    """The network with one thread a run, so that as many threads or processes as there are cores
    may ask it at once."""

    def __init__(self, model: str, side_px: int) -> None:
        cv2.setNumThreads(1)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"]
        )
        self._input = self._session.get_inputs()[0].name
        self._side_px = side_px

    @classmethod
    def from_environment(cls) -> Detector:
        """The detector of PEER_MODEL with an input of PEER_SIDE_PX."""
        return cls(os.environ["PEER_MODEL"], int(os.environ["PEER_SIDE_PX"]))

    def __call__(self, jpeg: bytes) -> NDArray[np.float32]:
        """The boxes (n, 6) of a JPEG: corners as fractions of the photo, score, class id."""
        image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
        height, width = image.shape[:2]
        scale = self._side_px / max(width, height)
        width, height = round(width * scale), round(height * scale)
        small = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
        tensor = np.full((1, 3, self._side_px, self._side_px), PADDING, np.float32)
        for plane, channel in zip(tensor[0], cv2.split(small), strict=True):
            plane[:height, :width] = channel
        rows = self._session.run(None, {self._input: tensor})[0][0]
        boxes = self._boxes(rows)
        boxes[:, :4] /= (width, height, width, height)
        return boxes

    @cached_property
    def _anchors(self) -> NDArray[np.float32]:
        """Column, row and stride of the anchors (n, 3), finest stride first."""
        anchors = []
        for stride in STRIDES_PX:
            cells = np.indices((self._side_px // stride,) * 2)[::-1].reshape(2, -1).T
            anchors.append(np.insert(cells, 2, stride, axis=1))
        return np.concatenate(anchors).astype(np.float32)

    def _boxes(self, rows: NDArray[Any]) -> NDArray[np.float32]:
        """The boxes (n, 6) in pixels of the input from a head's rows (anchors, 5 + classes).

        Ge et al., YOLOX (arXiv 2107.08430), section 2.1: centre = (offset + cell) * stride, side =
        exp(log side) * stride; the score is objectness times that of the class.
        """
        likely = np.flatnonzero(rows[:, 4] >= FLOOR)
        rows, anchors = rows[likely], self._anchors[likely]
        class_ids = rows[:, 5:].argmax(axis=1)
        scores = rows[:, 4] * rows[np.arange(len(rows)), 5 + class_ids]
        sides = np.exp(rows[:, 2:4]) * anchors[:, 2:]
        corners = (rows[:, :2] + anchors[:, :2]) * anchors[:, 2:] - sides / 2
        kept = cv2.dnn.NMSBoxesBatched(
            np.hstack([corners, sides]).astype(np.float64),
            scores.astype(np.float32),
            class_ids.astype(np.int32),
            FLOOR,
            MAX_IOU,
        )
        boxes = np.column_stack([corners, corners + sides, scores, class_ids])[kept]
        return boxes[boxes[:, 4] >= MIN_SCORE].astype(np.float32)
