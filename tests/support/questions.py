"""Questions that ask the same of every photo, and their answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.core.errors import GatewayError
from gateway.core.model import Outcome, Photo
from gateway.core.question import Item, ItemAnswer, Question, Source, TaskRequest
from providers.detection import Detection, Task


def uniform_question(
    task: Task, photos: Sequence[bytes | Source | GatewayError], **fields: Any
) -> Question:
    """A question that requests one task for every photo; `fields` are other fields of Question."""
    requests = (TaskRequest(task),)
    return Question(tuple(Item(photo, requests) for photo in photos), **fields)


def answered(photo: Photo | None, task: Task, detections: Sequence[Detection]) -> ItemAnswer:
    """The answer for a photo in which these detections were found."""
    return ItemAnswer(photo, {task: Outcome(photo, tuple(detections))})
