"""The reference look: one more answer about each photo of a sample, of another view of the photo.

A provider does not even agree with itself on a photo that differs by nothing that matters. Such a
second look alone is therefore the measure of plans without ground truth: the answer about the photo
as it is agrees with it to a degree, and a cascade to another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from gateway.core.errors import PhotoError
from gateway.core.limits import PhotoLimits
from gateway.core.model import Route, Size
from gateway.grid.compose import encode
from gateway.grid.reference_view import SCALE, drawn_size, reference_view, without_frame
from gateway.grid.tile import tile
from gateway.intake.admission import admit
from gateway.quality.collect.answer_store import AnswerStore
from gateway.quality.collect.purchase import Purchase
from gateway.quality.collect.questions import questions
from gateway.wiring.provenance import provenance
from gateway.wiring.routes import Routing
from providers.base import About, Picture, Provider
from providers.detection import Detection, Task
from providers.engine.preprocess import place_of
from providers.engine.worker import rgb_image
from providers.errors import PictureRefused
from thresholds.shape import ALONE

FOLDER = "reference"
"""Holds the answers, in a profile's folder."""


class ReferenceProvider:
    """A provider that is shown the reference view of each picture, and whose boxes are those of the
    picture itself. It does not own the provider that it wraps."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self.about: About = provider.about

    async def detect(
        self, picture: Picture, task: Task, extras: Sequence[str] = ()
    ) -> Sequence[Detection]:
        view = await asyncio.to_thread(view_of, picture, self.about)
        detections = await self._provider.detect(view, task, extras)
        return without_frame(detections)

    async def ready(self) -> None:
        await self._provider.ready()

    async def close(self) -> None:
        """Leaves the wrapped provider open."""


def view_of(picture: Picture, about: About) -> Picture:
    """The reference view of a picture. Bytes are encoded anew, as JPEG.

    Raises PictureRefused where it cannot be decoded.
    """
    if not picture.data:
        size = place_of(picture.size, about.canvas_px, "corner").size
        view = reference_view(rgb_image(picture, size))
        return Picture(*view.size, pixels=view, hops=picture.hops)
    try:
        photo = admit("", picture.data, about.limits, PhotoLimits())
        view = reference_view(tile(photo, drawn_size(photo.size)))
    except PhotoError as error:
        raise PictureRefused(str(error)) from None
    return Picture(*view.size, data=encode(view, about.limits.max_bytes), hops=picture.hops)


def purchases(
    routing: Routing, route: Route, sizes: Mapping[str, Size], folder: Path, *, wanted: bool
) -> list[Purchase]:
    """The purchase of a reference look at every photo, with its answers in a folder below `folder`.
    Unless `wanted`, only where it is complete already. None of text, which nobody reads mirrored.

    Raises OSError or ValueError where the answers that are there are of another provenance.
    """
    answers = folder / FOLDER
    if route.task == Task.TEXT or not (wanted or answers.is_dir()):
        return []
    origin = provenance(routing.settings, routing.file, route.provider, route.task)
    origin["scale"] = SCALE
    purchase = Purchase(
        ReferenceProvider(routing.providers[route.provider]),
        questions(sizes, [ALONE], 1),
        AnswerStore(answers, origin),
        purpose=" as reference, mirrored",
        task=route.task,
    )
    return [purchase] if wanted or not purchase.missing else []
