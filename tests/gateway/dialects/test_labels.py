"""Labels of a photo, from a provider of labels or from boxes."""

from __future__ import annotations

from gateway.core.question import ItemAnswer
from gateway.dialects.labels import label_source_header, labels_of
from providers.detection import WHOLE, Box, Detection, Task
from tests.support.questions import answered

CAT, DOG, BETTER_CAT = (
    Detection(name, score, Box(0.1, 0.1, 0.5, 0.5))
    for name, score in (("cat", 0.6), ("dog", 0.8), ("cat", 0.9))
)
SUNSET, ANIMAL = (
    Detection(name, score, WHOLE, kind="LABEL")
    for name, score in (("Sunset", 0.5), ("Animal", 0.7))
)
INSTANCE = Detection("Animal", 0.99, Box(0, 0, 1, 1), kind="INSTANCE")


def labels_answer(*detections: Detection, task: Task = Task.LABELS) -> ItemAnswer:
    return answered(None, task, detections)


def test_a_providers_labels_come_surest_first() -> None:
    """The labels that a provider returned come surest first; instances are not labels."""
    assert labels_of([SUNSET, INSTANCE, ANIMAL]) == [ANIMAL, SUNSET]


def test_boxes_give_each_label_once() -> None:
    """If there are only boxes, each of their labels comes once, with its best score, for the whole
    photo."""
    labels = labels_of([CAT, DOG, BETTER_CAT])
    assert [(each.label, each.score, each.box, each.kind) for each in labels] == [
        ("cat", 0.9, WHOLE, "LABEL"),
        ("dog", 0.8, WHOLE, "LABEL"),
    ]


def test_labels_made_of_boxes_are_marked() -> None:
    """An answer is marked if any photo's labels are those of boxes, and never for another task."""
    assert label_source_header([labels_answer(SUNSET, INSTANCE), labels_answer(CAT)]) == {
        "X-Imgrid-Labels": "boxes"
    }
    assert not label_source_header(
        [labels_answer(SUNSET, INSTANCE), labels_answer(), labels_answer(CAT, task=Task.OBJECTS)]
    )
