"""Decodes large photos in processes of their own, which have a limit of memory and of time."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue

from PIL import Image

from gateway.core.errors import BadDimensions, BadFormat
from gateway.core.limits import DecoderLimits
from gateway.core.model import Photo, Size
from gateway.grid.decoder_process import (
    DAMAGED,
    TOO_LARGE,
    PipeMessage,
    picture_of,
    receive,
    request_of,
    send,
)
from gateway.grid.turns import TurnThreads
from thresholds.cascade import Border

log = logging.getLogger("imgrid")

PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]);"
    "from gateway.grid.decoder_process import serve; serve(int(sys.argv[2]))"
)
END_S = 5.0
"""How long a photo that is being drawn at the end may take."""


class LargeDecoder:
    """Draws large photos one after the other in each process, and the owners of photos in turns.

    Holds the photos that wait, with a thread for each process, and the processes that are idle. A
    process begins with its first photo, and ends with a photo that reaches a limit.
    """

    def __init__(self, limits: DecoderLimits = DecoderLimits()) -> None:
        self._threads = TurnThreads(limits.processes, "decoder")
        self._idle: SimpleQueue[DecoderProcess] = SimpleQueue()
        self._is_closed = False
        for _ in range(limits.processes):
            self._idle.put(DecoderProcess(limits))

    def draw(self, owner: str, photo: Photo, size: Size, border: Border) -> Future[Image.Image]:
        """The photo's pixels, as `tile` returns them, when the owner's turn has come.

        Fails with BadFormat as `tile` does, or with BadDimensions where a limit was reached.
        """
        return self._threads.submit(owner, partial(self._draw, photo, size, border))

    def close(self, end_s: float = END_S) -> None:
        """Ends the processes; what has not begun is not drawn. A photo that takes longer than that
        ends its process itself."""
        self._is_closed = True
        self._threads.close(end_s)
        self._end_idle()

    def _draw(self, photo: Photo, size: Size, border: Border) -> Image.Image:
        process = self._idle.get()
        try:
            return process.draw(photo, size, border)
        finally:
            self._idle.put(process)
            if self._is_closed:
                self._end_idle()

    def _end_idle(self) -> None:
        with suppress(Empty):
            while True:
                self._idle.get_nowait().end()


@dataclass(slots=True)
class DecoderProcess:
    """A process that draws one photo at a time. Holds it; the first photo starts it, and the next
    one after it had to be ended."""

    limits: DecoderLimits
    _process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The number of the process, if there is one."""
        return self._process.pid if self._process else None

    def draw(self, photo: Photo, size: Size, border: Border) -> Image.Image:
        """The photo's pixels. Raises BadFormat, also where the process died of the photo, and
        BadDimensions where a limit was reached."""
        is_late = threading.Event()
        reply = self._ask(request_of(photo, size, border), is_late)
        if reply is None or is_late.is_set():
            self.end()
        if reply is None:
            raise self._late() if is_late.is_set() else self._died(photo)
        error = reply.head.get("error")
        if error == TOO_LARGE:
            raise self._too_large()
        if error == DAMAGED:
            raise BadFormat("The photo cannot be decoded: it is damaged or cut short.")
        return picture_of(reply)

    def _ask(self, request: PipeMessage, is_late: threading.Event) -> PipeMessage | None:
        """The process's reply; None where it died, or was ended because it was late."""
        process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        timer = threading.Timer(self.limits.timeout_s, self._kill, [process, is_late])
        timer.start()
        try:
            send(process.stdin, request)
            return receive(process.stdout)
        except OSError:  # it died before it had read all
            return None
        finally:
            timer.cancel()
            timer.join()

    def end(self) -> None:
        """Ends the process, if there is one."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()

    def _start(self) -> subprocess.Popen[bytes]:
        self._process = subprocess.Popen(  # noqa: S603 - this program itself
            [sys.executable, "-c", PROGRAM, json.dumps(sys.path), str(self.limits.max_bytes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # a terminal's Ctrl-C is for the gateway, which ends it
        )
        return self._process

    @staticmethod
    def _died(photo: Photo) -> BadFormat:
        log.warning("the process that decoded photo %s ended; another is started", photo.id)
        return BadFormat("The photo cannot be decoded: its decoder fails on it.")

    @staticmethod
    def _kill(process: subprocess.Popen[bytes], is_late: threading.Event) -> None:
        is_late.set()
        process.kill()

    def _late(self) -> BadDimensions:
        return BadDimensions(
            f"The photo takes more than {self.limits.timeout_s:g} s to decode "
            "(decoder.timeout_ms); send a smaller one, or a JPEG."
        )

    def _too_large(self) -> BadDimensions:
        return BadDimensions(
            f"The photo takes more than {self.limits.max_bytes} bytes of memory to decode "
            "(decoder.max_bytes); send a smaller one, or a JPEG."
        )
