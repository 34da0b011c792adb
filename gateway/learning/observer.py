"""Asks about photos for a route to learn from: in grids of every shape, of the companion, and once
more for reference."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from gateway.core.errors import GatewayError
from gateway.core.model import Photo, Route, Size, Tenant, Way
from gateway.core.own_questions import Ask, own_answer
from gateway.grid.compose import encode
from gateway.grid.reference_view import drawn_size, reference_view, without_frame
from gateway.grid.tile import tile
from gateway.learning.observation import observation_of
from gateway.pipeline.entry_view import facts_of
from providers.detection import Detection, Task
from thresholds.fusion.looks import ITSELF, LookKind
from thresholds.variants import EXACT, look_name

log = logging.getLogger("imgrid")

MAX_VIEW_BYTES = 4 << 20
"""Of the view of a photo that a reference look is taken of; every provider takes so many."""


class SampledPhoto(NamedTuple):
    """A photo to learn from, and its answer alone; None where that is still to be asked for."""

    photo: Photo
    tenant: Tenant
    alone: Sequence[Detection] | None


@dataclass(frozen=True, slots=True)
class Observer:
    """Makes observations. `ask` answers each copy of a photo."""

    ask: Ask

    async def observe(self, route: Route, photos: Sequence[SampledPhoto]) -> list[bytes]:
        """The observations of photos of one lane's orientation, asked about together so that grids
        are full. A photo of which any look fails is left out."""
        observations = await asyncio.gather(*(self._observation(route, each) for each in photos))
        return [observation for observation in observations if observation is not None]

    async def _observation(self, route: Route, sampled: SampledPhoto) -> bytes | None:
        kinds = [LookKind(stage.shape, stage.provider or "") for stage in route.looks]
        questions = [
            self._answer(route, look_name(stage), sampled.photo, sampled.tenant)
            for stage in route.looks
        ]
        try:
            answers, reference = await asyncio.gather(
                asyncio.gather(self._alone(route, sampled), *questions),
                self._reference(route, sampled),
            )
        except GatewayError as error:
            log.debug("a photo of route %s teaches nothing: %r", route.name, error)
            return None
        names = map(str, (ITSELF, *kinds))
        looks = dict(zip(names, answers, strict=True))
        return observation_of(facts_of(sampled.photo), looks, reference)

    async def _alone(self, route: Route, sampled: SampledPhoto) -> Sequence[Detection]:
        if sampled.alone is not None:
            return sampled.alone
        return await self._answer(route, EXACT, sampled.photo, sampled.tenant)

    async def _reference(self, route: Route, sampled: SampledPhoto) -> Sequence[Detection] | None:
        """The reference look, on the photo's own scale; None of text, which nobody reads in a
        mirror."""
        if route.task == Task.TEXT:
            return None
        view = await asyncio.to_thread(_view, sampled.photo)
        detections = await self._answer(route, EXACT, view, sampled.tenant)
        return without_frame(detections)

    async def _answer(
        self, route: Route, variant: str, photo: Photo, tenant: Tenant
    ) -> Sequence[Detection]:
        """The answer by one variant of the route. Raises the error of a photo that fails."""
        return await own_answer(self.ask, photo, Way(route, variant), tenant)


def _view(photo: Photo) -> Photo:
    """The view of a photo for its reference look, as a photo. Raises BadFormat."""
    view = reference_view(tile(photo, drawn_size(photo.size)))
    data = encode(view, MAX_VIEW_BYTES)
    return Photo("", data, "JPEG", Size(*view.size), hops=photo.hops)
