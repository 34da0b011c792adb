"""Which photos of a run take another's answer: frames that hardly differ from the last one that was
answered, and near-duplicates in any order."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np

from gateway.core.errors import BadFormat
from gateway.core.model import Photo, Size
from gateway.grid.tile import tile
from providers.detection import Detection
from thresholds.difference import THUMBNAIL_PX, DifferenceFilter, NearDuplicates, Thumbnails
from thresholds.metrics.agreement import CONFIDENCE, photo_agreement
from thresholds.plan.difference_plan import DifferencePlan, plan_difference

BLOCK = 256
"""Frames whose thumbnails are in memory at once."""
NUMBER = re.compile(r"(\d+)")


class FrameThumbnail(NamedTuple):
    """A frame's key and its grey thumbnail (h, w); None where it cannot be decoded."""

    key: str
    thumbnail: Thumbnails | None


class AnsweredFrame(NamedTuple):
    """A frame of a clip: its grey thumbnail (h, w), and the answer about it."""

    thumbnail: Thumbnails
    detections: Sequence[Detection]


class FrameSource(NamedTuple):
    """A frame's key, and the key of the frame whose answer it takes: its own where it is asked
    about."""

    key: str
    source: str

    @property
    def is_asked(self) -> bool:
        return self.key == self.source


def thumbnail(photo: Photo) -> Thumbnails | None:
    """The photo's grey thumbnail (h, w), upright; None where it cannot be decoded."""
    try:
        image = tile(photo, Size(THUMBNAIL_PX, THUMBNAIL_PX))
    except BadFormat:
        return None
    return np.asarray(image.convert("L"), np.uint8)


def film_order(names: Iterable[str]) -> list[str]:
    """The names in the order of a film: numbers in them count as numbers, so 2.jpg is before
    10.jpg."""
    return sorted(names, key=lambda name: list(map(_part_key, NUMBER.split(name))))


def _part_key(part: str) -> tuple[bool, int, str]:
    """Sorts numbers by their value, before other text."""
    return not part.isdecimal(), int(part) if part.isdecimal() else 0, part


def frame_sources(frames: Iterable[FrameThumbnail], threshold: float) -> Iterator[FrameSource]:
    """The source of each frame, in the order of the film. A frame that cannot be decoded is asked
    about itself, which tells its error, and no other takes its answer.

    Raises ValueError for a threshold that is not from 0 to 1.
    """
    difference_filter = DifferenceFilter(threshold)
    keys = list[str]()  # of the frames that the filter has seen and may yet name
    rest, seen = iter(frames), 0
    while block := list(islice(rest, BLOCK)):
        decoded = [frame for frame in block if frame.thumbnail is not None]
        indices = _indices(difference_filter, decoded)
        keys += [frame.key for frame in decoded]
        names = {
            frame.key: keys[index - seen] for frame, index in zip(decoded, indices, strict=True)
        }
        yield from (FrameSource(frame.key, names.get(frame.key, frame.key)) for frame in block)
        if indices:
            keys, seen = keys[indices[-1] - seen :], indices[-1]


def _indices(difference_filter: DifferenceFilter, frames: Iterable[FrameThumbnail]) -> list[int]:
    thumbnails = [frame.thumbnail for frame in frames]
    if not thumbnails:
        return []
    return [int(each) for each in difference_filter.sources(np.array(thumbnails, np.uint8))]


def photo_sources(
    photos: Iterable[tuple[str, int | None]], max_distance: int
) -> Iterator[FrameSource]:
    """The source of each photo, from its key and its perceptual hash: the nearest earlier one that
    differs in at most `max_distance` bits.

    Raises ValueError for a distance that is not from 0 to 64.
    """
    near, keys = NearDuplicates(max_distance), list[str]()
    for key, photo_hash in photos:
        keys.append(key)
        yield FrameSource(key, keys[near.source(photo_hash)])


def plan_threshold(
    clips: Sequence[Sequence[AnsweredFrame]], max_loss: float, *, min_score: float = CONFIDENCE
) -> DifferencePlan | None:
    """The highest threshold that is certified to lose at most `max_loss` a frame, from clips whose
    frames were all answered; None where none is. The loss of a reused answer is 1 - its agreement
    with the frame's own: the F1 score of detections of at least `min_score`.

    Raises ValueError without clips, or where one is empty.
    """

    def loss(clip: int, frame: int, source: int) -> float:
        answer, reused = clips[clip][frame].detections, clips[clip][source].detections
        return 1 - photo_agreement(answer, reused, min_score)

    return plan_difference(list(map(_thumbnails, clips)), loss, max_loss)


def _thumbnails(clip: Sequence[AnsweredFrame]) -> Thumbnails:
    """The thumbnails (n, h, w) of a clip."""
    return np.array([frame.thumbnail for frame in clip], np.uint8)
