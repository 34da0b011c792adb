"""Frames of videos, and their limits."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gateway.batch.difference import frame_sources
from gateway.batch.video import VideoFrame, VideoLimits, video_frames
from gateway.config.errors import ConfigError
from gateway.testing.pictures import Block, drawn, photo

av = pytest.importorskip("av", reason="the extra video is not installed")

WIDTH, HEIGHT, FRAMES, CUT = 320, 240, 30, 15
LIMITS = VideoLimits()


def film(path: Path, frames: int = FRAMES) -> Path:
    """A video on which a block appears in the middle."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(frames):
            blocks = [Block("yellow", 100, 60, 220, 180)] if number >= CUT else []
            picture = av.VideoFrame.from_image(drawn((WIDTH, HEIGHT), *blocks))
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return film(tmp_path_factory.mktemp("videos") / "film.mp4")


def test_frames_come_in_order(video: Path) -> None:
    """Each frame has a key of the file's name and its number."""
    keys = [each.key for each in video_frames(video, LIMITS)]
    assert keys[:2] == ["film.mp4#0000000", "film.mp4#0000001"]
    assert len(keys) == FRAMES


def test_a_frame_is_a_photo(video: Path) -> None:
    """A frame becomes a JPEG of its size, which admission takes."""
    *_, last = video_frames(video, LIMITS)
    frame = photo(last.jpeg())
    assert (frame.format, frame.size) == ("JPEG", (WIDTH, HEIGHT))


class TurnedPicture:
    """A picture of a camera that was held on its side, as PyAV has it: the angle by which to turn
    it counterclockwise."""

    rotation = 90

    def to_image(self) -> Image.Image:
        return drawn((30, 20), Block("red", 20, 0, 30, 20))


def test_a_turned_frame_is_upright() -> None:
    """A frame that the video says to turn is turned: what is at the right comes to the top."""
    with Image.open(BytesIO(VideoFrame("film.mp4#0", TurnedPicture()).jpeg())) as image:
        assert image.size == (20, 30)
        red, green, _ = image.getpixel((10, 4))
        assert red > 200 > 60 > green


def test_a_cut_is_asked_about(video: Path) -> None:
    """Of a still film with one cut, two frames are asked about."""
    thumbnails = (each.thumbnail for each in video_frames(video, LIMITS))
    asked = [each.key for each in frame_sources(thumbnails, 0.04) if each.is_asked]
    assert asked == ["film.mp4#0000000", f"film.mp4#{CUT:07d}"]


def test_a_thumbnail_is_grey(video: Path) -> None:
    """A frame's thumbnail shows what the frame does."""
    first = next(iter(video_frames(video, LIMITS))).thumbnail.thumbnail
    assert first is not None
    assert np.abs(first.astype(int) - 114).max() <= 4


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (VideoLimits(max_frames=FRAMES - 1), "has 30 frames; at most 29"),
        (VideoLimits(max_pixels=WIDTH * HEIGHT - 1), "has 76,800 pixels a frame; at most 76,799"),
        (VideoLimits(max_seconds=2), "has 3 seconds; at most 2"),
    ],
)
def test_a_video_over_a_limit_is_refused_by_its_header(
    video: Path, limits: VideoLimits, message: str
) -> None:
    """A video over a limit is refused before a frame is decoded; the message names file, limit and
    the way out."""
    with pytest.raises(ConfigError, match=message) as caught:
        next(video_frames(video, limits))
    assert "film.mp4" in str(caught.value)
    assert "raise the limit" in str(caught.value)


def test_frames_are_counted_where_the_header_tells_none(tmp_path: Path) -> None:
    """A container that tells neither frames nor duration ends at the limit of frames."""
    stream = film(tmp_path / "film.ts", 12)
    frames = video_frames(stream, VideoLimits(max_frames=11))
    with pytest.raises(ConfigError, match="has 12 frames; at most 11"):
        list(frames)


Maker = Callable[[Path], object]


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.write_text("no video"),
        lambda path: path.write_text("ffconcat version 1.0\nfile film.mp4\n"),
        lambda path: path.write_text("#EXTM3U\n#EXTINF:1,\nfilm.mp4\n#EXT-X-ENDLIST\n"),
        lambda path: None,
    ],
    ids=["text", "list of files", "playlist", "missing"],
)
def test_what_is_no_video_is_refused(tmp_path: Path, make: Maker) -> None:
    """Another file, a list of other files, and a missing one are refused, and nothing else is
    opened."""
    film(tmp_path / "film.mp4", 2)
    path = tmp_path / "other.mp4"
    make(path)
    with pytest.raises(ConfigError, match=r"other\.mp4: cannot be read as a video"):
        list(video_frames(path, LIMITS))
