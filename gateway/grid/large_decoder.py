"""Decodes large photos in processes of their own, which have a limit of memory and of time."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
from concurrent.futures import Future
from dataclasses import dataclass
from typing import NamedTuple

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
from gateway.grid.turns import TurnQueue
from thresholds.cascade import Border

log = logging.getLogger("imgrid")

PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]);"
    "from gateway.grid.decoder_process import serve; serve(int(sys.argv[2]))"
)
END_S = 5.0
"""How long a process that was told to end may take."""


class _Drawing(NamedTuple):
    """A photo to draw, and what waits for its pixels."""

    photo: Photo
    size: Size
    border: Border
    image: Future[Image.Image]


class LargeDecoder:
    """Draws large photos one after the other in each process, and the owners of photos in turns.

    Holds the photos that wait, and a thread for each process; both begin with the first photo. A
    process that reaches a limit ends with its photo alone.
    """

    def __init__(self, limits: DecoderLimits = DecoderLimits()) -> None:
        self._limits = limits
        self._queue: TurnQueue[_Drawing] = TurnQueue()
        self._threads: list[threading.Thread] = []

    def draw(self, owner: str, photo: Photo, size: Size, border: Border) -> Future[Image.Image]:
        """The photo's pixels, as `tile` returns them, when the owner's turn has come.

        Fails with BadFormat as `tile` does, or with BadDimensions where a limit was reached.
        """
        image: Future[Image.Image] = Future()
        self._queue.put(owner, _Drawing(photo, size, border, image))
        if not self._threads:
            self._start()
        return image

    def close(self) -> None:
        """Ends the processes; what has not begun is not drawn."""
        for drawing in self._queue.close():
            drawing.image.cancel()
        for thread in self._threads:
            thread.join(END_S)

    def _start(self) -> None:
        for number in range(self._limits.processes):
            thread = threading.Thread(target=self._run, name=f"decoder-{number}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _run(self) -> None:
        process = DecoderProcess(self._limits)
        while self._draw_next(process):
            pass
        process.end()

    def _draw_next(self, process: DecoderProcess) -> bool:
        """Draws the next photo; False once the queue is closed. No photo is kept alive while the
        thread waits for more."""
        drawing = self._queue.take()
        if drawing is None:
            return False
        if drawing.image.set_running_or_notify_cancel():
            try:
                drawing.image.set_result(process.draw(drawing.photo, drawing.size, drawing.border))
            except Exception as error:
                drawing.image.set_exception(error)
        return True


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
