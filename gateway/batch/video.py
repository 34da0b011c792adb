"""The frames of a video file, by PyAV (extra `video`), within limits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from gateway.batch.difference import FrameThumbnail
from gateway.config.errors import ConfigError
from providers.extras import import_package
from thresholds.difference import THUMBNAIL_PX, Thumbnails

SUFFIXES = {".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".mpg", ".ts"}
FORMATS = "mov,matroska,avi,mpegts,mpeg"
"""Containers that hold their own pictures. Others are lists of files or addresses, which a reader
would open."""
JPEG_QUALITY = 95


@dataclass(frozen=True, slots=True)
class VideoLimits:
    """The limits of one video: frames, pixels of a frame, and seconds."""

    max_frames: int = 1_000_000
    max_pixels: int = 50_000_000
    max_seconds: float = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class VideoFrame:
    """One frame: its key, the file's name and the frame's number from 0, and the decoded picture,
    as PyAV has it."""

    key: str
    picture: Any

    @property
    def thumbnail(self) -> FrameThumbnail:
        """The frame's key and its grey thumbnail."""
        small = self.picture.reformat(width=THUMBNAIL_PX, height=THUMBNAIL_PX, format="gray")
        pixels: Thumbnails = np.ascontiguousarray(small.to_ndarray(), np.uint8)
        return FrameThumbnail(self.key, pixels)

    def jpeg(self) -> bytes:
        """The frame as a JPEG, upright."""
        image = self.picture.to_image()
        if self.picture.rotation:
            image = image.rotate(self.picture.rotation, expand=True)
        file = BytesIO()
        image.save(file, "JPEG", quality=JPEG_QUALITY)
        return file.getvalue()


def video_frames(path: Path, limits: VideoLimits) -> Iterator[VideoFrame]:
    """The frames of a video in their order, decoded one by one.

    Raises ConfigError, which names the file, where it cannot be read or is over a limit: by its
    header before anything is decoded, or at the frame that is. Raises Misconfigured without PyAV.
    """
    av = import_package("av", "video")
    options = {"protocol_whitelist": "file", "format_whitelist": FORMATS}
    try:
        with av.open(str(path), options=options) as container:
            if not container.streams.video:
                raise ConfigError(f"{path}: has no pictures; give a video or a folder of photos")
            stream = container.streams.video[0]
            stream.codec_context.options = {"max_pixels": str(limits.max_pixels)}
            _check_header(path, container, limits)
            for number, picture in enumerate(container.decode(stream)):
                _check(path, "frames", number + 1, limits.max_frames)
                yield VideoFrame(f"{path.name}#{number:07d}", picture)
    except (av.error.FFmpegError, OSError) as error:
        raise ConfigError(
            f"{path}: cannot be read as a video ({error.strerror}); ffmpeg -i FILE -c:v libx264 "
            "NEW.mp4 makes one that can"
        ) from None


def _check_header(path: Path, container: Any, limits: VideoLimits) -> None:
    """Raises ConfigError where a video's header says that it is over a limit. `container` is as
    PyAV opens it; a header need not tell its frames or its duration."""
    av_time_base = 1_000_000  # FFmpeg's AV_TIME_BASE, which containers count in
    stream = container.streams.video[0]
    seconds = (container.duration or 0) / av_time_base
    frames = stream.frames or round(seconds * float(stream.average_rate or 0))
    codec = stream.codec_context
    _check(path, "pixels a frame", codec.width * codec.height, limits.max_pixels)
    _check(path, "seconds", seconds, limits.max_seconds)
    _check(path, "frames", frames, limits.max_frames)


def _check(path: Path, what: str, amount: float, most: float) -> None:
    if amount > most:
        raise ConfigError(
            f"{path}: has {amount:,.0f} {what}; at most {most:,.0f} are taken: cut the video, "
            "scale it down, or raise the limit"
        )
