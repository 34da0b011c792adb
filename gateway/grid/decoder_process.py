"""The process that decodes large photos, within a limit of memory.

Requests come in by its standard input and replies leave by its standard output, each as one line of
JSON with the number of bytes that follow it. It ends with its input.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import IO, Any, NamedTuple

from PIL import Image

from gateway.core.errors import BadFormat
from gateway.core.model import Photo, Size
from gateway.grid.malloc import return_freed_memory
from gateway.grid.tile import tile

TOO_LARGE, DAMAGED = "too_large", "damaged"
NICENESS = 10
"""Ordinary photos, and the event loop, go first."""


class PipeMessage(NamedTuple):
    """A request or a reply: its JSON and the bytes that follow."""

    head: dict[str, Any]
    data: bytes = b""


def send(stream: IO[bytes], message: PipeMessage) -> None:
    """Writes a message."""
    stream.write(json.dumps({**message.head, "bytes": len(message.data)}).encode() + b"\n")
    stream.write(message.data)
    stream.flush()


def receive(stream: IO[bytes]) -> PipeMessage | None:
    """The next message; None at the end, also within a message."""
    line = stream.readline()
    if not line.endswith(b"\n"):
        return None
    head = json.loads(line)
    data = stream.read(head["bytes"])
    return PipeMessage(head, data) if len(data) == head["bytes"] else None


def request_of(photo: Photo, size: Size, border: str) -> PipeMessage:
    """The request to draw a photo in that size with that border."""
    head = {"format": photo.format, "orientation": photo.orientation, "size": size}
    return PipeMessage({**head, "border": border}, photo.data)


def reply_to(request: PipeMessage) -> PipeMessage:
    """The pixels that a request asks for, as bytes of RGB, or an error by its name."""
    head, data = request
    photo = Photo("", data, head["format"], Size(0, 0), head["orientation"])
    try:
        picture = tile(photo, Size(*head["size"]), head["border"])
        return PipeMessage({"size": picture.size}, picture.tobytes())
    except MemoryError:
        return PipeMessage({"error": TOO_LARGE})
    except BadFormat:
        return PipeMessage({"error": DAMAGED})


def picture_of(reply: PipeMessage) -> Image.Image:
    """The picture of a reply that holds one."""
    return Image.frombytes("RGB", tuple(reply.head["size"]), reply.data)


def serve(max_bytes: int) -> None:
    """Answers requests until there are no more, with at most so many bytes of memory beside what
    the process has at its start."""
    requests, replies = sys.stdin.buffer, sys.stdout.buffer
    Image.MAX_IMAGE_PIXELS = None  # photos were admitted by their size
    return_freed_memory()
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    _limit_memory(max_bytes)
    while (request := receive(requests)) is not None:
        send(replies, reply_to(request))


def _limit_memory(max_bytes: int) -> None:
    """Sets the limit where the system says how much address space the process has, as Linux
    does."""
    statistics = Path("/proc/self/statm")
    if statistics.exists():
        import resource

        pages = int(statistics.read_text().split()[0])
        limit = pages * resource.getpagesize() + max_bytes
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
