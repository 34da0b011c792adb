"""Photos that tests of the pipeline send."""

from __future__ import annotations

from gateway.core.model import Photo
from gateway.testing.pictures import Block, drawn, encoded, numbered, photo


def photo_of_block(colour: str, size: tuple[int, int] = (320, 320), side: int = 60) -> Photo:
    """A photo with one block in its middle. In a 2x2 grid on 320 pixels the block is half as large:
    30 px, with a score of 0.75."""
    x, y = (size[0] - side) // 2, (size[1] - side) // 2
    return photo(drawn(size, Block(colour, x, y, x + side, y + side)))


def broken_photo() -> Photo:
    """A photo whose header is whole, which is all that admission reads, and whose pixels are cut
    short."""
    data = encoded(numbered(7, 320), "JPEG")
    return photo(data[: len(data) // 2])
