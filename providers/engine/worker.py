"""The frame of every provider that computes on this machine: threads, a time limit, decoding, and
the translation of errors.

A local provider is a `Detector` wrapped in `LocalProvider`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from io import BytesIO

from PIL import Image

from providers.base import About, Picture
from providers.daemon_threads import DaemonThreads
from providers.detection import Detection, Task
from providers.engine.detector import answer_of
from providers.engine.look import EndableDetector, RunningLook, SizedDetector
from providers.engine.preprocess import (
    MAX_SIDE_RATIO,
    PADDING_RGB,
    padded_to_ratio,
    place_of,
)
from providers.errors import Misconfigured, NoAnswer, PictureRefused, ProviderError, Unavailable

Detector = Callable[[Image.Image], Sequence[Detection]]
"""RGB pixels in, all detections out. Called from `About.concurrency` threads at once. One whose
looks can be ended is an `EndableDetector` too."""

PLAIN_SIDE_PX = 64


def rgb_image(picture: Picture, size: tuple[int, int] | None = None) -> Image.Image:
    """The RGB pixels of a picture, decoded if it holds bytes only. An undrawn picture is drawn for
    `size`, by default its own. Raises PictureRefused if it cannot be decoded."""
    if picture.draw is not None:
        return picture.draw(size or picture.size)
    if picture.pixels is not None:
        return picture.pixels if picture.pixels.mode == "RGB" else picture.pixels.convert("RGB")
    try:
        with Image.open(BytesIO(picture.data)) as image:
            return image.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise PictureRefused(
            f"these {len(picture.data)} bytes cannot be decoded as a picture: {error}"
        ) from error


class LocalProvider:
    """A provider that runs its detector in threads of its own, by default one for each concurrent
    picture. Each does all that a picture needs, from its bytes on: decoding in another thread
    would keep both waiting.

    A call beyond the time limit is ended where the detector is an `EndableDetector`. Any other goes
    on in its thread, which cannot be stopped from outside, and another thread takes its place.
    State: the threads, and whether the provider was closed.
    """

    def __init__(
        self,
        about: About,
        detector: Detector,
        timeout_ms: int,
        *,
        workers: int | None = None,
        memory_bytes: int = 0,
    ) -> None:
        """`memory_bytes` is the resident memory that loading the detector took."""
        self.memory_bytes = memory_bytes
        self._about = about
        self._detector = detector
        self._timeout_s = timeout_ms / 1000
        self._workers = workers or about.concurrency
        self._threads = DaemonThreads(self._workers, f"provider-{about.name}")
        self._closed = False

    @property
    def about(self) -> About:
        return self._about

    async def detect(
        self, picture: Picture, task: Task, extras: Sequence[str] = ()
    ) -> Sequence[Detection]:
        await self.ready()
        if task not in self._about.tasks:
            raise Misconfigured(
                f"{self._about.name} answers {', '.join(sorted(self._about.tasks))}, not {task}"
            )
        look = RunningLook()
        call = self._threads.start(self._detect, picture, look)
        try:
            async with asyncio.timeout(self._timeout_s):
                return answer_of(task, await asyncio.wrap_future(call.future))
        except TimeoutError:
            raise NoAnswer(
                f"{self._about.name} gave no answer within {self._timeout_s:g} s (timeout_ms)"
            ) from None
        finally:
            look.end()
            self._threads.abandon(call)

    async def ready(self) -> None:
        if self._closed:
            raise Unavailable(f"{self._about.name} has been closed")
        if self._threads.stuck >= self._workers:
            raise Unavailable(
                f"{self._threads.stuck} calls of {self._about.name} go on long after their time "
                "(timeout_ms); restart the gateway if they never end"
            )

    async def close(self) -> None:
        """Returns once all running calls have ended; calls beyond their time are not waited for."""
        self._closed = True
        await asyncio.to_thread(self._threads.close, self._timeout_s)

    def _detect(self, picture: Picture, look: RunningLook) -> Sequence[Detection]:
        padded = padded_to_ratio(self._image(picture))
        try:
            detections = self._run(padded.image, look)
        except ProviderError:
            raise
        except Exception as error:  # a network's runtime raises types of its own
            message = f"{self._about.name} failed: {type(error).__name__}: {error}"
            if not look.is_ended and self._works():
                raise PictureRefused(f"{message}; it answers about other pictures") from error
            raise Unavailable(message) from error
        return [padded.moved_back(detection) for detection in detections]

    def _image(self, picture: Picture) -> Image.Image:
        """The picture's pixels. An undrawn one is drawn for the size in which the detector sees it;
        where the detector has no size of its own, or would be shown padding too, in that of the
        canvas."""
        is_padded = max(picture.size) > MAX_SIDE_RATIO * min(picture.size)
        if isinstance(self._detector, SizedDetector) and not is_padded:
            return rgb_image(picture, self._detector.drawn_size(picture.size))
        size = place_of(picture.size, self._about.canvas_px, "corner").size
        image = rgb_image(picture, size)
        return image.resize(size, Image.Resampling.BILINEAR) if picture.draw else image

    def _run(self, image: Image.Image, look: RunningLook) -> Sequence[Detection]:
        if isinstance(self._detector, EndableDetector):
            return self._detector.look(image, look)
        return self._detector(image)

    def _works(self) -> bool:
        """Whether the detector answers about a plain picture, so that the picture on which it
        failed is at fault."""
        try:
            self._run(Image.new("RGB", (PLAIN_SIDE_PX, PLAIN_SIDE_PX), PADDING_RGB), RunningLook())
        except Exception:
            return False
        return True
