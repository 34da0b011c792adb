"""Large photos are drawn in a process of their own, which has limits."""

from __future__ import annotations

import gc
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gateway.core.errors import BadDimensions, BadFormat
from gateway.core.limits import DecoderLimits
from gateway.core.model import Photo, Size
from gateway.grid.large_decoder import DecoderProcess, LargeDecoder
from gateway.grid.tile import tile
from tests.support.waiting import block_until

MB = 1024 * 1024


PATIENT = DecoderLimits(timeout_s=120)
"""A process starts within this on a machine that is busy."""


def photo(
    size: tuple[int, int] = (600, 400), form: str = "PNG", orientation: int = 1, **options: Any
) -> Photo:
    """A photo of a gradient."""
    out = io.BytesIO()
    Image.linear_gradient("L").resize(size).convert("RGB").save(out, form, **options)
    upright = size[::-1] if orientation > 4 else size
    return Photo("p", out.getvalue(), form, Size(*upright), orientation)


@pytest.fixture(scope="module")
def decoder() -> Iterator[LargeDecoder]:
    decoder = LargeDecoder(PATIENT)
    yield decoder
    decoder.close()


@pytest.mark.parametrize(("form", "orientation"), [("PNG", 1), ("WEBP", 6), ("TIFF", 1)])
@pytest.mark.parametrize("border", ["none", "black"])
def test_a_photo_is_drawn_as_in_a_thread(
    decoder: LargeDecoder, form: str, orientation: int, border: Any
) -> None:
    """The process draws what a thread would draw: size, orientation and border."""
    one = photo(form=form, orientation=orientation)
    size = Size(*(side // 4 for side in one.size))
    picture = decoder.draw("us", one, size, border).result(120)
    assert np.array_equal(np.asarray(picture), np.asarray(tile(one, size, border)))


def test_a_damaged_photo_fails_alone(decoder: LargeDecoder) -> None:
    """A photo that cannot be decoded is refused, and the next one is drawn."""
    one = photo()
    damaged = Photo("d", one.data[:200], "PNG", one.size)
    failing = decoder.draw("us", damaged, Size(60, 40), "none")
    drawn = decoder.draw("us", one, Size(60, 40), "none")
    with pytest.raises(BadFormat, match="damaged or cut short"):
        failing.result(120)
    assert drawn.result(120).size == (60, 40)


@pytest.mark.slow
def test_a_photo_over_the_memory_limit_is_refused() -> None:
    """A photo that takes more memory than the limit is refused with the limit's name, and the next
    one is drawn by the same process."""
    decoder = LargeDecoder(DecoderLimits(max_bytes=96 * MB, timeout_s=120))
    try:
        large = decoder.draw("us", photo((7000, 7000), compress_level=1), Size(60, 60), "none")
        with pytest.raises(BadDimensions, match=rf"{96 * MB} bytes .*decoder.max_bytes"):
            large.result(120)
        assert decoder.draw("us", photo(), Size(60, 40), "none").result(120).size == (60, 40)
    finally:
        decoder.close()


@pytest.mark.slow
def test_a_photo_over_the_time_limit_ends_its_process() -> None:
    """A photo that takes longer than the limit is refused with the limit's name, its process ends,
    and another one draws the next photo."""
    process = DecoderProcess(PATIENT)
    assert process.draw(photo(), Size(60, 40), "none").size == (60, 40)
    slow = DecoderProcess(DecoderLimits(timeout_s=0.01))
    with pytest.raises(BadDimensions, match=r"0.01 s .*decoder.timeout_ms"):
        slow.draw(photo((3000, 2000)), Size(60, 40), "none")
    process.end()
    assert process.draw(photo(), Size(60, 40), "none").size == (60, 40)
    process.end()


@pytest.mark.slow
def test_a_process_that_dies_costs_its_photo_alone(decoder: LargeDecoder) -> None:
    """Where the process dies, the photo that it was drawing is refused, and another process draws
    the next."""
    process = DecoderProcess(PATIENT)
    process.draw(photo(), Size(60, 40), "none")
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    with pytest.raises(BadFormat, match="its decoder fails"):
        process.draw(photo(), Size(60, 40), "none")
    assert process.draw(photo(), Size(60, 40), "none").size == (60, 40)
    process.end()


def test_a_photo_whose_turn_has_not_come_can_be_dropped(decoder: LargeDecoder) -> None:
    """A photo that is cancelled before its turn is not drawn."""
    first = decoder.draw("us", photo((2000, 1500)), Size(60, 40), "none")
    second = decoder.draw("us", photo(), Size(60, 40), "none")
    assert second.cancel()
    assert first.result(120).size == (60, 40)


def test_closing_drops_what_has_not_begun() -> None:
    """Closing cancels the photos whose turn has not come, and ends the process."""
    decoder = LargeDecoder(PATIENT)
    drawings = [decoder.draw("us", photo((2000, 1500)), Size(60, 40), "none") for _ in range(5)]
    drawings[0].result(120)
    decoder.close()
    assert drawings[-1].cancelled()


def test_a_photo_that_outlives_the_closing_ends_its_process() -> None:
    """A photo that is still being drawn when the decoder has closed is drawn, and its process ends
    with it: Python warns of one that is forgotten, and the warning fails the test."""
    decoder = LargeDecoder(PATIENT)
    drawing = decoder.draw("us", photo((3000, 2000)), Size(60, 40), "none")
    block_until(drawing.running)
    decoder.close(0)
    assert drawing.result(120).size == (60, 40)
    decoder.close(120)
    del decoder, drawing
    gc.collect()


@pytest.mark.slow
def test_the_process_ends_with_the_gateway() -> None:
    """The process ends when the gateway does, however that ends."""
    program = (
        "import os, sys; from tests.gateway.grid.test_large_decoder import *;"
        "p = DecoderProcess(DecoderLimits()); p.draw(photo(), Size(6, 4), 'none');"
        "print(p.pid, flush=True); os.kill(os.getpid(), 9)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    pid = int(ended.stdout)
    status = Path(f"/proc/{pid}/status")
    for _ in range(500):
        if not status.exists() or "(zombie)" in status.read_text():
            return
        time.sleep(0.01)
    raise AssertionError("the process is still there")
