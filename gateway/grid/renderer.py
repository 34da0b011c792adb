"""Makes canvases from photos, off the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import NamedTuple

from PIL import Image

from gateway.core.errors import GatewayError
from gateway.core.layout import Layout, Rect
from gateway.core.model import Photo, Size
from gateway.grid.compose import as_it_came, compose
from gateway.grid.layout import best_shape, drawn, lay_out
from gateway.grid.tile import tile
from providers.base import About, Picture
from thresholds.cascade import Border
from thresholds.shape import ALONE, Shape

PLAIN: tuple[Border] = ("none",)
"""A photo alone has no neighbours to keep apart from."""

LARGE_PX = 8_000_000
"""A photo of more, in a format that is only ever decoded whole, takes 100 MB and more while it
is."""


@dataclass(frozen=True, slots=True)
class RenderedCanvas:
    """A canvas ready to be asked about. `broken` holds, by index, the photos that could not be
    drawn; their cells are empty. `picture` is None where all are broken."""

    layout: Layout
    picture: Picture | None
    errors: dict[int, GatewayError]


class _Started(NamedTuple):
    size: Size
    border: Border
    image: Future[Image.Image]

    @property
    def bytes(self) -> int:
        return 3 * self.size.width_px * self.size.height_px


class Renderer:
    """Draws photos while they wait, and puts canvases together.

    A photo is drawn as large as the full grid of its lane would show it; where its canvas turns out
    to show it larger, it is drawn again. Holds the threads and, by photo id, the tiles drawn ahead:
    `ahead_bytes` of them at most. Large photos are decoded one at a time, so that what they take
    does not multiply by the threads.
    """

    def __init__(self, threads: int, *, ahead_bytes: int = 256 * 1024 * 1024) -> None:
        self._tilers = ThreadPoolExecutor(threads, "tile")
        self._composers = ThreadPoolExecutor(threads, "compose")
        self._started: dict[str, _Started] = {}
        self._ahead_bytes = ahead_bytes
        self._held_bytes = 0
        self._one_large = threading.Lock()

    def start(
        self, photo: Photo, shape: Shape, about: About, border: Border
    ) -> Future[Image.Image] | None:
        """Begins to draw the photo for a grid of that shape.

        None where it will be sent as it came, or where enough is drawn ahead: it is drawn with its
        canvas then.
        """
        self.drop(photo.id)
        if shape == ALONE and as_it_came(photo, about):
            return None
        size = drawn(photo.size, shape, about.canvas_px)
        border = border if shape != ALONE else "none"
        if self._held_bytes + 3 * size.width_px * size.height_px > self._ahead_bytes:
            return None
        started = self._started[photo.id] = self._begin(photo, size, border)
        self._held_bytes += started.bytes
        return started.image

    def drop(self, photo_id: str) -> None:
        """Forgets the photo's tile; one that was not begun is never drawn."""
        started = self._started.pop(photo_id, None)
        if started:
            self._held_bytes -= started.bytes
            started.image.cancel()

    async def render(
        self,
        photos: Sequence[Photo],
        borders: Sequence[Border],
        lane: Shape,
        about: About,
        *,
        keeps_shape: bool = False,
    ) -> RenderedCanvas:
        """The canvas of these photos, each within its own border, at the best shape for them within
        the lane's; with `keeps_shape` at the lane's, however few they are.

        Their tiles are forgotten with it. Raises PictureRefused where no encoding is within the
        provider's limits.
        """
        shape = (
            lane
            if keeps_shape
            else best_shape([photo.size for photo in photos], lane, about.canvas_px)
        )
        made = await self._sheet(photos, borders, shape, about)
        for photo in photos:
            self.drop(photo.id)
        hops = max(photo.hops for photo in photos)
        return (
            replace(made, picture=replace(made.picture, hops=hops))
            if hops and made.picture
            else made
        )

    async def _sheet(
        self, photos: Sequence[Photo], borders: Sequence[Border], shape: Shape, about: About
    ) -> RenderedCanvas:
        sizes = [photo.size for photo in photos]
        whole = as_it_came(photos[0], about) if shape == ALONE else None
        if whole:
            return RenderedCanvas(Layout(ALONE, sizes[0], (Rect(0, 0, *sizes[0]),)), whole, {})
        layout = lay_out(sizes, shape, about.canvas_px, least_px=about.limits.min_side_px)
        places = [Size(place.width, place.height) for place in layout.photos]
        tiles = await asyncio.gather(
            *map(self._tile, photos, places, borders if shape != ALONE else PLAIN)
        )
        broken = {
            index: image for index, image in enumerate(tiles) if isinstance(image, GatewayError)
        }
        if len(broken) == len(photos):
            return RenderedCanvas(layout, None, broken)
        images = [None if isinstance(image, GatewayError) else image for image in tiles]
        loop = asyncio.get_running_loop()
        return RenderedCanvas(
            layout,
            await loop.run_in_executor(self._composers, compose, layout, images, about),
            broken,
        )

    async def _tile(self, photo: Photo, size: Size, border: Border) -> Image.Image | GatewayError:
        started = self._started.get(photo.id)
        if started is None or (started.size, started.border) != (size, border):
            started = self._begin(photo, size, border)
        if not started.image.done():
            await asyncio.wait([asyncio.wrap_future(started.image)])
        if (
            started.image.cancelled()
        ):  # by `drop`; awaited directly, it would cancel the canvas and all its neighbours
            return GatewayError("The photo's client went away.")
        error = started.image.exception()
        return error if isinstance(error, GatewayError) else started.image.result()

    def _begin(self, photo: Photo, size: Size, border: Border) -> _Started:
        return _Started(size, border, self._tilers.submit(self._draw, photo, size, border))

    def _draw(self, photo: Photo, size: Size, border: Border) -> Image.Image:
        """In a worker thread."""
        if photo.format == "JPEG" or photo.pixels <= LARGE_PX:
            return tile(photo, size, border)
        with self._one_large:
            return tile(photo, size, border)

    def close(self) -> None:
        self._tilers.shutdown(cancel_futures=True)
        self._composers.shutdown(cancel_futures=True)
