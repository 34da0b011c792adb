"""Makes canvases from photos, off the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

from PIL import Image

from gateway.errors import GatewayError
from gateway.grid.compose import as_it_came, compose
from gateway.grid.layout import Layout, Rect, best_shape, drawn, lay_out
from gateway.grid.tile import tile
from gateway.model import Photo, Size
from providers.base import About, Picture
from thresholds.cascade import Border
from thresholds.shape import ALONE, Shape

PLAIN: tuple[Border] = ("none",)
"""A photo alone has no neighbours to keep apart from."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """A canvas ready to be asked about. `broken` holds, by index, the photos that could not be drawn; their cells are
    empty. `picture` is None where all are broken."""

    layout: Layout
    picture: Picture | None
    broken: dict[int, GatewayError]


class _Started(NamedTuple):
    size: Size
    border: Border
    image: Future[Image.Image]


class Studio:
    """Draws photos while they wait, and puts canvases together.

    A photo is drawn as large as the full grid of its lane would show it; where its canvas turns out to show it larger,
    it is drawn again. Holds the threads and, by photo id, the tiles under way: no more than the buffer holds photos.
    """

    def __init__(self, threads: int) -> None:
        self._tilers = ThreadPoolExecutor(threads, "tile")
        self._composers = ThreadPoolExecutor(threads, "compose")
        self._started: dict[str, _Started] = {}

    def start(self, photo: Photo, shape: Shape, about: About, border: Border) -> Future[Image.Image] | None:
        """Begins to draw the photo for a grid of that shape; None where it will be sent as it came."""
        self.drop(photo.id)
        if shape == ALONE and as_it_came(photo, about):
            return None
        size = drawn(photo.size, shape, about.canvas_px)
        border = border if shape != ALONE else "none"
        image = self._tilers.submit(tile, photo, size, border)
        self._started[photo.id] = _Started(size, border, image)
        return image

    def drop(self, photo_id: str) -> None:
        """Forgets the photo's tile; one that was not begun is never drawn."""
        started = self._started.pop(photo_id, None)
        if started:
            started.image.cancel()

    async def sheet(self, photos: Sequence[Photo], borders: Sequence[Border], lane: Shape, about: About) -> Sheet:
        """The canvas of these photos, each within its own border, at the best shape for them within the lane's.

        Raises PictureRefused where no encoding of it is within the provider's limits.
        """
        sizes = [photo.size for photo in photos]
        shape = best_shape(sizes, lane, about.canvas_px)
        whole = as_it_came(photos[0], about) if shape == ALONE else None
        if whole:
            return Sheet(Layout(ALONE, sizes[0], (Rect(0, 0, *sizes[0]),)), whole, {})
        layout = lay_out(sizes, shape, about.canvas_px, least_px=about.limits.min_side_px)
        places = [Size(place.width, place.height) for place in layout.photos]
        tiles = await asyncio.gather(*map(self._tile, photos, places, borders if shape != ALONE else PLAIN))
        broken = {index: image for index, image in enumerate(tiles) if isinstance(image, GatewayError)}
        if len(broken) == len(photos):
            return Sheet(layout, None, broken)
        images = [None if isinstance(image, GatewayError) else image for image in tiles]
        loop = asyncio.get_running_loop()
        return Sheet(layout, await loop.run_in_executor(self._composers, compose, layout, images, about), broken)

    async def _tile(self, photo: Photo, size: Size, border: Border) -> Image.Image | GatewayError:
        started = self._started.get(photo.id)
        if started is None or (started.size, started.border) != (size, border):
            started = _Started(size, border, self._tilers.submit(tile, photo, size, border))
        if not started.image.done():
            await asyncio.wait([asyncio.wrap_future(started.image)])
        if started.image.cancelled():  # by `drop`; awaited directly, it would cancel the canvas and all its neighbours
            return GatewayError("The photo's client went away.")
        error = started.image.exception()
        return error if isinstance(error, GatewayError) else started.image.result()

    def close(self) -> None:
        self._tilers.shutdown(cancel_futures=True)
        self._composers.shutdown(cancel_futures=True)
