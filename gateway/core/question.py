"""A client's question about photos, and the answers to it, independent of the dialect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from gateway.core.errors import GatewayError
from gateway.core.model import Outcome, Photo, Quality
from providers.base import Limits
from providers.detection import Task


@dataclass(frozen=True, slots=True)
class Source:
    """The address of a photo: an `http` or `https` URL, `s3://bucket/key` or
    `gs://bucket/object`."""

    url: str


@dataclass(frozen=True, slots=True)
class TaskRequest:
    """One task that is requested for a photo."""

    task: Task
    extras: tuple[str, ...] = ()
    """For the task EXTRAS: the vendor's features, in the form of `providers.base.Provider`."""
    only_labels: tuple[str, ...] = ()
    """For the task LABELS: the only labels that the client asks about. Empty means all labels."""
    min_score: float | None = None
    """For LABELS and MODERATION: the client gets nothing that scores less. None leaves the minimum
    to the route."""
    in_vendor_words: bool = False
    """For MODERATION: whether the dialect can tell no categories but its vendor's, so that an
    answer in words without a translation does not serve."""
    alone: bool = False
    """Whether the photo shares no canvas for this task, whatever the route says."""


@dataclass(frozen=True, slots=True)
class Item:
    """A photo, or its address, and the tasks that are requested for it, each task once.

    An error in the photo's place refuses this photo; the others are answered. `notice` is what the
    client is told besides the answers: of requests that are not served.
    """

    photo: bytes | Source | GatewayError = field(repr=False)
    requests: tuple[TaskRequest, ...]
    notice: GatewayError | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """The photos of one call. `options` belong to the dialect, for its `render`."""

    items: tuple[Item, ...]
    options: Any = None
    deadline_s: float | None = None
    quality: Quality = "target"
    limits: Limits | None = None
    """The API's limits for these photos, where they differ from the dialect's usual ones."""
    hops: int = 0
    """The number of gateways that the call passed before this one."""
    partial: bool = False
    """Whether the dialect can tell the error of one task beside the answers to others."""
    all_or_nothing: bool = False
    """Whether no photo is asked about where one is refused, for the dialect cannot tell the error
    of one photo beside the answers for others."""


@dataclass(frozen=True, slots=True)
class ItemAnswer:
    """The answer for one photo: an outcome for each requested task, or one refusal for all.

    `photo` is the photo as it was admitted, None where it was refused. `notice` is the item's.
    """

    photo: Photo | None
    outcomes: Mapping[Task, Outcome] = field(default_factory=dict)
    refusal: GatewayError | None = None
    notice: GatewayError | None = None

    @property
    def error(self) -> GatewayError | None:
        """The refusal, or else the first task's error; None where there is neither."""
        errors = (outcome.error for outcome in self.outcomes.values() if outcome.error is not None)
        return self.refusal or next(errors, None)

    @property
    def share(self) -> float:
        """The photo's part of the bill, in images."""
        return sum(outcome.share for outcome in self.outcomes.values())


def without_details(answer: ItemAnswer) -> ItemAnswer:
    """The answer with detections that have no details. Extras, which are details, stay."""
    outcomes: dict[Task, Outcome] = {}
    for task, outcome in answer.outcomes.items():
        plain = tuple(replace(detection, details={}) for detection in outcome.detections)
        outcomes[task] = outcome if task == Task.EXTRAS else replace(outcome, detections=plain)
    return replace(answer, outcomes=outcomes)


@dataclass(frozen=True, slots=True)
class Forward:
    """A call that the gateway cannot answer itself. It is forwarded whole to the vendor if the
    operator allows `operation`, and gets the vendor's reply.

    `images` is the number of images that are billed for it, as far as the request shows. `target`
    is the vendor's name for it (`providers.base.ForwardCall`) where that is not the operation's
    name.
    """

    operation: str
    images: int = 0
    target: str = ""


@dataclass(frozen=True, slots=True)
class JobCall:
    """A call about jobs, which asks about no photo itself. `input` is the operation's, as the
    dialect read it.

    One that only `reads` is answered anew whenever it is repeated, for jobs go on meanwhile.
    """

    input: Any
    reads: bool
