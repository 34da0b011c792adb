"""A client's question about photos, and the answers to it, whatever the dialect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.core.errors import GatewayError
from gateway.core.model import Outcome, Photo, Quality
from providers.base import Limits
from providers.detection import Task


@dataclass(frozen=True, slots=True)
class Source:
    """A photo that is named by where it lies: an `http` or `https` URL, `s3://bucket/key`,
    `gs://bucket/object`."""

    url: str


@dataclass(frozen=True, slots=True)
class Ask:
    """One task that a client asks of a photo.

    `extras` are for the task EXTRAS: the vendor's names of the features that it shall return.
    `only_labels` are for LABELS: the only labels that the client asks about, empty for all. The
    client gets no label and no moderation label that scores less than `least_score`; None leaves
    the bound to the route. With `alone` the photo shares no canvas, whatever the route does.
    """

    task: Task
    extras: tuple[str, ...] = ()
    only_labels: tuple[str, ...] = ()
    least_score: float | None = None
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Item:
    """A photo, or where it lies, and what is asked of it: each task once.

    In a photo's place may stand why it is not asked about: it is refused so, and the others are
    answered.
    """

    photo: bytes | Source | GatewayError = field(repr=False)
    asks: tuple[Ask, ...]


@dataclass(frozen=True, slots=True)
class Question:
    """What a client asks of which photos; `options` are the dialect's own, for its `render`."""

    items: tuple[Item, ...]
    options: Any = None
    deadline_s: float | None = None
    quality: Quality = "target"
    limits: Limits | None = None
    """What the API takes of a photo that is asked so, where that is not what it takes otherwise."""
    hops: int = 0
    """How many gateways it came through before this one."""


def about_all(task: Task, photos: Sequence[bytes | Source | GatewayError], **more: Any) -> Question:
    """The same one thing asked of every photo; `more` are the question's other fields."""
    return Question(tuple(Item(photo, (Ask(task),)) for photo in photos), **more)


@dataclass(frozen=True, slots=True)
class ItemAnswer:
    """What came of one photo: an outcome for each task that it was asked for, or one error for all.

    `photo` is the photo as it was admitted, None where it was not.
    """

    photo: Photo | None
    outcomes: Mapping[Task, Outcome] = field(default_factory=dict)
    refusal: GatewayError | None = None

    @property
    def error(self) -> GatewayError | None:
        """What went wrong first, None where nothing did."""
        failed = (outcome.error for outcome in self.outcomes.values() if outcome.error is not None)
        return self.refusal or next(failed, None)

    @property
    def share(self) -> float:
        """Its part of the bill, in images."""
        return sum(outcome.share for outcome in self.outcomes.values())


@dataclass(frozen=True, slots=True)
class Forward:
    """A call that is no question about photos here: it is handed on whole to the vendor, if the
    operator allows `operation` to be, and answered as the vendor answers it.

    `images` are billed for it, as far as can be told. `target` is what the vendor calls it
    (`providers.base.Call`), where that is not the operation's name.
    """

    operation: str
    images: int = 0
    target: str = ""
