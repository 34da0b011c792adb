"""For tests of this gateway and of what is built on it: a provider with a script, drawn photos, a gateway that runs.

The photos hold plain coloured rectangles, which the provider kind `shapes` (and `see_shapes` here) really finds.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import yaml
from PIL import ExifTags, Image, ImageDraw

from gateway import server, settings
from gateway.admission import House, admit
from gateway.app import Parts, build, create_app
from gateway.errors import GatewayError
from gateway.events import Event
from gateway.model import Outcome, Photo
from providers.base import About, Detection, Limits, Picture, PictureRefused, Provider, ProviderError, Task
from providers.shapes import find

GREY = (114, 114, 114)
PURE = {
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "yellow": (255, 255, 0),
    "magenta": (255, 0, 255),
    "cyan": (0, 255, 255),
}
"""The colours that kind `shapes` knows, and gives as labels."""

Script = Callable[[Picture, Task], Sequence[Detection]]


def image_of(picture: Picture) -> Image.Image:
    """A picture's pixels, whichever way it holds them. Raises PictureRefused where they cannot be decoded."""
    if picture.pixels is not None:
        return picture.pixels
    try:
        with Image.open(BytesIO(picture.data)) as opened:
            return opened.convert("RGB")
    except (OSError, ValueError, SyntaxError) as error:
        raise PictureRefused(str(error)) from error


def see_shapes(picture: Picture, task: Task) -> Sequence[Detection]:  # noqa: ARG001  a script is told the task
    """The coloured shapes that are on the picture."""
    return find(image_of(picture))


def about(name: str = "fake", *, task: Task = Task.OBJECTS, **changes: Any) -> About:
    """What a fake says of itself; `changes` are fields of `About`."""
    return About(**{"name": name, "kind": "fake", "tasks": frozenset({task}), "canvas_px": (320, 320), **changes})


class ScriptedProvider:
    """Answers with what `script` says of the picture, or raises what it raises.

    `errors` are raised by the first calls, one each. With a `gate`, every call waits until it is set. `problem` is
    raised by `ready`. Holds every picture it was `asked` about, what was `wanted` of it, and how many calls were under
    way at most.
    """

    def __init__(
        self,
        script: Script = see_shapes,
        *,
        introduced: About | None = None,
        errors: Iterable[Exception] = (),
        gate: asyncio.Event | None = None,
        problem: ProviderError | None = None,
    ) -> None:
        self.asked: list[Picture] = []
        self.wanted: list[tuple[str, ...]] = []
        self.under_way = 0
        self.most_under_way = 0
        self.closed = False
        self._about = introduced or about()
        self._script = script
        self._errors = iter(errors)
        self._gate = gate
        self._problem = problem

    @property
    def about(self) -> About:
        return self._about

    @property
    def calls(self) -> int:
        """How often it was asked, whatever came of it."""
        return len(self.asked)

    async def detect(self, picture: Picture, task: Task, wanted: Sequence[str] = ()) -> Sequence[Detection]:
        self.wanted.append(tuple(wanted))
        self.asked.append(picture)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await (self._gate.wait() if self._gate else asyncio.sleep(0))
            error = next(self._errors, None)
            if error is not None:
                raise error
            return self._script(picture, task)
        finally:
            self.under_way -= 1

    async def ready(self) -> None:
        if self._problem is not None:
            raise self._problem

    async def close(self) -> None:
        self.closed = True


E = TypeVar("E", bound=Event)


@dataclass
class Told:
    """A listener that keeps the events it is told."""

    events: list[Event] = field(default_factory=list)

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    def of(self, kind: type[E]) -> list[E]:
        """The events of one kind, in the order they were told."""
        return [event for event in self.events if isinstance(event, kind)]


@dataclass
class Heard:
    """Listens to a buffer, and keeps what it is told: outcomes by photo, each once, and losses."""

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    losses: list[GatewayError] = field(default_factory=list)
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    told: asyncio.Event = field(default_factory=asyncio.Event)

    def outcome(self, photo_id: str, outcome: Outcome) -> None:
        if photo_id in self.outcomes:
            raise AssertionError(f"{photo_id} has its outcome already")
        self.outcomes[photo_id] = outcome
        self.told.set()

    def changed(self) -> None:
        self.woken.set()
        self.told.set()

    def lost(self, error: GatewayError) -> None:
        self.losses.append(error)
        self.told.set()

    async def until(self, true: Callable[[], object], within_s: float = 15) -> None:
        """Returns when it is true; looks whenever something is told, and now and then. Raises TimeoutError."""
        async with asyncio.timeout(within_s):
            while not true():
                self.told.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await self.told.wait()


class Block(NamedTuple):
    """A coloured rectangle, in pixels; `x1` and `y1` are exclusive."""

    colour: str
    x0: int
    y0: int
    x1: int
    y1: int


def drawn(size: tuple[int, int], *blocks: Block) -> Image.Image:
    """Grey paper of that width and height with blocks on it."""
    image = Image.new("RGB", size, GREY)
    for colour, x0, y0, x1, y1 in blocks:
        ImageDraw.Draw(image).rectangle((x0, y0, x1 - 1, y1 - 1), fill=PURE[colour])
    return image


LAID_DOWN = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""How a camera's sensor stored an upright picture, by the EXIF orientation it wrote beside it."""


def encoded(image: Image.Image, form: str = "PNG", *, orientation: int = 1) -> bytes:
    """The image as a file in that format. Turned upright by its EXIF `orientation`, it is the image as given."""
    out = BytesIO()
    stored = image.transpose(LAID_DOWN[orientation]) if orientation in LAID_DOWN else image
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    stored.save(out, form, quality=95, **({"exif": exif} if orientation != 1 else {}))
    return out.getvalue()


def photo(image: Image.Image | bytes, **settings: Any) -> Photo:
    """A photo as admission makes it, of an image (`settings` are those of `encoded`) or of a file's bytes."""
    data = image if isinstance(image, bytes) else encoded(image, **settings)
    return admit(uuid.uuid4().hex, data, Limits(), House())


DIGITS = tuple(PURE)
NUMBERS = len(DIGITS) ** 4


def numbered(number: int, side_px: int = 96) -> Image.Image:
    """A picture that no other number below `NUMBERS` has: four blocks, whose colours are its digits."""
    third = side_px // 3
    blocks = []
    for place in range(4):
        number, digit = divmod(number, len(DIGITS))
        x, y = (place % 2) * side_px // 2 + side_px // 12, (place // 2) * side_px // 2 + side_px // 12
        blocks.append(Block(DIGITS[digit], x, y, x + third, y + third))
    return drawn((side_px, side_px), *blocks)


def number_on(found: Iterable[Detection]) -> int | None:
    """The number of a `numbered` picture in which this was found, None where it is not just what one shows."""
    digits: dict[int, int] = {}
    for detection in found:
        x, y = detection.box.midpoint
        place = int(x >= 0.5) + 2 * int(y >= 0.5)
        if place in digits or detection.label not in DIGITS:
            return None
        digits[place] = DIGITS.index(detection.label)
    return sum(digit * len(DIGITS) ** place for place, digit in digits.items()) if len(digits) == 4 else None


def parts_of(folder: Path, config: Mapping[str, Any], providers: Mapping[str, Provider] | None = None) -> Parts:
    """A gateway's parts from a config written into `folder`; `providers` stand in for those of their names. Routes that
    do not say how they are watched are not, so that what is billed leaves nothing to chance."""
    file = folder / "imgrid.yaml"
    routes = [{"watch": {"share": 0}, **route} for route in config["routes"]]
    file.write_text(yaml.safe_dump({**config, "routes": routes}))
    return build(settings.read(file, {}), file, providers=providers)


def serving(parts: Parts) -> AbstractContextManager[str]:
    """The address of a gateway of these parts, which runs in a thread of its own as long as the block lasts."""
    return server.serving(create_app(parts), parts.tls)


def free_port() -> int:
    """A port on loopback that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


REDIS_SERVERS = ("redis-server", "valkey-server")


class RedisServer:
    """A Redis of one's own, on loopback and a free port, whose files are in `folder`. Holds the process.

    Raises FileNotFoundError, saying how to get one, where there is none on this machine.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        program = next(filter(None, map(shutil.which, REDIS_SERVERS)), None)
        if program is None:
            raise FileNotFoundError("There is no redis-server on this machine. Debian and Ubuntu: apt-get install "
                                    "redis-server; macOS: brew install redis; Fedora: dnf install valkey.")  # fmt: skip
        self.port = free_port()
        self._command = [program, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", "",
                         *options]  # fmt: skip
        self._log = folder / "redis.log"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Returns when it answers. Raises RuntimeError with its log where it does not."""
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(self._command, stdout=log, stderr=log)  # noqa: S603  our own arguments
        until = time.monotonic() + 20
        while not self._answers():
            if time.monotonic() > until or self.process.poll() is not None:
                raise RuntimeError(f"Redis did not start:\n{self._log.read_text()}")
            time.sleep(0.02)

    def signal(self, number: signal.Signals) -> None:
        """SIGSTOP pauses it, SIGCONT has it go on, SIGKILL is the worst that can happen."""
        assert self.process is not None  # noqa: S101  it was started
        self.process.send_signal(number)
        if number in (signal.SIGKILL, signal.SIGTERM):
            self.process.wait()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as link:
                link.sendall(b"PING\r\n")
                return link.recv(7) in (b"+PONG\r\n", b"-NOAUTH")
        except OSError:
            return False
