"""A provider with a script."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from io import BytesIO
from typing import Any

from PIL import Image

from providers.base import About, Picture
from providers.detection import Detection, Task
from providers.errors import PictureRefused, ProviderError
from providers.shapes import shapes_on

Script = Callable[[Picture, Task], Sequence[Detection]]


def image_of(picture: Picture) -> Image.Image:
    """A picture's pixels, whichever way it holds them. Raises PictureRefused where they cannot be
    decoded."""
    if picture.pixels is not None:
        return picture.pixels
    try:
        with Image.open(BytesIO(picture.data)) as opened:
            return opened.convert("RGB")
    except (OSError, ValueError, SyntaxError) as error:
        raise PictureRefused(str(error)) from error


def see_shapes(picture: Picture, task: Task) -> Sequence[Detection]:
    """The coloured shapes that are on the picture."""
    return shapes_on(image_of(picture))


def about(name: str = "fake", *, task: Task = Task.OBJECTS, **changes: Any) -> About:
    """What a fake says of itself; `changes` are fields of `About`."""
    return About(
        **{
            "name": name,
            "kind": "fake",
            "tasks": frozenset({task}),
            "canvas_px": (320, 320),
            **changes,
        }
    )


class ScriptedProvider:
    """Answers with what `script` says of the picture, or raises what it raises.

    `errors` are raised by the first calls, one each. With a `gate`, every call waits until it is
    set. `problem` is raised by `ready`. Holds every picture it was `asked` about, what was `wanted`
    of it, and how many calls were under way at most.
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

    async def detect(
        self, picture: Picture, task: Task, wanted: Sequence[str] = ()
    ) -> Sequence[Detection]:
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
