"""The models that clients see: one for each task, with the same input and outputs on every route.

Outputs are those of TensorRT's EfficientNMS plugin, with labels in place of numbers of classes:
https://github.com/NVIDIA/TensorRT/tree/main/plugin/efficientNMSPlugin
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from gateway.core.errors import NotServed
from gateway.dialects.native.schemas import MAX_PHOTOS, TASKS
from providers.detection import BOXED, Task
from providers.kserve.protocol import BINARY_EXTENSION, Tensor

VERSION = "1"
"""The only version of every model."""
PLATFORM = "imgrid"
EXTENSIONS = (BINARY_EXTENSION, "model_configuration")

IMAGE = Tensor("image", "BYTES", [-1, 1])
COUNTS = Tensor("num_detections", "INT32", [-1, 1])
BOXES = Tensor("detection_boxes", "FP32", [-1, -1, 4])
SCORES = Tensor("detection_scores", "FP32", [-1, -1])
LABELS = Tensor("detection_labels", "BYTES", [-1, -1])

CONFIG_DATATYPES = {"BYTES": "TYPE_STRING", "INT32": "TYPE_INT32", "FP32": "TYPE_FP32"}
"""The names of datatypes in Triton's model configuration."""


def task_of_model(model: str, model_version: str = VERSION) -> Task:
    """The task that a model answers. Raises NotServed for an unknown model or version."""
    if model not in TASKS:
        raise NotServed(f"There is no model {model!r}; there are {', '.join(TASKS)}.")
    if model_version != VERSION:
        raise NotServed(f"Model {model} has no version {model_version!r}, but {VERSION}.")
    return Task(model)


def outputs_of(task: Task) -> Sequence[Tensor]:
    """The outputs of a task's model. Tasks that judge a whole photo have no boxes."""
    return (COUNTS, BOXES, SCORES, LABELS) if task in BOXED else (COUNTS, SCORES, LABELS)


def server_metadata() -> dict[str, Any]:
    """The server's name, version and extensions."""
    return {
        "name": "imgrid-gateway",
        "version": version("imgrid-gateway"),
        "extensions": EXTENSIONS,
    }


def model_metadata(task: Task) -> dict[str, Any]:
    """The versions, input and outputs of a task's model. Sides of -1 vary."""
    return {
        "name": task,
        "versions": [VERSION],
        "platform": PLATFORM,
        "inputs": [IMAGE],
        "outputs": outputs_of(task),
    }


def model_config(task: Task) -> dict[str, Any]:
    """The model's configuration in Triton's form, whose shapes leave out the mini-batch.

    https://docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/
    protocol/extension_model_configuration.html
    """
    return {
        "name": task,
        "platform": PLATFORM,
        "max_batch_size": MAX_PHOTOS,
        "input": [_config_of(IMAGE)],
        "output": [_config_of(output) for output in outputs_of(task)],
    }


def _config_of(tensor: Tensor) -> dict[str, Any]:
    datatype = CONFIG_DATATYPES[tensor.datatype]
    return {"name": tensor.name, "data_type": datatype, "dims": tensor.shape[1:]}
