"""Renders canvases from photos, in worker threads."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

from PIL import Image

from gateway.core.errors import GatewayError
from gateway.core.layout import Layout, Rect
from gateway.core.model import Photo, Size
from gateway.grid.compose import compose, undrawn_picture
from gateway.grid.large_decoder import LargeDecoder
from gateway.grid.layout import best_shape, fitted_size, lay_out
from gateway.grid.tile import tile
from gateway.grid.turns import TurnThreads
from providers.base import About, Picture
from thresholds.cascade import Border
from thresholds.shape import ALONE, Shape


@dataclass(frozen=True, slots=True)
class RenderedCanvas:
    """A canvas with its layout. `errors` are those of photos that could not be drawn, by index;
    their cells are empty. `picture` is None where no photo could be drawn."""

    layout: Layout
    picture: Picture | None
    errors: dict[int, GatewayError]


class _Tile(NamedTuple):
    """A photo as it is drawn, or will be."""

    size: Size
    border: Border
    image: Future[Image.Image]

    @property
    def bytes(self) -> int:
        return _bytes_of(self.size)


class Renderer:
    """Draws photos while they wait, and composes canvases.

    A photo is drawn in the size that a full grid of its lane shows; if its canvas shows it larger,
    it is drawn again. Large photos are drawn with their canvas only, in a process of their own, so
    that they take neither threads nor memory from others. Owners take turns. Holds the threads and,
    by photo id, the tiles that were drawn ahead, at most `ahead_bytes` of them, or for a canvas.
    """

    def __init__(
        self,
        threads: int,
        *,
        ahead_bytes: int = 256 * 1024 * 1024,
        large_decoder: LargeDecoder | None = None,
    ) -> None:
        self._tilers = TurnThreads(threads, "tile")
        self._composers = ThreadPoolExecutor(threads, "compose")
        self._tiles: dict[str, _Tile] = {}
        self._max_held_bytes = ahead_bytes
        self._held_bytes = 0
        self._large_decoder = large_decoder or LargeDecoder()

    def start(
        self, photo: Photo, shape: Shape, about: About, border: Border, *, owner: str = ""
    ) -> Future[Image.Image] | None:
        """Begins to draw the photo for a grid of that shape, when its owner's turn has come.

        None where the photo will be sent undrawn, is large, or where no more may be drawn ahead:
        then it is drawn with its canvas.
        """
        self.drop(photo.id)
        if photo.is_large:
            return None
        if shape == ALONE and undrawn_picture(photo, about):
            return None
        size = fitted_size(photo.size, shape, about.canvas_px)
        if self._held_bytes + _bytes_of(size) > self._max_held_bytes:
            return None
        border = "none" if shape == ALONE else border
        new_tile = self._draw_later(photo, size, border, owner=owner)
        self._keep(photo, new_tile)
        return new_tile.image

    def _keep(self, photo: Photo, new_tile: _Tile) -> None:
        self._tiles[photo.id] = new_tile
        self._held_bytes += new_tile.bytes

    def drop(self, photo_id: str) -> None:
        """Frees the photo's tile. A photo whose drawing has not begun is not drawn."""
        old_tile = self._tiles.pop(photo_id, None)
        if old_tile:
            self._held_bytes -= old_tile.bytes
            old_tile.image.cancel()

    async def render(
        self,
        photos: Sequence[Photo],
        borders: Sequence[Border],
        lane: Shape,
        about: About,
        *,
        keeps_shape: bool = False,
        owner: str = "",
    ) -> RenderedCanvas:
        """The canvas of these photos, each with its border, in the best shape for them within the
        lane's; with `keeps_shape` in the lane's, however few they are. Owners take turns with their
        large photos.

        Their tiles are freed afterwards. Raises PictureRefused where no encoding is within the
        provider's limits.
        """
        shape = lane
        if not keeps_shape:
            shape = best_shape([photo.size for photo in photos], lane, about.canvas_px)
        canvas = await self._render(photos, borders, shape, about, owner=owner)
        for photo in photos:
            self.drop(photo.id)
        hops = max(photo.hops for photo in photos)
        if hops and canvas.picture:
            return replace(canvas, picture=replace(canvas.picture, hops=hops))
        return canvas

    async def _render(
        self,
        photos: Sequence[Photo],
        borders: Sequence[Border],
        shape: Shape,
        about: About,
        *,
        owner: str,
    ) -> RenderedCanvas:
        sizes = [photo.size for photo in photos]
        undrawn = undrawn_picture(photos[0], about) if shape == ALONE else None
        if undrawn:
            return RenderedCanvas(Layout(ALONE, sizes[0], (Rect(0, 0, *sizes[0]),)), undrawn, {})
        if shape == ALONE:
            borders = ["none"]  # a border keeps a photo apart from its neighbours
        layout = lay_out(sizes, shape, about.canvas_px, min_side_px=about.limits.min_side_px)
        places = [Size(place.width, place.height) for place in layout.photos]
        image = partial(self._image, owner=owner)
        results = await asyncio.gather(*map(image, photos, places, borders))
        images: list[Image.Image | None] = []
        errors: dict[int, GatewayError] = {}
        for index, result in enumerate(results):
            if isinstance(result, GatewayError):
                errors[index] = result
                images.append(None)
            else:
                images.append(result)
        if len(errors) == len(photos):
            return RenderedCanvas(layout, None, errors)
        loop = asyncio.get_running_loop()
        picture = await loop.run_in_executor(self._composers, compose, layout, images, about)
        return RenderedCanvas(layout, picture, errors)

    async def _image(
        self, photo: Photo, size: Size, border: Border, *, owner: str
    ) -> Image.Image | GatewayError:
        """The photo drawn in that size with that border, or the error that it cannot be drawn."""
        ready = self._tiles.get(photo.id)
        if ready is None or (ready.size, ready.border) != (size, border):
            ready = self._draw_later(photo, size, border, owner=owner)
        if not ready.image.done():
            # awaited itself, a tile that `drop` cancels would cancel the whole canvas
            drawing = asyncio.wrap_future(ready.image)
            drawing.add_done_callback(_retrieve)
            await asyncio.wait([drawing])
        if ready.image.cancelled():
            return GatewayError("The photo's client went away.")
        error = ready.image.exception()
        return error if isinstance(error, GatewayError) else ready.image.result()

    def _draw_later(self, photo: Photo, size: Size, border: Border, *, owner: str = "") -> _Tile:
        """Begins to draw a photo. `drop` ends that for a large photo whose turn has not come."""
        if not photo.is_large:
            image = self._tilers.submit(owner, partial(tile, photo, size, border))
            return _Tile(size, border, image)
        self.drop(photo.id)
        large_tile = _Tile(size, border, self._large_decoder.draw(owner, photo, size, border))
        self._keep(photo, large_tile)
        return large_tile

    def close(self) -> None:
        """Ends the threads; what has not begun is not drawn."""
        self._tilers.close()
        self._composers.shutdown(cancel_futures=True)
        self._large_decoder.close()


def _retrieve(drawing: asyncio.Future[Image.Image]) -> None:
    """Reads the exception of a photo that cannot be drawn, which asyncio would log else."""
    if not drawing.cancelled():
        drawing.exception()


def _bytes_of(size: Size) -> int:
    return 3 * size.width_px * size.height_px
