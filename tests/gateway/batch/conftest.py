"""A folder of photos that are told apart by their size, and a route that answers them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gateway.testing.pictures import Block, drawn, encoded

PHOTOS = 20
CONFIG: Mapping[str, Any] = {
    "listen": "127.0.0.1:0",
    "providers": {"eye": {"kind": "shapes", "canvas": "320x320"}},
    "routes": [{"task": "objects", "provider": "eye", "stages": [{"shape": "1x1"}]}],
}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with photos of a block, each of another width; every fourth shows two."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(PHOTOS):
        blocks = [Block("red", 5, 5, 40, 40)]
        if number % 4 == 0:
            blocks.append(Block("blue", 50, 50, 80, 80))
        image = drawn((100 + number, 90), *blocks)
        (folder / f"{number:02d}.png").write_bytes(encoded(image, "PNG"))
    return folder
